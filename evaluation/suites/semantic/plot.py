"""The plot of the accuracy on minimal pairs after each loop."""

from pathlib import Path

import matplotlib

from evaluation.figures import legend_below, panels, save
from evaluation.results import Results


def plot_accuracy_by_loop(results: Results, folder: Path) -> Path:
    """
    Draw the accuracy after each loop, over all categories and of each one, with 95 % intervals over the templates,
    into `semantic_by_loop.png`; return its path.

    Args:
        results: Of the suite `semantic`, of a LoopLM.
        folder: Folder for the plot.
    """
    curves = results.details["by_loop"]
    figure, (axis,) = panels(1, 1, width=7, height=5)
    colors = matplotlib.colormaps["tab10"]
    axis.axhline(50, color="black", linewidth=1, linestyle=":")
    for index, (category, intervals) in enumerate(curves.items()):
        # Moved apart, so that the intervals do not cover each other.
        loops = [loop + 0.05 * (index - (len(curves) - 1) / 2) for loop in range(1, len(intervals) + 1)]
        values = [100 * each["value"] for each in intervals]
        reach = [
            [100 * (each["value"] - each["low"]) for each in intervals],
            [100 * (each["high"] - each["value"]) for each in intervals],
        ]
        label = category.replace("_", " ") or "all categories"
        style = {"color": "black", "linewidth": 2.5} if not category else {"color": colors(index), "linewidth": 1.2}
        axis.errorbar(loops, values, reach, fmt="o-", capsize=3, elinewidth=0.8, label=label, **style)
    axis.set(
        title=f"Pairs in which the program that compiles is more probable ({results.details['num_pairs']} pairs)",
        xticks=range(1, len(curves[""]) + 1),
        xlabel="after loop (dotted: by chance)",
        ylabel="accuracy in %, with 95 % intervals",
    )
    legend_below(axis, columns=3)
    return save(figure, folder / "semantic_by_loop.png")
