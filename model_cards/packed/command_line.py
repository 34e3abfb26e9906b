"""The options of the command `pack`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_folder
from evaluation.options import add_command, add_former_name, add_model, add_output_dir


def add_pack(subcommands):
    """Add the subcommand `pack`."""
    parser = add_command(
        subcommands,
        "pack",
        _pack,
        help="save a model with packed ternary weights",
        description="Save a LoopLM and its tokenizer to a new folder, with 2-bit codes and fp16 scales instead of "
        "latent weights. The packed model computes the same logits and loads like any other, but cannot be trained.",
    )
    model = add_model(parser, help="folder of a saved model with its tokenizer")
    output_dir = add_output_dir(parser, help="folder to write; must be empty or not exist")
    add_former_name(parser, "model", model)
    add_former_name(parser, "out", output_dir)


def _pack(options: argparse.Namespace) -> int:
    check_new_folder(options.output_dir)
    # `--help` and the check above need no PyTorch, whose import takes seconds.
    from model_cards.packed.pack import pack

    packed = pack(Path(options.model), options.output_dir)
    megabytes = f"{packed.packed_bytes / 1e6:.1f} MB instead of {packed.latent_bytes / 1e6:.1f} MB"
    print(f"{options.output_dir}: {megabytes}")
    print(packed.memory)
    return 0
