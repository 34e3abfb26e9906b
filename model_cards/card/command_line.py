"""The options of the command `card`; `publish` has most of them, too."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_file, complete_file
from evaluation.options import add_command, add_former_name, add_model


def add_card(subcommands):
    """Add the subcommand `card`."""
    parser = add_command(
        subcommands,
        "card",
        _card,
        help="write a model card",
        description="Write the model card of a saved LoopLM. All numbers are counted from the model or read from "
        "results files; benchmarks without results are listed as not measured. Nothing is sent anywhere.",
    )
    add_card_options(parser)
    parser.add_argument("--repo", help="user/name on the Hub, for the examples (default: user/ and the folder's name)")
    output = parser.add_argument("--output", type=Path, help="file to write, such as README.md (default: print)")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    add_former_name(parser, "--out", output)


def add_card_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for what a card says."""
    model = add_model(parser, help="folder of a saved model with its tokenizer")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        help="results files of this model, or folders with results files (default: none)",
    )
    parser.add_argument("--license", default="mit", help="license of the weights, an identifier of the Hub")
    parser.add_argument(
        "--datasets", nargs="+", default=[], help="datasets on the Hub that it was trained on (default: none)"
    )
    parser.add_argument("--base-model", help="model on the Hub that it was made from (default: none)")
    add_former_name(parser, "model", model)


def _card(options: argparse.Namespace) -> int:
    if options.output is not None:
        check_new_file(options.output, options.overwrite)
    # `--help` and the check above need no PyTorch, whose import takes seconds.
    from model_cards.card.build import build_card

    card = build_card(
        Path(options.model),
        repo=options.repo,
        license=options.license,
        datasets=options.datasets,
        base_model=options.base_model,
        results=options.results,
    )
    if options.output is None:
        print(card)
        return 0
    with complete_file(options.output) as file:
        card.save(file)
    print(f"Written to {options.output}")
    return 0
