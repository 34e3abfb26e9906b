"""The expected results of the design document."""

from recipes.pipeline.design.key import Key, Part

NOT_MEASURED = "Not measured: no run of this size was made."
IN_TABLE = "A run's table and report.html have it."
MEMORY = f"{NOT_MEASURED} `--plan` counts the GPU's memory by part. Memory of the machine does not grow with the data."
KEYS = (
    Key(
        "Training Speed",
        None,
        f"{NOT_MEASURED} `--plan` says what share of the GPU's peak it is. Runs log tokens per second and the MFU.",
    ),
    Key(
        "Final Loss",
        None,
        f"{NOT_MEASURED} Losses of different tokenizers and texts cannot be compared. {IN_TABLE}",
    ),
    Key(
        "Compilation Success Rate",
        None,
        f"{NOT_MEASURED} training.eval_seconds measures it at every evaluation, training.eval_prompts at the end.",
    ),
    Key("Memory Usage", None, MEMORY),
    Key("GPU Memory Usage", None, MEMORY),
    Key("Training Time", None, f"{NOT_MEASURED} `--plan` counts the days from FLOPs at several shares of the peak."),
)
VALUES = {
    "config_a": {
        "Training Speed": "~5000 tokens/sec",
        "Final Loss": "< 2.5",
        "Compilation Success Rate": "> 90%",
        "Memory Usage": "~80GB GPU, ~800GB CPU",
        "Training Time": "~7 days for 170K steps",
    },
    "config_b": {
        "Training Speed": "~8000 tokens/sec",
        "Final Loss": "< 2.8",
        "Compilation Success Rate": "> 88%",
        "GPU Memory Usage": "~22GB per GPU",
        "Training Time": "~5 days for 225K steps",
    },
    "config_c": {
        "Training Speed": "~6000 tokens/sec",
        "Final Loss": "< 2.6",
        "Compilation Success Rate": "> 87%",
        "Memory Usage": "~22GB GPU, ~700GB CPU",
        "Training Time": "~6 days for 180K steps",
    },
}
RESULTS = Part(
    title="The expected results",
    introduction="Targets of the design document. `--plan` compares those that can be computed with the hardware.",
    where=dict.fromkeys(VALUES, "expected results"),
    keys=KEYS,
    values=VALUES,
)
