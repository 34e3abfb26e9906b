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
    return _save(figure, folder / "metrics.png")


def plot_maxrl(folder: Path) -> Path | None:
    """
    Draws success and pass@k, groups that teach nothing, verdicts over time, length and entropy, and where the seconds
    go, into `metrics.png`; None when there are fewer than two logs.
    """
    logs, _ = read_metrics(folder)
    if len(logs) < 2:
        return None
    steps = [entry["step"] for entry in logs]
    figure, axes = plt.subplots(2, 3, figsize=(15, 7), layout="constrained")
    (success, groups, verdicts), (length, entropy, seconds) = axes

    passes = sorted((name for name in logs[-1] if name.startswith("pass@")), key=lambda name: int(name[5:]))
    colors = plt.get_cmap("viridis")([index / max(1, len(passes) - 1) * 0.9 for index in range(len(passes))])
    for name, color in zip(passes, colors, strict=True):
        success.plot(steps, _values(logs, name), color=color, label=name)
    success.set(title="Success, as the groups estimate it", ylabel="share", ylim=(0, 1))
    success.legend()

    parts = [_values(logs, "groups/all_failed"), _values(logs, "groups/all_passed")]
    groups.stackplot(steps, parts, labels=["all fail", "all pass"], colors=["tab:red", "tab:green"], alpha=0.6)
    groups.set(title="Groups that teach nothing", ylabel="share of prompts", ylim=(0, 1))
    groups.legend(loc="upper right")

    names = [name for name in logs[-1] if name.startswith("verdict/") and max(_values(logs, name)) > 0]
    # The right ones below, in green.
    names.sort(key=lambda name: name != "verdict/valid")
    failures = plt.get_cmap("tab20c")(range(20))
    colors = ["tab:green" if name == "verdict/valid" else failures[index] for index, name in enumerate(names)]
    verdicts.set(title="Verdicts", ylabel="share of completions", ylim=(0, 1))
    if names:  # other rewards than the compiler's have none
        verdicts.stackplot(
            steps, [_values(logs, name) for name in names], labels=[name.removeprefix("verdict/") for name in names],
            colors=colors,
        )  # fmt: skip
        verdicts.legend(loc="upper left", fontsize="small")

    length.plot(steps, _values(logs, "completions/mean_length"), label="mean")
    length.plot(steps, _values(logs, "completions/max_length"), label="longest", alpha=0.5)
    length.set(title="Length of the completions", xlabel="step", ylabel="tokens", ylim=(0, None))
    length.legend()

    entropy.plot(steps, _values(logs, "entropy"), color="tab:purple")
    entropy.set(title="Entropy of the policy", xlabel="step", ylabel="nats per token", ylim=(0, None))

    seconds.plot(steps, _values(logs, "step_time"), label="step")
    seconds.plot(steps, _values(logs, "reward_seconds"), label="of it the reward")
    seconds.set(title="Seconds", xlabel="step", ylabel="seconds per step", ylim=(0, None))
    seconds.legend()
    return _save(figure, folder / "metrics.png")


def _save(figure: plt.Figure, path: Path) -> Path:
    """With a grid, and not half written at any time."""
    for axis in figure.axes:
        axis.grid(alpha=0.3)
    unfinished = path.with_suffix(".new.png")
    figure.savefig(unfinished, dpi=110)
    plt.close(figure)
    return unfinished.replace(path)


def _values(logs: list[dict], name: str) -> list[float]:
    return [entry.get(name, float("nan")) for entry in logs]
