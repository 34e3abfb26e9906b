"""The end of a run: the card of its model, and the checklist of its publication."""

from pathlib import Path

from rich.console import Console

from evaluation.complete_files import complete_file
from evaluation.results import Results
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
    path = recipe.run_dir / MODEL_CARD
    try:
        card = build_card(folder, repo=f"user/{recipe.name}", results=results)
    except ValueError as error:
        # Results of an earlier model, for example. The model is trained and saved all the same.
        console.print(f"There is no model card: {error}", markup=False, soft_wrap=True)
    else:
        with complete_file(path) as partial:
            card.save(partial)
        console.print(f"The model card is in {path}", markup=False, soft_wrap=True)
    show_checklist(console, folder, results)


def _results(recipe: Recipe) -> list[Path]:
    """Folders with results of the run's model."""
    folders = [recipe.stage_dir(stage) / RESULTS for stage in recipe.active_stages if isinstance(stage, Evaluate)]
    return [folder for folder in folders if Results.files(folder)]
