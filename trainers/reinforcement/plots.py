"""Plots of reinforcement learning, made from its `metrics.jsonl`."""

import math
import textwrap
from pathlib import Path

import matplotlib

from evaluation.figures import legend_below, ordered_colors, panels, save
from evaluation.training_curves import STEPS, Logs, curve, read_metrics
from trainers.reinforcement.sample_page import UNKNOWN_SUCCESS

KINDS = {"success_rate/tests": "of prompts with tests", "success_rate/compile": "of prompts without tests"}
"""Success rates that a reward of mode "mixed" logs, with their labels."""


def meaning_of_success(logs: Logs) -> str:
    """Condition for a completion to be a success in a run, in words."""
    return next((entry["success_means"] for entry in reversed(logs) if "success_means" in entry), UNKNOWN_SUCCESS)


def plot_maxrl(folder: Path) -> Path | None:
    """
    Plot reinforcement learning to `metrics.png`: the condition for a success, success rate and pass@k, zero-variance
    groups, verdicts, length of the completions, entropy and time.

    Returns:
        Path of the plot; None when there are fewer than two logs.
    """
    logs, _ = read_metrics(folder)
    if len(logs) < 2:
        return None
    steps = [entry["step"] for entry in logs]
    figure, axes = panels(2, 3)
    success, groups, verdicts, length, entropy, seconds = axes
    meaning = textwrap.fill(f"Success: {meaning_of_success(logs)}", 110)
    figure.suptitle(meaning, parse_math=False)

    passes = sorted((name for name in logs[-1] if name.startswith("pass@")), key=lambda name: int(name[5:]))
    for name, color in zip(passes, ordered_colors(len(passes)), strict=True):
        label = "pass@1, the success rate" if name == "pass@1" else name
        success.plot(*curve(logs, name), color=color, label=label)
    kinds = [name for name in KINDS if any(name in entry for entry in logs)]
    for name in kinds:
        success.plot(*curve(logs, name), linestyle=":", label=KINDS[name])
    success.set(title="Success rate and pass@k", ylabel="estimated from the groups of a step")
    # A run begins with rates near 0; a fixed range up to 1 would hide their growth.
    success.set_ylim(0, max(0.05, 1.05 * _largest(logs, [*passes, *kinds])))
    legend_below(success)

    parts = [[entry.get(f"groups/{name}", 0.0) for entry in logs] for name in ("all_failed", "all_passed")]
    groups.stackplot(
        steps,
        parts,
        labels=["all completions fail", "all completions succeed"],
        colors=["tab:red", "tab:green"],
        alpha=0.6,
    )
    groups.set(title="Zero-variance groups", ylabel="share of the prompts of a step", ylim=(0, 1))
    legend_below(groups)

    # Valid code at the bottom, in green.
    names = sorted(
        {name for entry in logs for name, value in entry.items() if name.startswith("verdict/") and value > 0}
    )
    names.sort(key=lambda name: name != "verdict/valid")
    verdicts.set(title="Verdicts", ylabel="share of completions", ylim=(0, 1))
    if names:  # only RustReward logs verdicts
        failures = iter(matplotlib.colormaps["tab20c"](range(20)))
        colors = ["tab:green" if name == "verdict/valid" else next(failures) for name in names]
        shares = [[entry.get(name, 0.0) for entry in logs] for name in names]
        verdicts.stackplot(steps, shares, labels=[name.removeprefix("verdict/") for name in names], colors=colors)
        legend_below(verdicts, columns=3)

    length.plot(*curve(logs, "completions/mean_length"), label="mean")
    length.plot(*curve(logs, "completions/max_length"), label="longest", alpha=0.5)
    length.set(title="Length of the completions", ylabel="tokens", ylim=(0, None))
    legend_below(length)

    entropy.plot(*curve(logs, "entropy"), color="tab:purple")
    entropy.set(title="Entropy of the policy", ylabel="nats per token", ylim=(0, None))

    seconds.plot(*curve(logs, "step_time"), label="step in total")
    seconds.plot(*curve(logs, "rollout_seconds"), label="sampling")
    seconds.plot(*curve(logs, "reward_seconds"), label="reward")
    seconds.set(title="Time", ylabel="seconds per step", ylim=(0, None))
    legend_below(seconds)
    for axis in axes:
        axis.set_xlabel(STEPS)
    return save(figure, folder / "metrics.png")


def _largest(logs: Logs, names: list[str]) -> float:
    values = [entry[name] for entry in logs for name in names if entry.get(name) is not None]
    return max((value for value in values if not math.isnan(value)), default=0.0)
