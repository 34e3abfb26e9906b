"""The end of a run: the card of its model, and the checklist of its publication."""

import shlex
from pathlib import Path

from rich.console import Console

from evaluation.complete_files import complete_file
from model_cards.card.build import build_card
from model_cards.checklist.show import show_checklist
from recipes.pipeline.evaluate import RESULTS
from recipes.pipeline.file_names import MODEL_CARD
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.evaluate import Evaluate
from recipes.pipeline.stages.stage import Stage


def show_publication(console: Console, recipe: Recipe, last: Stage) -> None:
    """
    Write the card of a run's model into the run's folder, and print what the model has and lacks for a publication.

    Args:
        console: To print to.
        recipe: The run.
        last: Stage whose model is the run's result.
    """
    folder, results = recipe.stage_dir(last) / "model", list(_results(recipe))
    card = recipe.run_dir / MODEL_CARD
    show_checklist(console, folder, results)
    try:
        text = build_card(folder, repo=f"user/{recipe.name}", results=results)
    except ValueError as error:
        # Results of an earlier model, after a call for one stage alone: the training is done and saved all the same.
        console.print(f"No model card was written: {error}", markup=False, soft_wrap=True)
        return
    with complete_file(card) as partial:
        text.save(partial)
    command = ["nanochat-ternary", "publish", "--model", str(folder), "--repo", "USER/NAME"]
    command += ["--results", *map(str, results)] if results else []
    console.print(f"The model card is in {card}. To publish:\n    {shlex.join(command)}", markup=False, soft_wrap=True)


def _results(recipe: Recipe) -> list[Path]:
    """Folders with results of the run's model."""
    folders = [recipe.stage_dir(stage) / RESULTS for stage in recipe.active_stages if isinstance(stage, Evaluate)]
    return [folder for folder in folders if any(folder.glob("*.json"))]
