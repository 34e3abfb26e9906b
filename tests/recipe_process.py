"""
Run by test_processes.py: starts and trains the tests' recipe, without the report.

    recipe_process.py OUTPUT_DIR SETTINGS [--resume]
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch
from test_recipe import tiny_recipe

from recipes import start as beginning
from recipes.pretrain import pretrain


def main() -> None:
    output_dir, settings, *options = sys.argv[1:]
    recipe = tiny_recipe(Path(output_dir), **json.loads(settings))
    # Both processes of a test share the cores with others; a model so small only waits for a second thread.
    beginning.use_all_cores = partial(torch.set_num_threads, 1)
    prepared = beginning.start(recipe, resume="--resume" in options)
    pretrain(recipe, recipe.stages[0], prepared, None)


if __name__ == "__main__":
    main()
