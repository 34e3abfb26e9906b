"""
Run by test_processes.py: starts and trains the tests' recipe, without the report.

    recipe_process.py OUTPUT_DIR SETTINGS [--resume]
"""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from recipes.pipeline import start as beginning
from recipes.pipeline.pretrain import pretrain
from tests.helpers.tiny_recipe import tiny_recipe


def train(output_dir: Path, settings: dict, resume: bool) -> None:
    """Start the recipe and train its first stage."""
    recipe = tiny_recipe(output_dir, **settings)
    recipe = replace(recipe, data=replace(recipe.data, verified_sample=0))
    prepared = beginning.start(recipe, resume=resume)
    pretrain(recipe, recipe.stages[0], prepared, None)


def main() -> None:
    output_dir, settings, *options = sys.argv[1:]
    # Both processes of a test share the cores with others; a model so small only waits for a second thread.
    beginning.use_all_cores = partial(torch.set_num_threads, 1)
    train(Path(output_dir), json.loads(settings), "--resume" in options)


if __name__ == "__main__":
    main()
