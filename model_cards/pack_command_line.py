"""The options of `python -m model_cards pack`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_folder, complete_folder


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
    check_new_folder(options.out)
    # `--help` answers at once, without PyTorch.
    from safetensors import SafetensorError
    from transformers.utils.logging import disable_progress_bar

    from model_cards.card.counted import Counted
    from model_cards.checkpoint import Checkpoint, read_tokenizer
    from modeling_nanochat import LoopLMForCausalLM

    Counted.of(Checkpoint.of_folder(options.model))  # says what is missing or wrong
    tokenizer = read_tokenizer(options.model)
    disable_progress_bar()
    # In the type it is stored in: latent weights must not be rounded before they are packed.
    packed = LoopLMForCausalLM.from_pretrained(options.model, dtype="auto").pack()
    with complete_folder(options.out) as folder:
        try:
            packed.save_pretrained(folder)
        except SafetensorError as error:
            raise OSError(f"{options.out} cannot be written: {error}") from error
        tokenizer.save_pretrained(folder)
    before, after = _weight_bytes(options.model), _weight_bytes(options.out)
    print(f"{options.out}: {after / 1e6:.1f} MB instead of {before / 1e6:.1f} MB")
    print(packed.packed_memory())
    return 0


def _weight_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
