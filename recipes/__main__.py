"""`python -m recipes` lists the recipes with what they cost."""

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


def all_recipes() -> "dict[str, Recipe]":
    """The recipes of this folder by the name of their file."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if "RECIPE = " in path.read_text(encoding="utf-8") and path.stem != "__main__":
            found[path.stem] = import_module(f"recipes.{path.stem}").RECIPE
    return found


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes",
        description="Lists the recipes: the parameters, loops and tokens of each, and its stages.",
    )
    parser.parse_args(arguments)
    return exit_status(parser.prog, print_recipes)


def print_recipes() -> int:
    """Prints the table; returns the exit status."""
    # `--help` answers at once, without PyTorch.
    from recipes.pipeline.settings import parameters

    table = Table()
    for column in ("recipe", "parameters", "ternary", "layers x loops", "tokens"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    table.add_column("stages")
    recipes = all_recipes()
    for name, recipe in recipes.items():
        total, ternary = parameters(recipe)
        tokens = sum(stage.total_steps * stage.tokens_per_step for stage in recipe.text_stages)
        table.add_row(
            f"{name}.py",
            f"{total / 1e6:,.1f} M",
            f"{ternary / 1e6:,.1f} M",
            f"{recipe.model.num_shared_layers} x {recipe.model.num_loops}",
            f"{tokens / 1e6:,.1f} M",
            ", ".join(stage.name for stage in recipe.stages),
        )
    console = Console(highlight=False)
    print_table(console, table, prose=["stages"])
    for name, recipe in recipes.items():
        console.print(f"{name}: {recipe.description}")
    console.print("Start one with: accelerate launch recipes/NAME.py (--help, --show, --dry-run)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
