"""`python -m recipes` lists the recipes with their sizes."""

import argparse
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from evaluation.exit_status import exit_status
from evaluation.options import CommandParser, add_command
from evaluation.tables import print_table
from recipes.pipeline.program import find_recipe, recipe_names

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


DESCRIPTION = "List the recipes: parameters and loops of each, and its stages."


def all_recipes() -> "dict[str, Recipe]":
    """The recipes by name."""
    return {name: find_recipe(name)() for name in recipe_names()}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = CommandParser(prog="python -m recipes", description=DESCRIPTION)
    parser.parse_args(arguments)
    return exit_status(parser.prog, print_recipes)


def add_recipes(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `recipes`."""
    add_command(subcommands, "recipes", lambda _: print_recipes(), "list the recipes with their sizes", DESCRIPTION)


def print_recipes() -> int:
    """Print the table; return the exit status."""
    # `--help` answers at once, without PyTorch.
    from recipes.pipeline.settings import parameters

    table = Table()
    for column in ("recipe", "parameters", "ternary", "layers"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    table.add_column("stages")
    recipes = all_recipes()
    for name, recipe in recipes.items():
        total, ternary = parameters(recipe)
        table.add_row(
            name,
            f"{total / 1e6:,.1f} M",
            f"{ternary / 1e6:,.1f} M",
            recipe.model.stack_in_words(),
            "\n".join(f"{stage.name}: {stage.summary()}" for stage in recipe.active_stages),
        )
    console = Console(highlight=False)
    print_table(console, table, prose=["stages"])
    for name, recipe in recipes.items():
        console.print(f"{name}: {recipe.description}")
    console.print("Start one with: nanochat-ternary train NAME (--help, --show, --dry-run), or on several devices")
    console.print("with: accelerate launch recipes/NAME.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
