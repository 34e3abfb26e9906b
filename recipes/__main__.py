"""`python -m recipes` lists the recipes with their sizes."""

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from evaluation.exit_status import exit_status
from evaluation.tables import print_table

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


def recipe_names() -> list[str]:
    """Names of the recipes: the files of this folder that define a function of their own name."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [path.stem for path in files if f"def {path.stem}() -> Recipe:" in path.read_text(encoding="utf-8")]


def recipe_named(name: str) -> "Recipe":
    """The recipe of this name; imports PyTorch."""
    return getattr(import_module(f"recipes.{name}"), name)()


def all_recipes() -> "dict[str, Recipe]":
    """The recipes by name."""
    return {name: recipe_named(name) for name in recipe_names()}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes",
        description="List the recipes: parameters, loops and tokens of each, and its stages.",
    )
    parser.parse_args(arguments)
    return exit_status(parser.prog, print_recipes)


def print_recipes() -> int:
    """Print the table; return the exit status."""
    # `--help` answers at once, without PyTorch.
    from recipes.pipeline.settings import parameters

    table = Table()
    for column in ("recipe", "parameters", "ternary", "layers x loops"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    table.add_column("stages")
    recipes = all_recipes()
    for name, recipe in recipes.items():
        total, ternary = parameters(recipe)
        table.add_row(
            f"{name}.py",
            f"{total / 1e6:,.1f} M",
            f"{ternary / 1e6:,.1f} M",
            f"{recipe.model.num_shared_layers} x {recipe.model.num_loops}",
            "\n".join(f"{stage.name}: {stage.summary()}" for stage in recipe.active_stages),
        )
    console = Console(highlight=False)
    print_table(console, table, prose=["stages"])
    for name, recipe in recipes.items():
        console.print(f"{name}: {recipe.description}")
    console.print("Start one with: accelerate launch recipes/NAME.py (--help, --show, --dry-run)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
