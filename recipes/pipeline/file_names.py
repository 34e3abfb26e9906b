"""Names of files and folders in the folder of a run, besides those of its stages."""

PREPARED = "prepare"
SOURCE = "source"
SYNTHETIC_FILE, TASKS_FILE = "synthetic.jsonl", "tasks.jsonl"
OWN_TASKS_FILE = "own_tasks.jsonl"
MODEL_CARD = "model_card.md"
