"""
Convert an Ouro checkpoint (arXiv 2510.25741) to a LoopLM folder, which loads with `trust_remote_code=True`:

    python trainers/convert_ouro.py --model Ouro-1.4B --output-dir looplm-1.4b
    python trainers/convert_ouro.py --model Ouro-1.4B --output-dir looplm-ternary --ternary --text program.rs

The weights are copied byte for byte; only their names change. The memory needed does not grow with the checkpoint,
and bf16 stays bf16. With --ternary the weights become the latent weights of ternary layers: every forward pass rounds
them, which costs accuracy until the model is trained further; --text measures how much.
"""

import argparse
import sys
from pathlib import Path

try:
    from evaluation.exit_status import exit_status
    from evaluation.options import HelpFormatter, add_command, add_former_name, add_model, add_output_dir
except ModuleNotFoundError as error:
    if error.name != "evaluation":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None


def add_convert(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `convert`."""
    _add_options(add_command(subcommands, "convert", run_convert, "convert an Ouro checkpoint to a LoopLM", __doc__))


def _add_options(parser: argparse.ArgumentParser) -> None:
    model = add_model(parser, help="folder of the Ouro checkpoint")
    output_dir = add_output_dir(parser, "folder to write; it must not exist")
    parser.add_argument("--ternary", action="store_true", help="round the blocks' weights to -1, 0, 1 in every pass")
    parser.add_argument("--group-size", type=int, help="with --ternary: weights per scale, -1 for all (default: 128)")
    parser.add_argument("--text", type=Path, help="with --ternary: text file to measure the cross-entropy on")
    add_former_name(parser, "IN", model)
    add_former_name(parser, "OUT", output_dir)


def run_convert(options: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    if not options.ternary and (options.text is not None or options.group_size is not None):
        raise ValueError("--text and --group-size need --ternary")
    return convert_ouro(Path(options.model), options.output_dir, options.ternary, options.group_size, options.text)


def convert_ouro(
    model: Path, output_dir: Path, ternary: bool = False, group_size: int | None = None, text: Path | None = None
) -> int:
    """
    Convert a checkpoint and print a summary.

    Args:
        model: Folder of the Ouro checkpoint.
        output_dir: Folder to write; it must not exist.
        ternary: Make the blocks' weights the latent weights of ternary layers.
        group_size: Weights per scale, -1 for all of a matrix; None for the default.
        text: File whose cross-entropy is measured with and without rounding.

    Raises:
        ValueError: The checkpoint is not complete, does not fit its configuration, or cannot be expressed as a
            LoopLM; `output_dir` exists; the text is empty or there is no tokenizer to read it with.
    """
    # `--help` needs no PyTorch.
    from transformers import PreTrainedTokenizerFast

    from trainers.ouro import convert, cross_entropy, read_checkpoint

    changes = {"ternary": True} if ternary else {}
    if group_size is not None:
        changes["ternary_group_size"] = group_size
    checkpoint = read_checkpoint(model, **changes)
    tokenizer = content = None
    if (model / "tokenizer.json").is_file():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    if text is not None:
        content = text.read_text(encoding="utf-8")
        if tokenizer is None or not content.strip():
            raise ValueError(f"text needs a tokenizer.json in {model} and a file that is not empty, got {text}")
    convert(checkpoint, output_dir)

    print(f"Wrote {len(checkpoint.tensors)} tensors, {checkpoint.size:,} bytes, to {output_dir}")
    if tokenizer is not None:
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            configured, own = getattr(checkpoint.config, name), getattr(tokenizer, name)
            if configured != own:
                print(f"Note: {name} is {configured} in config.json and {own} in the tokenizer; both were kept.")
    if content is not None:
        before, after = (cross_entropy(output_dir, tokenizer, content, rounded) for rounded in (False, True))
        print(f"Cross-entropy on {text}, nats per token: {before:.4f} before, {after:.4f} ternary", end=" ")
        print(f"({after - before:+.4f})")
    elif ternary:
        print("The cost of rounding was not measured; --text FILE measures it.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the script; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    _add_options(parser)
    options = parser.parse_args(arguments)
    return exit_status(parser.prog, lambda: run_convert(options))


if __name__ == "__main__":
    sys.exit(main())
