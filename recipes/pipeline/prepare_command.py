"""The command `data prepare`: prepare the data of a recipe without training on it."""

import argparse

from evaluation.options import add_command, add_former_name
from recipes.pipeline.options import add_data_options
from recipes.pipeline.program import find_recipe


def add_prepare(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `prepare`."""
    parser = add_command(
        subcommands,
        "prepare",
        lambda options: _prepare(options, parser.prog),
        help="prepare the data of a recipe: verified rows, a tokenizer and packed blocks",
        description="Reads the sources of a recipe, leaves out copies, near-duplicates and text of benchmarks, "
        "verifies the rest with the compiler if the recipe says so, and packs it into blocks. The training of the "
        "recipe continues from the result. If the command is killed, run it again with --resume; the result is the "
        "same.",
    )
    parser.add_argument(
        "--recipe", required=True, metavar="RECIPE", help="name of a recipe, or a file with a function of its name"
    )
    add_data_options(parser)
    parser.add_argument("--limit", type=int, help="maximum number of texts of each source (default: all)")
    workers = parser.add_argument(
        "--num-workers",
        type=int,
        help="processes that inspect and verify (default: the recipe's hardware.preparation_workers)",
    )
    add_former_name(parser, "--workers", workers)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--resume", action="store_true", help="continue the preparation in the output folder, with the settings it has"
    )
    action.add_argument("--overwrite", action="store_true", help="replace the run in the output folder by a new one")
    return parser


def _prepare(options: argparse.Namespace, program: str) -> int:
    make_recipe = find_recipe(options.recipe)
    from recipes.pipeline.command_line import prepare_recipe

    prepare_recipe(make_recipe, options, program)
    return 0
