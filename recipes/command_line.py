"""The command line that every recipe has."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from recipes.options import add_options
from recipes.pipeline import finish, start
from recipes.schema import Recipe
from recipes.settings import show, with_settings


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    """Run a recipe with what the command line changes of it; bad input ends with one line that says why."""
    parser = argparse.ArgumentParser(description=recipe.description)
    add_options(parser, recipe)
    options = parser.parse_args(arguments)

    try:
        recipe = with_settings(recipe, options.changes)
        training = recipe.training
        if options.seed != parser.get_default("seed"):
            training = replace(training, seed=options.seed)
        if options.total_steps is not None:
            training = training.with_total_steps(options.total_steps)
        if options.data_dir != parser.get_default("data_dir"):
            recipe = replace(recipe, data=replace(recipe.data, data_dir=options.data_dir))
        data_dir = recipe.data.data_dir
        data = replace(recipe.data, data_dir=data_dir and data_dir.resolve())
        recipe = replace(recipe, data=data, training=training, output_dir=options.output_dir)
        if options.show:
            show(recipe, Console(highlight=False))
            return
        if options.dry_run:
            dry_run(recipe)
            return
        prepared = start(recipe, options.resume, options.overwrite)
        if options.stage is not None:
            recipe.check_stage_before(options.stage)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    finish(recipe, prepared, options.stage)


def dry_run(recipe: Recipe) -> None:
    """The whole pipeline at toy size; leaves nothing behind."""
    with tempfile.TemporaryDirectory() as folder:
        toy = replace(recipe.toy(), output_dir=Path(folder))
        finish(toy, start(toy, resume=False, overwrite=False))
    print("The dry run went through; nothing of it was kept.")
