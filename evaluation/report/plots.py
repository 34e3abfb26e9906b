"""Plots that compare runs: headline metrics with intervals, exit loops, and metrics by depth."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import MaxNLocator, PercentFormatter

from evaluation.figures import ordered_colors, panels, save
from evaluation.report.depths import DepthCurve, ExitHistogram
from evaluation.report.overview import Overview
from evaluation.results import Interval

COLUMNS = 3
MAX_PANELS = 12
COLOR = "tab:blue"


def plot_overview(overview: Overview, folder: Path) -> Path | None:
    """
    Plot the headline metrics of all runs with their intervals, a panel for each metric, into `overview.png`; return
    its path, or None if there are no metrics.
    """
    if not overview.columns:
        return None
    names = [_label(name) for name, _ in overview.rows]
    height = 1.3 + 0.32 * len(names)
    count = len(overview.columns)
    figure, axes = _grid(count, height)
    for place, ((benchmark, metric), axis) in enumerate(zip(overview.columns, axes, strict=False)):
        cells = [cells[place] for _, cells in overview.rows]
        known = [(row, cell) for row, cell in enumerate(cells) if cell is not None]
        for row, cell in known:
            low, high = _reach(cell.interval)
            axis.errorbar(cell.interval.value, row, xerr=[[low], [high]], fmt="o", color=COLOR, capsize=4)
        axis.set(title=f"{benchmark}\n{metric}", yticks=range(len(names)), yticklabels=names)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.title.set_fontsize(10)
        if known and known[0][1].share:
            axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        axis.xaxis.set_major_locator(MaxNLocator(5))
    return save(figure, folder / "overview.png")


def plot_exit_loops(histograms: Sequence[ExitHistogram], folder: Path) -> Path | None:
    """
    Plot the share of tokens that left after each loop, a panel for each suite of each run (the first 12), into
    `exit_loops.png`; return its path, or None without such samples.
    """
    shown = histograms[:MAX_PANELS]
    if not shown:
        return None
    depth = max(max(each.counts) for each in shown)
    figure, axes = _grid(len(shown), 2.8)
    colors = ordered_colors(depth)
    for histogram, axis in zip(shown, axes, strict=False):
        loops = range(1, depth + 1)
        shares = [histogram.counts.get(loop, 0) / histogram.total for loop in loops]
        bars = axis.bar(list(loops), shares, color=colors)
        axis.bar_label(bars, [f"{share:.1%}" for share in shares], fontsize=8)
        axis.set(
            title=f"{_label(histogram.run)}\n{histogram.benchmark}, {histogram.total:,} tokens", xticks=list(loops)
        )
        axis.set(xlabel="left after loop", ylim=(0, 1.1 * max(shares)))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
        axis.title.set_fontsize(10)
    return save(figure, folder / "exit_loops.png")


def plot_depth_curves(curves: Sequence[DepthCurve], folder: Path) -> Path | None:
    """
    Plot metrics against loops per token with their intervals (the first 12 curves) into `depths.png`; return its path,
    or None without curves.
    """
    shown = curves[:MAX_PANELS]
    if not shown:
        return None
    figure, axes = _grid(len(shown), 3.2)
    for curve, axis in zip(shown, axes, strict=False):
        loops, intervals = zip(*curve.points, strict=True)
        reach = list(zip(*map(_reach, intervals), strict=True))
        axis.errorbar(loops, [each.value for each in intervals], yerr=reach, fmt="o-", color=COLOR, capsize=4)
        axis.set(title=_label(curve.title), xlabel="loops per token", ylabel=curve.metric)
        axis.title.set_fontsize(10)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        if curve.share:
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    return save(figure, folder / "depths.png")


def _grid(count: int, height: float) -> tuple:
    """Return a figure with at least `count` panels; those that are left over are hidden."""
    columns = min(COLUMNS, count)
    figure, axes = panels(-(-count // columns), columns, width=4.4, height=height)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes


def _label(name: str) -> str:
    """Return a name as matplotlib shows it literally: without formulas and without characters that cannot be shown."""
    return "".join(each if each.isprintable() else "?" for each in name).replace("$", r"\$")


def _reach(interval: Interval) -> tuple[float, float]:
    """Return the distances from the value to the limits; 0 without limits."""
    if interval.low is None or interval.high is None:
        return 0.0, 0.0
    return max(0.0, interval.value - interval.low), max(0.0, interval.high - interval.value)
