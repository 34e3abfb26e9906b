"""The options of `python -m model_cards card` and `publish`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_file, check_new_folder
from model_cards.gguf.command_line import TYPES


def add_card(subcommands):
    """Adds the subcommand `card`."""
    parser = subcommands.add_parser(
        "card",
        help="write a model's card",
        description="Writes the model card of a saved LoopLM: every number is counted from the model or read from "
        "results files; what was not measured says so. Sends nothing anywhere.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_shared(parser)
    parser.add_argument("--repo", help="user/name on the Hub, for the usage; None takes user/ and the folder's name")
    parser.add_argument("--out", type=Path, help="file to write, such as README.md; None prints the card")
    parser.add_argument("--overwrite", action="store_true", help="replace the file where it is there")
    parser.set_defaults(run=_card)


def add_publish(subcommands):
    """Adds the subcommand `publish`."""
    parser = subcommands.add_parser(
        "publish",
        help="publish a model and its GGUF files on the Hub",
        description="Stages a saved LoopLM with its code and card, reloads it in a clean process, exports and "
        "verifies GGUF files, and shows what would be uploaded. Only with --push is anything sent.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_shared(parser)
    parser.add_argument("--repo", required=True, help="user/name on the Hub; the GGUF files go to user/name-GGUF")
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument(
        "--gguf-types",
        nargs="+",
        choices=TYPES,
        help="types of the GGUF files; None takes q4_0, and q2_k and tq2_0 or else q2_0, as the group size allows",
    )
    formats.add_argument("--no-gguf", action="store_true", help="only the model's own repository")
    parser.add_argument("--private", action="store_true", help="repositories that are created are private")
    parser.add_argument("--push", action="store_true", help="upload; needs a token that may write (hf auth login)")
    parser.add_argument(
        "--staging", type=Path, help="new folder to keep what is uploaded in; None uses a temporary one"
    )
    parser.set_defaults(run=_publish)


def _add_shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="folder of a saved model with its tokenizer")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        help="folders that python -m evaluation run wrote for this model",
    )
    parser.add_argument("--license", default="mit", help="of the weights, by its identifier on the Hub")
    parser.add_argument("--datasets", nargs="+", default=[], help="data sets on the Hub that it was trained on")
    parser.add_argument("--base-model", help="model on the Hub that it was made from")


def _card(options: argparse.Namespace) -> int:
    if options.out is not None:
        check_new_file(options.out, options.overwrite)
    # `--help` answers at once, without PyTorch.
    from model_cards.hub.publish import card

    return card(options)


def _publish(options: argparse.Namespace) -> int:
    if options.staging is not None:
        check_new_folder(options.staging)
    from model_cards.hub.publish import publish

    return publish(options)
