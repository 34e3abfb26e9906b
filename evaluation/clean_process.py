"""Whether a saved model loads and generates by the code in its own folder, in a process without this project."""

import os
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

OWN_PACKAGES = ("modeling_nanochat", "runtime", "evaluation", "trainers", "recipes", "model_cards", "nanochat_ternary")
# Runs the program named first with the arguments behind it, where none of this project's packages can be imported,
# not even an installed copy. `AutoModel` is tried as well, which the program itself has no use for.
CLEAN = f"""
import runpy, sys
for package in {OWN_PACKAGES}:
    sys.modules[package] = None
from transformers import AutoModel
AutoModel.from_pretrained(sys.argv[2], trust_remote_code=True)
program, folder, *options = sys.argv[1:]
sys.argv = [program, "--model", folder, *options]
runpy.run_path(program, run_name="__main__")
"""


def complete_in_clean_process(
    folder: Path, prompt: str, *, min_new_tokens: int = 0, max_new_tokens: int = 96, temperature: float = 0.7
) -> str:
    """
    Continue a prompt in a new process, offline, that loads a saved model by the code in its folder and cannot import
    this project; see `evaluation/complete.py`.

    Args:
        folder: A saved model with its tokenizer and its code.
        prompt: Text to continue.
        min_new_tokens, max_new_tokens: Bounds of the completion's length.
        temperature: 0 is greedy decoding.

    Returns:
        The prompt with its completion, without special tokens.

    Raises:
        ValueError: The model does not load or does not generate there; gives the reason.
    """
    program = str(files("evaluation") / "complete.py")
    options = {
        "--prompt": prompt,
        "--min-new-tokens": str(min_new_tokens),
        "--max-new-tokens": str(max_new_tokens),
        "--temperature": str(temperature),
    }
    # transformers copies the code of a folder into its cache of modules: an earlier copy must not be found there.
    with tempfile.TemporaryDirectory() as modules:
        finished = subprocess.run(
            [
                *(sys.executable, "-I", "-W", "ignore", "-c", CLEAN, program, str(folder.resolve())),
                *(f"{name}={value}" for name, value in options.items()),
            ],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": modules, "TRANSFORMERS_VERBOSITY": "error"},
            cwd=modules,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if finished.returncode != 0:
        reason = finished.stderr.strip().splitlines()[-1:] or [f"exit status {finished.returncode} and no message"]
        raise ValueError(f"{folder} must load by its own code in a clean process, got: {reason[0]}")
    return finished.stdout.rstrip("\n")
