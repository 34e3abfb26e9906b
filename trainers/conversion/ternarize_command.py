"""
Make a ternary model of a float LoopLM, for training with ternary weights:

    nanochat-ternary convert --model SmolLM2-135M --output-dir float
    nanochat-ternary ternarize --model float --output-dir ternary --group-size 64 --rotate --text program.rs

The weights of the blocks become the latent weights of ternary layers, which every forward pass rounds; their values
stay. That costs accuracy until the model is trained further, and --text measures how much. --rotate first rotates the
model, which changes none of its outputs and makes outliers among weights and inputs smaller.
"""

import argparse
from pathlib import Path

from evaluation.options import add_command, add_model, add_output_dir


def add_ternarize(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `ternarize`."""
    help = "make a ternary model of a float LoopLM"
    parser = add_command(subcommands, "ternarize", run_ternarize, help, __doc__)
    add_model(parser, help="folder of a float LoopLM")
    add_output_dir(parser, "folder to write; it must not exist")
    parser.add_argument(
        "--group-size", type=int, help="weights per scale, -1 for all of a matrix (default: the one in config.json)"
    )
    parser.add_argument("--rotate", action="store_true", help="rotate the model first; changed weights become fp32")
    parser.add_argument("--text", type=Path, help="text file to measure the cross-entropy on")


def run_ternarize(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    # `--help` needs no PyTorch.
    from trainers.conversion.ternarizing import RECORD, ternarize_model

    found = ternarize_model(
        Path(options.model), options.output_dir, options.group_size, options.rotate, text=options.text
    )
    print(f"Wrote a ternary model with group_size={found.group_size} and {RECORD} to {options.output_dir}")
    if found.added_parameters:
        print(
            f"The rotated head has a weight of its own, {found.added_parameters:,} parameters: the embedding's, which "
            "it shared, has no norm folded into it."
        )
    if found.cross_entropy is None:
        print("The cost of rounding was not measured; --text FILE measures it.")
    else:
        print(f"Cross-entropy on {options.text}, nats per token: {found.cross_entropy}")
    return 0
