"""Plots of results: quality by depth, and speed by exit threshold."""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes

from evaluation.figures import legend_below, panels, save
from evaluation.results import Results


def plot_depth_quality(results: Results, folder: Path) -> Path:
    """
    Draw the loss against mean loops for every exit threshold, and that of fixed depths, which an exit gate has to
    beat, into `depth_quality.png`; return its path.

    All losses are differences to the loss after loop 1. Fixed depths have 95 % intervals over the texts, which are
    always within the range of the axis.

    Args:
        results: Of the suite `perplexity`.
        folder: Folder for the plot.
    """
    points = results.details["depth_quality"]
    fixed = [math.log(value) for value in results.details["perplexity_by_loop"]]
    differences = [loss - fixed[0] for loss in fixed]
    # Results of one text, and files of earlier versions, have no intervals.
    intervals = [each for each in results.details.get("loss_minus_loop_1", ()) if each["low"] is not None]
    reach = [[each["value"] - each["low"] for each in intervals], [each["high"] - each["value"] for each in intervals]]
    figure, (axis,) = panels(1, 1, width=7, height=4.8)
    loops = range(1, len(fixed) + 1)
    axis.axhline(0, color="black", linewidth=1)
    axis.errorbar(
        loops,
        differences,
        reach if intervals else None,
        fmt="o--",
        capsize=4,
        color="tab:gray",
        label="every token exits after the same loop" + (", with 95 % intervals" if intervals else ""),
    )
    axis.plot(
        [each["mean_loops"] for each in points],
        [each["loss"] - fixed[0] for each in points],
        ".-",
        color="tab:blue",
        label="tokens exit where the gate says",
    )
    if "decoded" in results.details:
        point = results.details["decoded"]
        axis.plot(
            point["mean_loops"],
            point["loss"] - fixed[0],
            "*",
            color="tab:red",
            markersize=12,
            label=f"decoded with early exit at {point['threshold']:g}",
        )
    axis.set(
        title=f"Quality by depth (loss after loop 1: {fixed[0]:.4f} nats per token)",
        xticks=loops,
        xlabel="mean loops per token",
        ylabel="loss minus that after loop 1, nats per token",
    )
    legend_below(axis, columns=1)
    return save(figure, folder / "depth_quality.png")


def plot_exit_speed(results: Results, folder: Path, perplexity: Results | None = None) -> Path:
    """
    Draw decoded tokens per second against the exit threshold, with fixed depths as lines, into `exit_speed.png`;
    return its path. A second panel shows the loss against tokens per second, or without a perplexity of the same model
    the mean loops of each threshold.

    Args:
        results: Of the suite `performance`.
        folder: Folder for the plot.
        perplexity: Results of the suite `perplexity`.
    """
    speeds = results.details["speeds"]
    batch_sizes = sorted({each["batch_size"] for each in speeds})
    figure, (by_threshold, by_quality) = panels(1, 2, width=6, height=4.8)
    colors = matplotlib.colormaps["tab10"]
    losses = _losses_by_depth(results, perplexity)
    for color, batch_size in enumerate(batch_sizes):
        of_batch = [each for each in speeds if each["batch_size"] == batch_size]
        fixed = [each for each in of_batch if each["exit_threshold"] is None]
        leaving = sorted((each for each in of_batch if each not in fixed), key=lambda each: each["exit_threshold"])
        rates = [_decode_rate(each) for each in leaving]
        label = f"batch {batch_size}"
        thresholds = [each["exit_threshold"] for each in leaving]
        by_threshold.plot(thresholds, rates, "o-", color=colors(color), label=label)
        for each in fixed:
            rate = _decode_rate(each)
            by_threshold.axhline(rate, color=colors(color), alpha=0.35, linestyle="--", linewidth=1)
            by_threshold.text(1.005, rate, f"{each['num_loops']}", fontsize=8, va="center", color=colors(color))
        if losses is None:
            mean_loops = [each["mean_loops"] for each in leaving]
            by_quality.plot(thresholds, mean_loops, "o-", color=colors(color), label=label)
            continue
        pairs = [(_decode_rate(each), losses["fixed"].get(each["num_loops"])) for each in fixed]
        _plot_known(by_quality, pairs, "s--", colors(color), f"{label}, fixed depth")
        pairs = [(_decode_rate(each), losses["exit"].get(round(each["exit_threshold"], 6))) for each in leaving]
        _plot_known(by_quality, pairs, "o-", colors(color), f"{label}, exit gate")
    by_threshold.set(
        xlabel="exit threshold",
        ylabel="decode tokens per second",
        xlim=(0, 1),
        ylim=(0, None),
        title="Speed by threshold (dashed: fixed number of loops)",
    )
    if losses is None:
        by_quality.set(xlabel="exit threshold", ylabel="loops per decoded token, mean", title="Depth by threshold")
    else:
        by_quality.set(xlabel="decode tokens per second", ylabel="loss, nats per token", title="Quality by speed")
    for axis in (by_threshold, by_quality):
        legend_below(axis)
    return save(figure, folder / "exit_speed.png")


def _decode_rate(speed: Mapping[str, Any]) -> float:
    return statistics.median(speed["decode_tokens_per_second"])


def _losses_by_depth(results: Results, perplexity: Results | None) -> dict[str, dict[float, float]] | None:
    """Return the loss by number of loops and by exit threshold; None without a perplexity of the same model."""
    if perplexity is None or perplexity.model != results.model or "depth_quality" not in perplexity.details:
        return None
    fixed = {loop: math.log(value) for loop, value in enumerate(perplexity.details["perplexity_by_loop"], start=1)}
    leaving = {round(point["threshold"], 6): point["loss"] for point in perplexity.details["depth_quality"]}
    return {"fixed": fixed, "exit": leaving}


def _plot_known(axis: Axes, pairs: list[tuple[float, float | None]], form: str, color: Any, label: str) -> None:
    known = [(rate, loss) for rate, loss in pairs if loss is not None]
    if known:
        axis.plot(*zip(*known, strict=True), form, color=color, label=label)
