"""Parts that all plots share: colors of loops, legends beside the data, files that are written completely."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PANEL_WIDTH, PANEL_HEIGHT = 5.0, 4.0


def panels(rows: int, columns: int, width: float = PANEL_WIDTH, height: float = PANEL_HEIGHT) -> tuple[Figure, list]:
    """Return a figure and its axes, row by row; `width` and `height` of one panel are in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def ordered_colors(count: int) -> Sequence:
    """Return colors for ordered things, such as loops: from dark to light, and distinct in gray as well."""
    return matplotlib.colormaps["viridis"]([index / max(1, count - 1) * 0.88 for index in range(count)])


def legend_below(axis: Axes, columns: int = 2) -> None:
    """Put the legend below the label of the x axis, where there are no data."""
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, fontsize="small", frameon=False)


def save(figure: Figure, path: Path) -> Path:
    """Save a figure with a grid in every panel, completely or not at all; return `path`."""
    for axis in figure.axes:
        axis.grid(alpha=0.3)
    unfinished = path.with_suffix(".new.png")
    figure.savefig(unfinished, dpi=110)
    return unfinished.replace(path)
