"""The command line that every recipe has."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from recipes.pipeline import finish, start
from recipes.schema import Recipe
from recipes.settings import explanation, show, with_settings


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults after each option, and the settings as they are written."""


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    """Run a recipe with what the command line changes of it; bad input ends with one line that says why."""
    parser = argparse.ArgumentParser(
        description=recipe.description, epilog=explanation(), formatter_class=HelpFormatter
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=recipe.data.data_dir,
        help="train on the .rs files in this folder; None takes the documentation of the installed Rust toolchain",
    )
    parser.add_argument("--output-dir", type=Path, default=recipe.output_dir, help="parent of the run's folder")
    parser.add_argument("--seed", type=int, default=recipe.training.seed, help="of weights and data order")
    parser.add_argument("--total-steps", type=int, help="train so many steps first; warmup and decay are scaled")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help="change a setting; repeatable"
    )
    names = [stage.name for stage in recipe.stages]
    parser.add_argument("--stage", choices=names, help="only this stage, from the one before it; needs --resume then")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="continue the run that is in the output folder")
    what.add_argument("--overwrite", action="store_true", help="delete the run that is in the output folder")
    what.add_argument("--show", action="store_true", help="print every setting, its value and meaning, and stop")
    what.add_argument(
        "--dry-run", action="store_true", help="two steps of every stage at toy size, in a folder that is deleted"
    )
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
