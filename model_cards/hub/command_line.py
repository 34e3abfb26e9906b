"""The options of the command `publish`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_folder
from evaluation.options import add_command, add_former_name
from model_cards.card.command_line import add_card_options
from model_cards.gguf.blocks import FORMATS


def add_publish(subcommands):
    """Add the subcommand `publish`."""
    parser = add_command(
        subcommands,
        "publish",
        _publish,
        help="publish a model and its GGUF files on the Hub",
        description="Stage a saved LoopLM with its code and its card, reload it in a clean process, export and verify "
        "GGUF files, and list what would be uploaded. Nothing is sent without --push.",
    )
    add_card_options(parser)
    parser.add_argument("--repo", help="user/name on the Hub; the GGUF files go to user/name-GGUF; needed to publish")
    parser.add_argument(
        "--check",
        action="store_true",
        help="only show what the model has and lacks for a publication, and how to get it; exit status 1: something "
        "is missing or wrong",
    )
    gguf = parser.add_mutually_exclusive_group()
    gguf.add_argument(
        "--gguf-types",
        nargs="+",
        choices=tuple(FORMATS),
        help="types of the GGUF files (default: q4_0, and the smaller types q2_k and tq2_0, or else q2_0, if the "
        "group size of the model allows them)",
    )
    gguf.add_argument("--no-gguf", action="store_true", help="publish no GGUF files")
    parser.add_argument("--private", action="store_true", help="create private repositories")
    parser.add_argument("--revision", help="branch to upload to, created unless it exists (default: the main one)")
    parser.add_argument("--push", action="store_true", help="upload; needs a token with write access (hf auth login)")
    output_dir = parser.add_argument(
        "--output-dir", type=Path, help="new folder for the staged files (default: a temporary folder)"
    )
    add_former_name(parser, "--staging", output_dir)


def _publish(options: argparse.Namespace) -> int:
    if options.output_dir is not None:
        check_new_folder(options.output_dir)
    if options.check and options.push:
        raise ValueError("--check only shows the checklist: leave out --push, or leave out --check to upload")
    if options.repo is None and not options.check:
        raise ValueError("--repo must be given as user/name to publish; --check needs none")
    # `--help` and the check above need no PyTorch, whose import takes seconds.
    if options.check:
        from evaluation.tables import plain_console
        from model_cards.checklist.show import show_checklist

        return 0 if show_checklist(plain_console(), Path(options.model), options.results, not options.no_gguf) else 1
    from model_cards.hub.publication import publish

    publish(
        Path(options.model),
        options.repo,
        license=options.license,
        datasets=options.datasets,
        base_model=options.base_model,
        results=options.results,
        gguf=not options.no_gguf,
        gguf_types=options.gguf_types,
        private=options.private,
        revision=options.revision,
        push=options.push,
        output_dir=options.output_dir,
    )
    return 0
