"""The loop over the stages of a run, and the report at its end."""

from pathlib import Path

from rich.console import Console

from evaluation.rust.sandbox.runner import OPT_IN
from model_cards.snapshot.recorded import record_code
from recipes.pipeline.folder import resume_command
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.processes import process_state
from recipes.pipeline.report import report
from recipes.pipeline.schema import Recipe
from recipes.pipeline.source import with_source
from recipes.pipeline.stages.stage import Stage
from trainers.stopping import OutOfTime

console = Console(highlight=False)


def finish(recipe: Recipe, prepared: Prepared, only: str | None = None) -> Stage | None:
    """
    Run the stages of a started run, or only one of them, whose predecessor is finished; then those that close every
    run, and the report. If the only one closes every run itself, nothing is trained. Stages continue what an earlier,
    interrupted call left.

    Returns:
        The stage before which it stopped, because it runs programs that the model wrote and the user has not allowed
        it; None when nothing is left.

    Raises:
        OutOfTime: The time limit of the recipe is over.
    """
    recipe = with_source(recipe, recipe.run_dir)
    is_main = process_state().is_main_process
    closing = only_closing(recipe, only)
    previous: Path | None = None
    trained: Stage | None = None
    blocked: Stage | None = None
    for stage in recipe.active_stages:
        if stage.closes_run:
            continue
        if closing is not None:
            trained = stage if stage.is_finished(recipe) else trained
            continue
        if blocked is None and only in (None, stage.name):
            if stage.needs_consent() and not stage.is_finished(recipe):
                blocked = stage
                continue
            if recipe.time_limit is not None and not stage.is_finished(recipe) and recipe.time_limit.is_over():
                raise OutOfTime(f"before stage {stage.name}")
            if is_main:
                console.print(f"Stage {stage.name}: {stage.summary()}")
                if not stage.is_finished(recipe):
                    record_code(recipe.run_dir, stage.name)
            stage.run(recipe, prepared, previous)
            trained = stage
        previous = stage.model_folder(recipe)
    assert trained is not None, "a run that is blocked before its first stage is refused at its start"
    if is_main:
        for stage in recipe.active_stages:
            if stage.closes_run and closing in (None, stage):
                console.print(f"Stage {stage.name}: {stage.summary()}", markup=False)
                stage.run(recipe, prepared, trained.model_folder(recipe))
        report(recipe, prepared, trained)
    # The other processes end here: an evaluation may take longer than processes wait for each other.
    return blocked


def only_closing(recipe: Recipe, only: str | None) -> Stage | None:
    """The stage that alone is to run, if it closes every run."""
    stage = None if only is None else recipe.active_stage(only)
    return stage if stage is not None and stage.closes_run else None


def how_to_go_on(recipe: Recipe, blocked: Stage) -> str:
    """The message of a run that stopped before a stage that needs the user's consent, with the command to go on."""
    return (
        f"Stopped before stage {blocked.name}, which runs programs that the model writes, in the sandbox. If you "
        f"accept that, go on with\n    {OPT_IN}=1 {resume_command(recipe)}"
    )
