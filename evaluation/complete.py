"""
Continue a prompt with a saved model, loaded by the code in its own folder. Needs PyTorch and transformers only, and
nothing of this project:

    python evaluation/complete.py --model runs/debug/pretrain/model --prompt "fn main() {"
"""

import argparse
import json
import sys
from pathlib import Path

DESCRIPTION = "Continue a prompt with a saved model, loaded by the code in its own folder, which is run."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command to a parser."""
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", help="folder of a saved model, or its name on the Hub; its code is run")
    # The former way to give it, still accepted.
    model.add_argument("model", nargs="?", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--prompt",
        default="fn ",
        help="text to continue, without white space at its end, which is left to the model (default: 'fn ')",
    )
    parser.add_argument("--max-new-tokens", type=int, default=96, help="maximum number of new tokens (default: 96)")
    parser.add_argument("--min-new-tokens", type=int, default=0, help="minimum number of new tokens (default: 0)")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 is greedy decoding (default: 0.7)")
    parser.add_argument(
        "--top-p", type=float, default=0.95, help="nucleus sampling: kept probability mass (default: 0.95)"
    )
    parser.add_argument("--num-loops", type=int, help="loops of a LoopLM (default: the model's own number)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampling (default: 0)")


def check(options: argparse.Namespace) -> None:
    """
    Check the options before the imports that take seconds.

    Raises:
        ValueError: There is no such model, it lacks its code, or a value is out of range.
    """
    folder = Path(options.model)
    # A Hub name is OWNER/NAME; a path with one slash begins with a folder that exists.
    is_name = options.model.count("/") == 1 and not options.model.startswith((".", "~"))
    if not is_name or Path(folder.parts[0]).exists():
        if folder.suffix == ".gguf":
            raise ValueError(f"--model must be a folder, got {folder}: nanochat-ternary chat runs GGUF files")
        if not (folder / "config.json").is_file():
            raise ValueError(f"--model must be the folder of a saved model or a Hub name, got {options.model!r}")
        classes = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map", {}).values()
        # A class of another repository has that before its name.
        code = {f"{name.partition('.')[0]}.py" for name in classes if isinstance(name, str) and "--" not in name}
        missing = sorted(name for name in code if not (folder / name).is_file())
        if missing:
            raise ValueError(
                f"--model must be a folder with the model's code, got {folder} without {', '.join(missing)}: "
                "nanochat-ternary chat brings its own"
            )
    if not options.prompt.strip():
        raise ValueError(f"--prompt must be a text to continue, got {options.prompt!r}")
    for name, rule, is_met in (
        ("temperature", "at least 0", options.temperature >= 0),
        ("top_p", "above 0 and at most 1", 0 < options.top_p <= 1),
        ("max_new_tokens", "at least 1", options.max_new_tokens >= 1),
    ):
        if not is_met:
            raise ValueError(f"--{name.replace('_', '-')} must be {rule}, got {vars(options)[name]}")


def run(options: argparse.Namespace) -> int:
    """
    Load the model, continue the prompt, and print both; returns the exit status.

    Raises:
        ValueError: There is no such model, it cannot be loaded, or a parameter of `generate` is out of range.
    """
    check(options)
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(options.model, trust_remote_code=True)
        model = AutoModelForCausalLM.from_pretrained(options.model, trust_remote_code=True).eval().to(device)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(f"{options.model} cannot be loaded: {str(error).splitlines()[0]}") from error
    settings: dict = {"min_new_tokens": options.min_new_tokens, "max_new_tokens": options.max_new_tokens}
    settings |= {"do_sample": False}
    if options.temperature > 0:
        settings |= {"do_sample": True, "temperature": options.temperature, "top_p": options.top_p}
    if options.num_loops is not None:
        settings["num_loops"] = options.num_loops
    # White space at the end would be a token of its own. In the training text it is one token with what follows.
    prompt = options.prompt.rstrip()
    inputs = tokenizer(prompt, return_tensors="pt").to(device)
    tokens = model.generate(**inputs, **settings)
    print(tokenizer.decode(tokens[0], skip_special_tokens=True))
    return 0


def main() -> int:
    """Run this file as a program."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    add_options(parser)
    options = parser.parse_args()
    try:
        return run(options)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
