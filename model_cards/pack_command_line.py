"""The options of `python -m model_cards pack`."""

import argparse
from pathlib import Path


def add_pack(subcommands):
    """Adds the subcommand `pack`."""
    parser = subcommands.add_parser(
        "pack",
        help="save a model with its ternary weights packed",
        description="Writes a saved LoopLM once more, with 2-bit codes and fp16 scales instead of latent weights, and "
        "its tokenizer. It computes the same and loads as before, but cannot be trained.",
    )
    parser.add_argument("model", type=Path, help="folder of a saved model with its tokenizer")
    parser.add_argument("out", type=Path, help="folder to write; must be empty or not there")
    parser.set_defaults(run=_pack)


def _pack(options: argparse.Namespace) -> int:
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ValueError(f"out must be an empty folder or not be there, got {options.out}")
    # `--help` answers at once, without PyTorch.
    from model_cards.checkpoint import Checkpoint, read_tokenizer
    from modeling_nanochat import LoopLMForCausalLM

    Checkpoint.of_folder(options.model)  # says what is missing
    tokenizer = read_tokenizer(options.model)
    # In the type it is stored in: latent weights must not be rounded before they are packed.
    packed = LoopLMForCausalLM.from_pretrained(options.model, dtype="auto").pack()
    packed.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    before, after = _weight_bytes(options.model), _weight_bytes(options.out)
    print(f"{options.out}: {after / 1e6:.1f} MB instead of {before / 1e6:.1f} MB")
    print(packed.packed_memory())
    return 0


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
