"""Names of files and folders in the folder of a run, besides those of its stages."""

PREPARED = "prepare"
SOURCE = "source"
SYNTHETIC_FILE, TASKS_FILE = "synthetic.jsonl", "tasks.jsonl"
COMPILE_TASKS_FILE, COMPILE_FUNCTIONS_FILE = "compile_tasks.jsonl", "compile_functions.jsonl"
OWN_TASKS_FILE = "own_tasks.jsonl"
MODEL_CARD = "model_card.md"
