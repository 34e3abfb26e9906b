"""The options of `python -m model_cards gguf`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_file

TYPES = ("f32", "f16", "q8_0", "q4_0", "q2_0", "tq1_0", "tq2_0", "q2_k")
FLOAT_TYPES = ("f32", "f16", "q8_0")


def add_gguf(subcommands):
    """Adds the subcommand `gguf`."""
    parser = subcommands.add_parser(
        "gguf",
        help="export a model for llama.cpp",
        description="Writes a saved LoopLM as a GGUF file for stock llama.cpp, and checks every weight in it against "
        "the model. Says why when llama.cpp cannot express the model.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", type=Path, help="folder of a saved model with its tokenizer")
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument(
        "--type", choices=TYPES, default="q4_0", help="of the ternary matrices; each of them carries them exactly"
    )
    parser.add_argument(
        "--embedding-type", choices=FLOAT_TYPES, help="of the embedding; None is f32 in an f32 file, else f16"
    )
    parser.add_argument("--head-type", choices=FLOAT_TYPES, help="of a head of its own; None as for the embedding")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also run the file in llama.cpp and compare it with the model; exit status 1 if they disagree",
    )
    parser.set_defaults(run=_gguf)


def _gguf(options: argparse.Namespace) -> int:
    check_new_file(options.out, options.overwrite)
    # `--help` answers at once, without PyTorch.
    import torch

    from evaluation.device import inference_device
    from model_cards.checkpoint import Checkpoint, read_tokenizer
    from model_cards.gguf.export import export_gguf
    from model_cards.gguf.limits import ignored_settings
    from model_cards.gguf.verify import verify_gguf
    from modeling_nanochat import LoopLMForCausalLM

    checkpoint = Checkpoint.of_folder(options.model)
    tokenizer = read_tokenizer(options.model)
    file = export_gguf(
        checkpoint,
        tokenizer,
        options.out,
        type=options.type,
        embedding_type=options.embedding_type,
        head_type=options.head_type,
        name=options.model.resolve().name,
    )
    print(f"{file.path}: {file.nbytes / 1e6:.1f} MB, {len(file.tensors)} tensors, every weight as in {options.model}")
    for sentence in ignored_settings(checkpoint.config):
        print(sentence)
    if not options.verify:
        return 0
    model = LoopLMForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval().to(inference_device())
    agreement = verify_gguf(file.path, model, tokenizer)
    print(agreement.table())
    return 1 if agreement.problems else 0
