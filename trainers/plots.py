"""Plots of a training run, made from its `metrics.jsonl`."""

import math
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from evaluation.figures import legend_below, ordered_colors, panels, save
from evaluation.training_curves import STEPS, Logs, curve, logged_loops, plot_exits, plot_losses, read_metrics


def plot_metrics(folder: Path) -> Path | None:
    """
    Plot pretraining to `metrics.png`: loss by loop with the held-out loss, the difference to loop 1, the exit
    distribution, learning rates, changes of the ternary weights and speed, as far as they were logged.

    Returns:
        Path of the plot; None when there are fewer than two logs.
    """
    logs, evaluations = read_metrics(folder)
    if len(logs) < 2:
        return None
    names = {name for entry in logs for name in entry}
    plots: list[tuple[Callable[[Axes, Logs, Logs], None], set[str]]] = [
        (plot_losses, {"loss"}),
        (_plot_differences, {"loop_1_loss", "loop_2_loss"}),
        (plot_exits, {"exit_1"}),
        (_plot_learning_rates, {"learning_rate"}),
        (_plot_ternary_weights, {"zero_weights"}),
        (_plot_speed, {"tokens_per_second"}),
    ]
    chosen = [plot for plot, needed in plots if needed <= names]
    columns = min(3, len(chosen))
    figure, axes = panels(math.ceil(len(chosen) / columns), columns)
    for axis, plot in zip(axes, chosen, strict=False):
        axis.set_xlabel(STEPS)
        plot(axis, logs, evaluations)
    for axis in axes[len(chosen) :]:
        axis.remove()
    return save(figure, folder / "metrics.png")


def _plot_differences(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    loops = logged_loops(logs)
    later = list(zip(loops, ordered_colors(len(loops)), strict=True))[1:]
    axis.axhline(0, color="black", linewidth=1)
    for loop, color in later:
        axis.plot(*_difference(logs, f"loop_{loop}_loss", "loop_1_loss"), color=color, label=f"training, loop {loop}")
    for loop, color in later:
        held_out = _difference(evaluations, f"eval_loop_{loop}_loss", "eval_loop_1_loss")
        if held_out[0]:
            axis.plot(*held_out, "o", color=color, markeredgecolor="black", label=f"held-out text, loop {loop}")
    axis.set(title="Loss minus loss after loop 1\n(below 0 the loop helps)", ylabel="nats per token")
    legend_below(axis)


def _plot_learning_rates(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    axis.set(title="Learning rate", ylabel="learning rate")
    if "muon_lr" not in logs[-1]:
        axis.plot(*curve(logs, "learning_rate"))
        axis.set_ylim(0, None)
        return
    for name, label in (("muon_lr", "Muon"), ("lion_lr", "Lion")):
        axis.plot(*curve(logs, name), label=label)
    axis.set_yscale("log")
    legend_below(axis)


def _plot_ternary_weights(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    axis.plot(*curve(logs, "zero_weights", 100), color="tab:gray", label="equal to 0")
    if any("changed_weights" in entry for entry in logs):
        axis.plot(*curve(logs, "changed_weights", 100), color="tab:red", label="changed per 100 steps")
    if any("ternary_share" in entry for entry in logs):
        axis.plot(*curve(logs, "ternary_share", 100), color="tab:blue", label="share of the ternary values")
        axis.plot(*curve(logs, "latent_share", 100), color="tab:orange", label="share of the latent values")
    axis.set(title="Ternary weights", ylabel="percent of the ternary weights", ylim=(0, None))
    legend_below(axis)


def _plot_speed(axis: Axes, logs: Logs, evaluations: Logs) -> None:
    axis.plot(*curve(logs, "tokens_per_second"), color="tab:green")
    axis.set(title="Training speed", ylabel="tokens per second", ylim=(0, None))


def _difference(logs: Logs, name: str, other: str) -> tuple[list[int], list[float]]:
    known = [entry for entry in logs if name in entry and other in entry]
    return [entry["step"] for entry in known], [entry[name] - entry[other] for entry in known]
