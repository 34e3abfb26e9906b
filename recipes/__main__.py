"""`python -m recipes` lists the recipes with what they cost."""

from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.tables import print_table
from recipes.schema import Recipe
from recipes.settings import parameters


def all_recipes() -> dict[str, Recipe]:
    """The recipes of this folder by the name of their file."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if "RECIPE = " in path.read_text(encoding="utf-8") and path.stem != "__main__":
            found[path.stem] = import_module(f"recipes.{path.stem}").RECIPE
    return found


def main() -> None:
    """Prints the table."""
    table = Table()
    for column in ("recipe", "parameters", "ternary", "layers x loops", "tokens"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    table.add_column("stages")
    recipes = all_recipes()
    for name, recipe in recipes.items():
        total, ternary = parameters(recipe)
        tokens = sum(stage.total_steps * stage.tokens_per_step for stage in recipe.text_stages)
        table.add_row(
            f"{name}.py", f"{total / 1e6:,.1f} M", f"{ternary / 1e6:,.1f} M",
            f"{recipe.model.num_shared_layers} x {recipe.model.num_loops}", f"{tokens / 1e6:,.1f} M",
            ", ".join(stage.name for stage in recipe.stages),
        )  # fmt: skip
    console = Console(highlight=False)
    print_table(console, table, prose=["stages"])
    for name, recipe in recipes.items():
        console.print(f"{name}: {recipe.description}")
    console.print("Start one with: accelerate launch recipes/NAME.py (--help, --show, --dry-run)")


if __name__ == "__main__":
    main()
