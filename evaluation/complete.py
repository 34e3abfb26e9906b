"""
Load a saved model by its own code and continue a prompt; needs transformers and nothing of this project:

    python evaluation/complete.py runs/debug/pretrain/model --prompt "fn main() {"
"""

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Continue a prompt with a saved model.")
    parser.add_argument("model", help="folder or Hub name of the model; its code is trusted")
    parser.add_argument("--prompt", default="fn ", help="text to continue (default: 'fn ')")
    parser.add_argument("--max-new-tokens", type=int, default=96, help="tokens to add at most (default: 96)")
    parser.add_argument("--min-new-tokens", type=int, default=0, help="tokens to add at least (default: 0)")
    parser.add_argument("--temperature", type=float, default=0.7, help="0 always takes the likeliest (default: 0.7)")
    parser.add_argument("--num-loops", type=int, help="loops to run (default: the model's own)")
    parser.add_argument("--seed", type=int, default=0, help="of the sampling (default: 0)")
    arguments = parser.parse_args()

    folder = Path(arguments.model)
    is_local = folder.exists() or folder.is_absolute() or arguments.model.count("/") != 1
    if is_local and not (folder / "config.json").is_file():
        parser.error(f"model must be the folder of a saved model or a Hub name, got {arguments.model!r}")
    # `--help` and errors come at once, without PyTorch.
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

    set_seed(arguments.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        tokenizer = AutoTokenizer.from_pretrained(arguments.model, trust_remote_code=True)
        model = AutoModelForCausalLM.from_pretrained(arguments.model, trust_remote_code=True).eval().to(device)
    except (OSError, ValueError, SafetensorError) as error:
        parser.error(f"{arguments.model} cannot be loaded: {str(error).splitlines()[0]}")
    sampling: dict = {"do_sample": False}
    if arguments.temperature > 0:
        sampling = {"do_sample": True, "temperature": arguments.temperature, "top_p": 0.95}
    if arguments.num_loops is not None:
        sampling["num_loops"] = arguments.num_loops
    length = {"min_new_tokens": arguments.min_new_tokens, "max_new_tokens": arguments.max_new_tokens}
    inputs = tokenizer(arguments.prompt, return_tensors="pt").to(device)
    tokens = model.generate(**inputs, **length, **sampling)
    print(tokenizer.decode(tokens[0], skip_special_tokens=True))


if __name__ == "__main__":
    main()
