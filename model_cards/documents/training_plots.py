"""Plots of a stage for the training report: loss, exit depth, and the curves of reinforcement learning."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.figures import legend_below, panels, save
from evaluation.training_curves import STEPS, Logs, curve, plot_exits, plot_losses
from model_cards.card.run_record import StageRecord

REWARDS = {
    "success_rate": "completions that succeed",
    "compile_success_rate": "completions that compile",
    "reward": "mean reward",
}
"""What reinforcement learning logs of its rewards, with a description each."""


@dataclass(frozen=True)
class Image:
    """A plot: its file, and a description for those who do not see it."""

    path: Path
    alt: str


def stage_plots(stage: StageRecord, folder: Path) -> list[Image]:
    """Plot what a stage logged into a folder; nothing when it logged less than twice."""
    return list(_plots(stage, folder)) if len(stage.logs) > 1 else []


def _plots(stage: StageRecord, folder: Path) -> Iterator[Image]:
    logged = {name for entry in stage.logs for name in entry}
    if stage.is_reinforcement:
        if logged & REWARDS.keys():
            shown = ", ".join(words for name, words in REWARDS.items() if name in logged)
            alt = f"Rewards of stage {stage.name} by step: {shown}"
            yield Image(_plot_rewards(stage.logs, folder / f"{stage.name}_rewards.png"), alt)
        return
    figure, (axis,) = panels(1, 1, width=7, height=4.8)
    plot_losses(axis, stage.logs, stage.evaluations)
    axis.set_xlabel(STEPS)
    alt = f"Loss of stage {stage.name} by step, after each loop, on training text and on held-out text if measured"
    yield Image(save(figure, folder / f"{stage.name}_loss.png"), alt)
    if "exit_2" in logged:
        figure, (axis,) = panels(1, 1, width=7, height=4.8)
        plot_exits(axis, stage.logs, stage.evaluations)
        axis.set_xlabel(STEPS)
        alt = f"Share of the tokens that exit after each loop, by step of stage {stage.name}"
        yield Image(save(figure, folder / f"{stage.name}_exit_depth.png"), alt)


def _plot_rewards(logs: Logs, path: Path) -> Path:
    figure, (axis,) = panels(1, 1, width=7, height=4.8)
    # Curves that coincide, as for a reward of 1 for each success, stay visible below one another.
    for (name, words), width in zip(REWARDS.items(), (5, 3, 1), strict=True):
        steps, values = curve(logs, name)
        if steps:
            axis.plot(steps, values, label=words, linewidth=width)
    axis.set(title="Rewards", xlabel=STEPS, ylabel="mean over the completions of a step")
    legend_below(axis, columns=3)
    return save(figure, path)
