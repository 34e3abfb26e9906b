"""
Convert a checkpoint to a LoopLM folder with equal outputs, which loads with `trust_remote_code=True`:

    nanochat-ternary convert --model Qwen2.5-Coder-0.5B --output-dir looplm-0.5b
    nanochat-ternary convert --model SmolLM2-135M-Instruct.Q4_1.gguf --output-dir looplm-135m
    nanochat-ternary convert --model Ouro-1.4B --output-dir looplm-ternary --ternary --text program.rs

Ouro (arXiv 2510.25741) keeps its loops. Llama, Mistral without a sliding window, Qwen2, and Qwen3 become models with
one loop. Weights in safetensors are copied byte for byte, and the memory needed does not grow with the checkpoint;
those of a GGUF file become fp32. With --ternary the weights become the latent weights of ternary layers: every forward
pass rounds them, which costs accuracy until the model is trained further; --text measures how much.
"""

import argparse
from pathlib import Path

from evaluation.options import add_command, add_former_name, add_model, add_output_dir


def add_convert(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand `convert`."""
    parser = add_command(subcommands, "convert", run_convert, "convert a Llama, Qwen or Ouro to a LoopLM", __doc__)
    model = add_model(parser, help="folder of a checkpoint, GGUF file, or name on the Hub")
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
    return convert(options.model, options.output_dir, options.ternary, options.group_size, options.text)


def convert(
    model: str, output_dir: Path, ternary: bool = False, group_size: int | None = None, text: Path | None = None
) -> int:
    """
    Convert a checkpoint and print a summary.

    Args:
        model: Folder of a checkpoint, GGUF file, or name on the Hub.
        output_dir: Folder to write; it must not exist.
        ternary: Make the blocks' weights the latent weights of ternary layers.
        group_size: Weights per scale, -1 for all of a matrix; None for the default.
        text: File whose cross-entropy is measured with and without rounding.

    Returns:
        The exit status, 0.

    Raises:
        ValueError: The checkpoint is not complete, does not fit its configuration, or cannot be expressed as a
            LoopLM; `output_dir` exists; the text is empty or there is no tokenizer to read it with.
    """
    if output_dir.exists():
        raise ValueError(f"output_dir must not exist yet, got {str(output_dir)!r}")
    # `--help` needs no PyTorch.
    from trainers.conversion.opening import open_source
    from trainers.conversion.rounding import read_text, rounding_cost
    from trainers.conversion.writing import write_model

    changes: dict[str, object] = {"ternary": True} if ternary else {}
    if group_size is not None:
        changes["ternary_group_size"] = group_size
    source = open_source(model, **changes)
    content = read_text(text, source.tokenizer)
    write_model(source, output_dir)

    print(f"Wrote {source.num_tensors} tensors, {source.size:,} bytes, to {output_dir}")
    if source.tokenizer is not None:
        for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
            configured, own = getattr(source.config, name), getattr(source.tokenizer, name)
            if own != configured and not (isinstance(configured, list) and own in configured):
                print(f"Note: {name} is {configured} in config.json and {own} in the tokenizer; both were kept.")
    if source.tokenizer is not None and content is not None:
        print(f"Cross-entropy on {text}, nats per token: {rounding_cost(output_dir, source.tokenizer, content)}")
    elif ternary:
        print("The cost of rounding was not measured; --text FILE measures it.")
    return 0
