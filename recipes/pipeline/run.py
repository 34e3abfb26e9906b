"""The pipeline every recipe goes through: the stages of training, export, report."""

from pathlib import Path

from rich.console import Console

from evaluation.rust.sandbox.runner import OPT_IN
from recipes.pipeline.export import export
from recipes.pipeline.folder import resume_command
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.pretrain import pretrain
from recipes.pipeline.processes import process_state
from recipes.pipeline.reinforce import reinforce
from recipes.pipeline.report import report
from recipes.pipeline.schema import Recipe
from recipes.pipeline.start import needs_consent
from trainers.stages import MaxRLStage, Stage

console = Console(highlight=False)


def finish(recipe: Recipe, prepared: Prepared, only: str | None = None) -> MaxRLStage | None:
    """
    The stages after the start, or only one of them, whose predecessor is finished; each uses what an earlier,
    interrupted call left. What was trained is exported and reported.

    Returns:
        The stage before which it stopped, because it runs programs that the model wrote and the user has not allowed
        it; None when all stages are finished.
    """
    is_main = process_state().is_main_process
    previous: Path | None = None
    blocked = None
    for stage in recipe.stages:
        if only in (None, stage.name):
            if needs_consent(stage) and not (recipe.stage_dir(stage) / "finished.json").exists():
                blocked = stage
                break
            if len(recipe.stages) > 1 and is_main:
                text = isinstance(stage, Stage)
                size = f"{stage.tokens_per_step:,} tokens" if text else f"{stage.completions_per_step:,} completions"
                console.print(f"Stage {stage.name}: {stage.total_steps:,} steps of {size}")
            if isinstance(stage, Stage):
                pretrain(recipe, stage, prepared, previous)
            else:
                reinforce(recipe, stage, prepared, previous)
            trained = stage
        previous = recipe.stage_dir(stage) / "model"
    if is_main:
        report(recipe, prepared, trained, export(recipe, recipe.stage_dir(trained) / "model", prepared.tokenizer))
    process_state().wait_for_everyone()
    return blocked


def how_to_go_on(recipe: Recipe, blocked: MaxRLStage) -> str:
    """The message of a run that stopped before a stage that needs the user's consent, with the command to go on."""
    return (
        f"Stopped before stage {blocked.name}, which runs programs that the model writes, in the sandbox. If you "
        f"accept that, go on with\n    {OPT_IN}=1 {resume_command(recipe)}"
    )
