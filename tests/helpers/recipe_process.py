"""
Run by test_processes.py: starts and trains the tests' recipe, without the report.

    recipe_process.py OUTPUT_DIR SETTINGS [--resume]
"""

import json
import sys
from pathlib import Path

from recipes.pipeline import start as beginning
from recipes.pipeline.pretrain import pretrain
from tests.helpers.tiny_recipe import tiny_recipe


def train(output_dir: Path, settings: dict, resume: bool) -> None:
    """Start the recipe and train its first stage."""
    recipe = tiny_recipe(output_dir, **settings)
    # Both processes of a test share the cores with others; a model so small only waits for a second thread.
    recipe = recipe.changed(data={"verified_sample": 0}, hardware={"cpu_threads": 1})
    prepared = beginning.start(recipe, resume=resume)
    pretrain(recipe, recipe.stages[0], prepared, None)


def main() -> None:
    output_dir, settings, *options = sys.argv[1:]
    train(Path(output_dir), json.loads(settings), "--resume" in options)


if __name__ == "__main__":
    main()
