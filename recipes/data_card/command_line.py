"""The command `data card`: write the card of a prepared data set, and publish the data set with it."""

import argparse
from pathlib import Path

from evaluation.options import add_command, add_former_name


def add_card(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add the subcommand `card`."""
    parser = add_command(
        subcommands,
        "card",
        _card,
        help="write the card of a prepared data set, and publish it on the Hub",
        description="Write the data card from the report and the rows of a prepared data set: composition, licenses "
        "with attributions, verification, and checks against benchmarks. With --push the rows are uploaded with the "
        "card in one commit; without it no request is sent.",
    )
    data_dir = parser.add_argument(
        "--data-dir",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of a prepared data set, or of the run that it belongs to",
    )
    parser.add_argument("--name", help="title of the card (default: the name of --repo, or Verified Rust)")
    parser.add_argument("--command", help="command that makes the data set (default: the one that made this folder)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.md",
        help="file to write (default: README.md beside the rows; none with --push)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file")
    parser.add_argument("--repo", help="user/name of the data set on the Hub")
    parser.add_argument("--push", action="store_true", help="upload the rows with the card to --repo")
    parser.add_argument("--private", action="store_true", help="create a private repository")
    add_former_name(parser, "data_dir", data_dir)
    return parser


def _card(options: argparse.Namespace) -> int:
    from recipes.data_card.publish import write_card

    write_card(
        options.data_dir,
        name=options.name,
        command=options.command,
        output=options.output,
        overwrite=options.overwrite,
        repo=options.repo,
        push=options.push,
        private=options.private,
    )
    return 0
