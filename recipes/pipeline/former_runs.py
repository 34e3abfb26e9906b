"""Settings of runs from before every stage had a section of its own; such a run can be continued."""

from collections.abc import Mapping
from typing import Any

FIRST = ("total_steps", "batch_size", "peak_lr", "min_lr", "warmup_steps", "decay_steps")
"""Settings of the first stage that were among those of all stages."""


def from_former_run(kept: dict[str, dict[str, Any]], kinds: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """
    The settings of a former run as they are kept today.

    The first stage was in "training", the gate's in "training.gate_steps", later ones in "stages.NAME" without a kind.

    Args:
        kept: Of the former run.
        kinds: Kinds of the recipe's stages today, by name.
    """
    training = kept["training"]
    first = {name: training[name] for name in FIRST if name in training}
    stages = {"pretrain": {"kind": "pretrain", "name": "pretrain", "seq_len": kept["data"].get("seq_len")} | first}
    for section, values in kept.items():
        if section.startswith("stages."):
            name = section.removeprefix("stages.")
            stages[name] = {"kind": kinds.get(name, "maxrl" if "num_generations" in values else "pretrain")} | values
    if training.get("gate_steps"):
        last = [values for values in stages.values() if "seq_len" in values][-1]
        shape = {name: last.get(name) for name in ("batch_size", "seq_len", "mix")}
        steps = {"total_steps": training["gate_steps"], "peak_lr": training["gate_lr"]}
        stages["gate"] = {"kind": "gate", "name": "gate"} | shape | steps
    stages["export"] = {"kind": "export", "name": "export"} | kept.get("export", {})
    shared = {name: value for name, value in training.items() if name not in (*FIRST, "gate_steps", "gate_lr")}
    parts = {"model": kept["model"], "data": kept["data"], "training": shared, "hardware": kept["hardware"]}
    return parts | stages
