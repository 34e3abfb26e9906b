"""
Turn an Ouro checkpoint (arXiv 2510.25741) into a LoopLM folder, which loads by its own code:

    python trainers/convert_ouro.py Ouro-1.4B looplm-1.4b
    python trainers/convert_ouro.py Ouro-1.4B looplm-ternary --ternary --text trainers/data/builtin_rust/iterators.rs

The weights are copied as they are, byte for byte; only their names change. So the memory needed does not grow with the
checkpoint, and bf16 stays bf16. With --ternary the same weights are the latent ones of ternary layers: every pass
rounds them, which costs accuracy until the model is trained on; --text says how much.
"""

import argparse
from pathlib import Path

try:
    from evaluation.exit_status import quiet_libraries
except ModuleNotFoundError as error:
    if error.name != "evaluation":
        raise
    raise SystemExit("nanochat-ternary is not installed: run `make install`, or `pip install -e .`") from None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN", type=Path, help="folder of the Ouro checkpoint")
    parser.add_argument("output", metavar="OUT", type=Path, help="folder to make; it must not exist")
    parser.add_argument("--ternary", action="store_true", help="round the blocks' weights to -1, 0, 1 in every pass")
    parser.add_argument("--group-size", type=int, help="with --ternary: weights per scale, -1 for all (default: 128)")
    parser.add_argument("--text", type=Path, help="with --ternary: a text file to measure the loss of accuracy on")
    options = parser.parse_args(arguments)
    if not options.ternary and (options.text is not None or options.group_size is not None):
        parser.error("--text and --group-size are about what --ternary does: give that too")
    quiet_libraries()
    # `--help` answers at once, without PyTorch.
    from transformers import PreTrainedTokenizerFast

    from trainers.ouro import convert, cross_entropy, read_checkpoint

    tokenizer = text = None
    try:
        changes = {"ternary": True} if options.ternary else {}
        if options.group_size is not None:
            changes["ternary_group_size"] = options.group_size
        checkpoint = read_checkpoint(options.input, **changes)
        if (options.input / "tokenizer.json").is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(options.input)
        if options.text is not None:
            text = options.text.read_text(encoding="utf-8")
            if tokenizer is None or not text.strip():
                parser.error(f"--text needs a tokenizer.json in IN and a text that is not empty, got {options.text}")
        convert(checkpoint, options.output)
    except (ValueError, OSError) as error:
        parser.error(str(error))

    print(f"{len(checkpoint.tensors)} tensors, {checkpoint.size:,} bytes, are in {options.output}")
    if tokenizer is not None:
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            configured, own = getattr(checkpoint.config, name), getattr(tokenizer, name)
            if configured != own:
                print(f"Note: config.json says {name}={configured}, the tokenizer {own}; both are kept as they were.")
    if text is not None:
        before, after = (cross_entropy(options.output, tokenizer, text, ternary) for ternary in (False, True))
        print(f"Cross-entropy on {options.text}, nats per token: {before:.4f} before, {after:.4f} ternary", end=" ")
        print(f"({after - before:+.4f})")
    elif options.ternary:
        print("What rounding costs was not measured: --text FILE does.")


if __name__ == "__main__":
    main()
