"""A recipe as a program: parses its options before PyTorch is imported, so that `--help` answers at once."""

import argparse
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from evaluation.exit_status import BAD_INPUT, quiet_libraries
from evaluation.options import CommandParser, add_command
from recipes.pipeline.launcher import end_run
from recipes.pipeline.options import add_options

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


class RecipeParser(CommandParser):
    """A parser whose errors end the launcher without a traceback, as all errors of a recipe do."""

    def error(self, message: str) -> NoReturn:
        end_run(self.error_line(message), BAD_INPUT)


def main(make_recipe: "Callable[[], Recipe]", arguments: list[str] | None = None) -> None:
    """
    Run a recipe with the options of the command line. What cannot be done ends with one line that says why.

    Args:
        make_recipe: Function whose docstring describes the recipe.
        arguments: Of the command line; None takes those of this process.
    """
    parser = RecipeParser(description=make_recipe.__doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    quiet_libraries()
    from recipes.pipeline.command_line import run_recipe

    run_recipe(make_recipe, options, parser.prog)


def add_train(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command `train`."""
    parser = add_command(
        subcommands,
        "train",
        lambda options: _train(options, parser.prog),
        "train a model by a recipe",
        "Train a model by a recipe, in this process. On several devices: accelerate launch recipes/RECIPE.py, with "
        "the same options.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a file with a function of its name")
    add_options(parser)


def _train(options: argparse.Namespace, program: str) -> int:
    make_recipe = find_recipe(options.recipe)
    from recipes.pipeline.command_line import run_recipe

    run_recipe(make_recipe, options, program)
    return 0


def find_recipe(name: str) -> "Callable[[], Recipe]":
    """
    The function that makes a recipe.

    Args:
        name: Of a recipe of this project, or the path of a Python file; both hold a function of the file's name.

    Raises:
        ValueError: There is no such recipe.
    """
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        specification = spec_from_file_location(path.stem, path)
        assert specification is not None and specification.loader is not None, "the suffix is one of Python"
        module = module_from_spec(specification)
        specification.loader.exec_module(module)
        if not callable(vars(module).get(path.stem)):
            raise ValueError(f"{path} must define a function {path.stem}() that returns a Recipe")
        return vars(module)[path.stem]
    known = recipe_names()
    if name not in known:
        raise ValueError(f"RECIPE must be one of {', '.join(known)}, or a Python file, got {name!r}")
    return vars(import_module(f"recipes.{name}"))[name]


def recipe_names() -> list[str]:
    """Names of the recipes: the files of `recipes/` that define a function of their own name."""
    files = sorted(Path(__file__).parents[1].glob("*.py"))
    return [path.stem for path in files if f"def {path.stem}() -> Recipe:" in path.read_text(encoding="utf-8")]
