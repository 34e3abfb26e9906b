"""Curves of a training run, made from its `metrics.jsonl`."""

import json
from pathlib import Path

from matplotlib.axes import Axes

from evaluation.figures import legend_below, ordered_colors

Logs = list[dict]
STEPS = "optimizer steps"


def is_evaluation(entry: dict) -> bool:
    """Whether an entry of the metrics was logged by an evaluation."""
    return any(name.startswith("eval_") for name in entry)


def read_metrics(folder: Path) -> tuple[Logs, Logs]:
    """Read the training logs and the evaluations of a folder, in order; incomplete lines are left out."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [entry for entry in entries if "loss" in entry], [entry for entry in entries if is_evaluation(entry)]


def plot_losses(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    """Plot the loss after each loop, or the objective where the losses were not logged, and that of held-out text."""
    loops = logged_loops(logs)
    for loop, color in zip(loops, ordered_colors(len(loops)), strict=True):
        axis.plot(*curve(logs, f"loop_{loop}_loss"), color=color, label=f"training, loop {loop}")
    if not loops:
        axis.plot(*curve(logs, "loss"), color="tab:blue", label="training objective")
    if any("eval_loss" in entry for entry in evaluations):
        axis.plot(*curve(evaluations, "eval_loss"), "ko--", markersize=4, label="held-out text, last loop")
    if "tokens_seen" in logs[-1] and logs[-1]["step"]:
        millions = logs[-1]["tokens_seen"] / logs[-1]["step"] / 1e6
        top = axis.secondary_xaxis("top", (lambda step: step * millions, lambda tokens: tokens / millions))
        top.set_xlabel("million tokens")
    axis.set(title="Loss", ylabel="nats per token")
    legend_below(axis)


def plot_exits(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    """Plot the share of the tokens that exit after each loop."""
    loops = range(1, sum(name.removeprefix("exit_").isdigit() for name in logs[-1]) + 1)
    logged = [entry for entry in logs if "exit_1" in entry]
    axis.stackplot(
        [entry["step"] for entry in logged],
        [[entry[f"exit_{loop}"] for entry in logged] for loop in loops],
        colors=ordered_colors(len(loops)),
        labels=[f"loop {loop}" for loop in loops],
    )
    axis.set(title="Exit distribution", ylabel="share of tokens that exit after the loop", ylim=(0, 1))
    legend_below(axis, columns=4)


def logged_loops(logs: Logs) -> list[int]:
    """Return the loops, counted from 1, whose loss the logs hold; none where only the objective was logged."""
    numbers = (name.removeprefix("loop_").removesuffix("_loss") for name in logs[-1] if name.endswith("_loss"))
    return sorted(int(number) for number in numbers if number.isdigit())


def curve(logs: Logs, name: str, factor: float = 1.0) -> tuple[list[int], list[float]]:
    """Steps and values of the entries that have a value of the given name."""
    known = [entry for entry in logs if entry.get(name) is not None]
    return [entry["step"] for entry in known], [entry[name] * factor for entry in known]
