"""Pictures of a training run, drawn from its `metrics.jsonl`."""

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402


def is_evaluation(entry: dict) -> bool:
    """Whether a line of the metrics is an evaluation's."""
    return any(name.startswith("eval_") for name in entry)


def read_metrics(folder: Path) -> tuple[list[dict], list[dict]]:
    """The training logs of a folder and its evaluations, in their order."""
    path = folder / "metrics.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [entry for entry in entries if "loss" in entry], [entry for entry in entries if is_evaluation(entry)]


def plot_metrics(folder: Path) -> Path | None:
    """
    Draws loss per loop, the exit distribution over time, learning rates and speed into `metrics.png`; None when
    there are fewer than two logs.
    """
    logs, evaluations = read_metrics(folder)
    if len(logs) < 2:
        return None
    steps = [entry["step"] for entry in logs]
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    (losses, exits), (rates, speed) = axes

    loops = [name for name in logs[-1] if name.startswith("loop_")]
    colors = plt.get_cmap("viridis")([index / max(1, len(loops) - 1) * 0.9 for index in range(len(loops))])
    for name, color in zip(loops, colors, strict=True):
        losses.plot(steps, _values(logs, name), color=color, label=f"after loop {name.split('_')[1]}")
    if evaluations:
        evaluated = [entry["step"] for entry in evaluations]
        losses.plot(evaluated, _values(evaluations, "eval_loss"), "k.--", label="held out, after the last loop")
    losses.set(title="Loss by loop", ylabel="nats per token")
    losses.legend()

    shares = [_values(logs, f"exit_{loop}") for loop in range(1, len(loops) + 1)]
    exits.stackplot(steps, shares, colors=colors, labels=[f"loop {loop}" for loop in range(1, len(loops) + 1)])
    exits.set(title="Exit distribution", ylabel="share of tokens that would leave", ylim=(0, 1))
    exits.legend(loc="lower left")

    named = [name for name in ("muon_lr", "lion_lr") if name in logs[-1]] or ["learning_rate"]
    for name in named:
        rates.plot(steps, _values(logs, name), label=name)
    rates.set(title="Learning rate", xlabel="step")
    if len(named) > 1:
        rates.set_yscale("log")
    rates.legend()

    timed = [entry for entry in logs if "tokens_per_second" in entry]
    speed.plot([entry["step"] for entry in timed], _values(timed, "tokens_per_second"), color="tab:green")
    speed.set(title="Speed", xlabel="step", ylabel="tokens per second", ylim=(0, None))
    for axis in axes.flat:
        axis.grid(alpha=0.3)
    path = folder / "metrics.png"
    unfinished = folder / "metrics.new.png"
    figure.savefig(unfinished, dpi=110)
    plt.close(figure)
    unfinished.replace(path)
    return path


def _values(logs: list[dict], name: str) -> list[float]:
    return [entry.get(name, float("nan")) for entry in logs]
