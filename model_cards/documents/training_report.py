"""TRAINING_REPORT.md: how a model was trained, from the files that its run left."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from evaluation.tables import markdown_rows
from model_cards.card.run_record import RunRecord, StageRecord
from model_cards.card.training_record import (
    NOT_RECORDED,
    before_and_after,
    duration,
    hardware_words,
    stage_words,
    total_duration,
)
from model_cards.documents.training_data import data_parts
from model_cards.documents.training_plots import REWARDS, stage_plots

IMAGES = "images"
SETTINGS = {
    "batch_size": "blocks per step",
    "seq_len": "tokens per block",
    "peak_lr": "peak learning rate",
    "min_lr": "last learning rate",
    "warmup_steps": "steps of warmup",
    "decay_steps": "steps of decay",
    "schedule": "schedule",
    "num_loops": "loops",
    "exit_entropy_weight": "weight of the exit entropy",
    "prompts_per_step": "prompts per step",
    "num_generations": "completions per prompt",
    "max_completion_length": "tokens of a completion, at most",
    "learning_rate": "learning rate",
    "estimator": "estimator",
    "mode": "reward for completions that",
    "mix": "mix of the text",
}
"""Settings of a stage that the report names; the recipe at its end has all of them."""


def training_report(name: str, run: RunRecord | None, target: Path) -> str:
    """
    Return TRAINING_REPORT.md, and plot into the folder of its images.

    Args:
        name: Name of the model.
        run: The run that trained it; None when it is not known.
        target: Folder that the document is for; its subfolder `images` must exist.
    """
    return "\n\n".join(_parts(name, run, target)) + "\n"


def _parts(name: str, run: RunRecord | None, target: Path) -> Iterator[str]:
    yield f"# Training report of {name}"
    yield (
        f"Generated from the files that the training run left. What they do not hold is listed as {NOT_RECORDED}. The "
        "model itself and its quality are described in [README.md](README.md)."
    )
    if run is None or not run.stages:
        yield f"Stages, losses, exit depth, hardware and duration: {NOT_RECORDED}."
    else:
        yield "## Stages"
        yield _stage_table(run.stages)
        yield _total(run.stages)
        yield f"Optimizer: `{run.recipe['training']['optimizer']}`, with the settings in the recipe at the end."
        yield from _held_out(run.stages)
        for stage in run.stages:
            yield from _stage(stage, target)
    yield "## Data"
    if run is None:
        yield f"Sources, licenses and verdicts of the compiler: {NOT_RECORDED}."
        yield "## Recipe"
        yield f"The settings of the run: {NOT_RECORDED}."
        return
    yield from data_parts(run)
    yield "## Recipe"
    yield "All settings of the run, as it kept them. Of folders only the last part is shown; that of the texts is not."
    recipe = json.dumps(run.public_recipe, indent=2)
    yield f"<details><summary>recipe.json</summary>\n\n```json\n{recipe}\n```\n\n</details>"


def _stage_table(stages: tuple[StageRecord, ...]) -> str:
    rows = [["stage", "kind", "steps", "tokens of text", "duration", "tokens per second", "hardware"]]
    for stage in stages:
        seconds = stage.seconds
        rows.append(
            [
                stage.name,
                "reinforcement learning" if stage.is_reinforcement else "text",
                f"{stage.settings['total_steps']:,}",
                "none" if stage.is_reinforcement else f"{stage.tokens:,}" if stage.tokens else NOT_RECORDED,
                NOT_RECORDED if seconds is None else duration(seconds),
                _speed(stage),
                hardware_words((stage,)),
            ]
        )
    return markdown_rows(rows, right=(2, 3, 5))


def _speed(stage: StageRecord) -> str:
    """Tokens per second: as the stage measured it at its end, or else the median of its logs."""
    measured = stage.finished.get("tokens_per_second")
    if measured:
        return f"{measured:,.0f}"
    logged = [entry["tokens_per_second"] for entry in stage.logs if "tokens_per_second" in entry]
    return f"{statistics.median(logged):,.0f} (median of the logs)" if logged else NOT_RECORDED


def _total(stages: tuple[StageRecord, ...]) -> str:
    if all(stage.seconds is None for stage in stages):
        return f"Duration of all stages: {NOT_RECORDED}."
    return (
        f"Duration of all stages: {total_duration(stages)}. It is the time in which the steps of the model were made, "
        "added up over all calls that continued the run; evaluations and checkpoints in between are part of it, "
        "preparing the data and the measurements before and after a stage are not."
    )


def _held_out(stages: tuple[StageRecord, ...]) -> Iterator[str]:
    losses = {stage.name: stage.finished.get("held_out_loss") or () for stage in stages}
    loops = max(map(len, losses.values()))
    if not loops:
        yield f"Loss on held-out text at the end of the stages: {NOT_RECORDED}."
        return
    yield "Loss on held-out text at the end of each stage, in nats per token, after each loop:"
    rows = [["stage", *(f"loop {loop}" for loop in range(1, loops + 1))]]
    rows += [[name, *(f"{loss:.4f}" for loss in found)] for name, found in losses.items() if found]
    yield markdown_rows(rows, right=range(1, loops + 1))


def _stage(stage: StageRecord, target: Path) -> Iterator[str]:
    yield f"## Stage `{stage.name}`"
    words = stage_words(stage)
    yield f"{words[0].upper()}{words[1:]}."
    chosen = [[words, _setting(stage.settings[name])] for name, words in SETTINGS.items() if name in stage.settings]
    yield markdown_rows([["setting", "value"], *chosen])
    if not stage.logs:
        yield f"Curves: {NOT_RECORDED}."
        return
    for image in stage_plots(stage, target / IMAGES):
        yield f"![{image.alt}]({IMAGES}/{image.path.name})"
    yield from _rewards(stage) if stage.is_reinforcement else _losses(stage)


def _losses(stage: StageRecord) -> Iterator[str]:
    """First and last log of a stage that trained on text: losses, and exit depth where the loops were logged."""
    first_and_last = list({entry["step"]: entry for entry in (stage.logs[0], stage.logs[-1])}.values())
    loops = [loop for loop in range(1, 1 + len(stage.logs[-1])) if f"loop_{loop}_loss" in stage.logs[-1]]
    yield "The first and the last log. Losses are in nats per token, each a mean over the steps since the log before."
    rows = [["step", "objective", *(f"loss after loop {loop}" for loop in loops)]]
    rows += [
        [f"{entry['step']:,}", f"{entry['loss']:.4f}", *(_number(entry, f"loop_{loop}_loss") for loop in loops)]
        for entry in first_and_last
    ]
    yield markdown_rows(rows, right=range(len(rows[0])))
    exits = [loop for loop in range(1, 1 + len(stage.logs[-1])) if f"exit_{loop}" in stage.logs[-1]]
    if not exits:
        yield f"Exit depth: {NOT_RECORDED}."
    else:
        yield (
            "Exit depth: share of the tokens that the exit gate sends out after each loop, in the same logs. In "
            "training every loop is computed for every token."
        )
        rows = [["step", "mean exit loop", *(f"loop {loop}" for loop in exits)]]
        rows += [
            [
                f"{entry['step']:,}",
                _number(entry, "mean_exit_loop", ".2f"),
                *(_number(entry, f"exit_{loop}", ".1%") for loop in exits),
            ]
            for entry in first_and_last
        ]
        yield markdown_rows(rows, right=range(len(rows[0])))
    measured = [entry for entry in stage.evaluations if "eval_loss" in entry]
    if measured:
        ends = {entry["step"]: entry["eval_loss"] for entry in (measured[0], measured[-1])}
        losses = ", ".join(f"{loss:.4f} at step {step:,}" for step, loss in ends.items())
        which = f", first and last of {len(measured):,} evaluations" if len(measured) > 1 else ""
        yield f"Loss on held-out text during the stage{which}: {losses}."


def _rewards(stage: StageRecord) -> Iterator[str]:
    """First and last log of reinforcement learning, and what was measured before and after."""
    meaning = next((entry["success_means"] for entry in stage.logs if "success_means" in entry), NOT_RECORDED)
    yield f"A completion succeeds if: {meaning}."
    names = [name for name in REWARDS if any(name in entry for entry in stage.logs)]
    if names:
        rows = [["step", *(REWARDS[name] for name in names)]]
        formats = {name: ".4f" if name == "reward" else ".1%" for name in names}
        rows += [
            [f"{entry['step']:,}", *(_number(entry, name, formats[name]) for name in names)]
            for entry in {entry["step"]: entry for entry in (stage.logs[0], stage.logs[-1])}.values()
        ]
        yield markdown_rows(rows, right=range(len(rows[0])))
    if "solved" in stage.finished:
        yield (
            f"On {stage.finished['tasks']:,} held-out tasks, {stage.finished['samples']:,} completions of each at "
            "temperature one, with 95 % intervals over the tasks:"
        )
        measured = {"solved": "solved", "solved_at_all": "solved by at least one completion", "compiles": "compile"}
        rows = [[words, before_and_after(stage.finished[name])] for name, words in measured.items()]
        yield markdown_rows([["share", "before and after the stage"], *rows])


def _number(entry: dict, name: str, format_spec: str = ".4f") -> str:
    return f"{entry[name]:{format_spec}}" if name in entry else NOT_RECORDED


def _setting(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, dict):
        return ", ".join(f"{name} {share:g}" for name, share in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)
