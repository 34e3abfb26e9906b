"""The options of every recipe, and what its settings mean; without PyTorch, so that `--help` answers at once."""

import argparse
import ast
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.exit_status import quiet_libraries

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe

ROOT = Path(__file__).parents[2]
ENTRY = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {8}.*)*)", re.MULTILINE)
SETTINGS = {
    "model": ("modeling_nanochat/configuration_nanochat.py", "LoopLMConfig"),
    "data": ("recipes/pipeline/schema.py", "DataRecipe"),
    "training": ("recipes/pipeline/schema.py", "TrainingRecipe"),
    "export": ("recipes/pipeline/schema.py", "ExportRecipe"),
    "stages.STAGE": ("trainers/stages.py", "Stage"),
    "stages.MAXRL_STAGE": ("trainers/stages.py", "MaxRLStage"),
}
"""File and name of each section's class, whose docstring says what its fields mean."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults after each option, and the settings as they are written."""


def add_options(parser: argparse.ArgumentParser, recipe: "Recipe | None" = None) -> None:
    """Adds the options; with the recipe's values as defaults and the names of its stages, where it is given."""
    parser.formatter_class, parser.epilog = HelpFormatter, explanation()
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="train on the .rs files in this folder; None takes the documentation of the installed Rust toolchain",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs"), help="parent of the run's folder")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data order")
    parser.add_argument("--total-steps", type=int, help="train so many steps first; warmup and decay are scaled")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help="change a setting; repeatable"
    )
    parser.add_argument(
        "--stage",
        choices=None if recipe is None else [stage.name for stage in recipe.stages],
        help="only this stage, from the one before it; needs --resume then",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--resume", action="store_true", help="continue the run in the output folder, with the settings it has"
    )
    what.add_argument(
        "--overwrite", action="store_true", help="put a new run in the place of the one in the output folder"
    )
    what.add_argument("--show", action="store_true", help="print every setting, its value and meaning, and stop")
    what.add_argument(
        "--dry-run", action="store_true", help="two steps of every stage at toy size, in a folder that is deleted"
    )
    if recipe is not None:
        parser.set_defaults(data_dir=recipe.data.data_dir, output_dir=recipe.output_dir, seed=recipe.training.seed)


def before_imports(description: str) -> None:
    """
    What a recipe that is run as a program does first, before PyTorch is imported: prints the help and ends where
    `--help` is asked for, and else silences libraries.
    """
    if {"-h", "--help"}.intersection(sys.argv[1:]):
        parser = argparse.ArgumentParser(description=description)
        add_options(parser)
        parser.parse_args()
    quiet_libraries()


def documented_fields(docstring: str) -> dict[str, str]:
    """The meaning of each field of a class, from its docstring."""
    found = {}
    for names, text in ENTRY.findall(docstring):
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found


def explanation() -> str:
    """Every setting's meaning, for `--help`; read from the sources, which need not be imported for it."""
    lines = ["settings for --set NAME=VALUE:"]
    for section, (file, owner) in SETTINGS.items():
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        (definition,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)
        fields = documented_fields(inspect.cleandoc(ast.get_docstring(definition)))
        lines += [f"  {section}.{name}: {meaning}" for name, meaning in fields.items() if name != "name"]
    return "\n".join(lines)
