"""The command line that every recipe has."""

import argparse
from dataclasses import replace
from pathlib import Path

from recipes.pipeline import finish, start
from recipes.schema import Recipe


def main(recipe: Recipe, arguments: list[str] | None = None) -> None:
    """Run a recipe with what the command line changes of it; bad input ends with one line that says why."""
    parser = argparse.ArgumentParser(
        description=recipe.description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=recipe.data.data_dir,
        help="train on the .rs files in this folder; None takes the documentation of the installed Rust toolchain",
    )
    parser.add_argument("--output-dir", type=Path, default=recipe.output_dir, help="parent of the run's folder")
    parser.add_argument("--seed", type=int, default=recipe.training.seed, help="of weights and data order")
    parser.add_argument("--total-steps", type=int, help="train for so many steps; warmup and decay are scaled")
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="continue the run that is in the output folder")
    existing.add_argument("--overwrite", action="store_true", help="delete the run that is in the output folder")
    options = parser.parse_args(arguments)

    try:
        training = replace(recipe.training, seed=options.seed)
        if options.total_steps is not None:
            training = training.with_total_steps(options.total_steps)
        recipe = replace(
            recipe,
            data=replace(recipe.data, data_dir=options.data_dir and options.data_dir.resolve()),
            training=training,
            output_dir=options.output_dir,
        )
        prepared = start(recipe, options.resume, options.overwrite)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    finish(recipe, prepared)
