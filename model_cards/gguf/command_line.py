"""The options of the command `gguf`."""

import argparse
from pathlib import Path

from evaluation.complete_files import check_new_file
from evaluation.options import add_command, add_former_name, add_model
from model_cards.gguf.blocks import FLOAT_TYPES, FORMATS


def add_gguf(subcommands):
    """Add the subcommand `gguf`."""
    parser = add_command(
        subcommands,
        "gguf",
        _gguf,
        help="export a model to GGUF, for llama.cpp",
        description="Export a saved LoopLM to a GGUF file for stock llama.cpp, and compare every weight in the file "
        "with the model. Models that llama.cpp cannot represent are refused with the reasons.",
    )
    model = add_model(parser, help="folder of a saved model with its tokenizer")
    output = parser.add_argument("--output", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--type", choices=tuple(FORMATS), default="q4_0", help="type of the ternary matrices; each stores them exactly"
    )
    parser.add_argument(
        "--embedding-type",
        choices=FLOAT_TYPES,
        help="type of the embedding (default: q8_0, or --type if that is f32 or f16)",
    )
    parser.add_argument(
        "--head-type",
        choices=FLOAT_TYPES,
        help="type of a head that is not tied to the embedding (default: q8_0, or --type if that is f32 or f16)",
    )
    parser.add_argument(
        "--unrolled",
        action="store_true",
        help="write the architecture llama, for engines without nanbeige; only for a model that runs one loop",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also run the file in llama.cpp and compare it with the model; exit status 1 if they disagree",
    )
    add_former_name(parser, "model", model)
    add_former_name(parser, "out", output)


def _gguf(options: argparse.Namespace) -> int:
    check_new_file(options.output, options.overwrite)
    # `--help` and the check above need no PyTorch, whose import takes seconds.
    from model_cards.gguf.folder import export_folder

    exported = export_folder(
        Path(options.model),
        options.output,
        type=options.type,
        embedding_type=options.embedding_type,
        head_type=options.head_type,
        verify=options.verify,
        unrolled=options.unrolled,
    )
    file = exported.file
    print(f"{file.path}: {file.nbytes / 1e6:.1f} MB, {len(file.tensors)} tensors, every weight as in {options.model}")
    for sentence in exported.ignored:
        print(sentence)
    if exported.agreement is None:
        return 0
    print(exported.agreement.table())
    return 1 if exported.agreement.problems else 0
