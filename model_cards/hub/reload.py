"""
Loads a folder by its own code, where this project cannot be imported, and continues a prompt; prints JSON:

    python -I model_cards/hub/reload.py FOLDER PROMPT
"""

import json
import sys

# An installed copy of this project must not help.
for own_package in ("modeling_nanochat", "trainers", "recipes", "evaluation", "model_cards"):
    sys.modules[own_package] = None

import torch  # noqa: E402
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer  # noqa: E402


def main(folder: str, prompt: str) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    AutoModel.from_pretrained(folder, trust_remote_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    inputs = tokenizer(prompt, return_tensors="pt").to(device)
    tokens = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    found = {"module": type(model).__module__, "tokens": tokens[0].tolist(), "text": tokenizer.decode(tokens[0])}
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
