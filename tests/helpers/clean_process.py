"""
Run by test_clean_process.py in a process that cannot import this project:

    python -I -S clean_process.py SITE_PACKAGES WORK_FOLDER

Loads what the tests saved there by its own code, resumes a training run, and writes what it saw to result.json.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

# Without `site`, the .pth files that make the project importable are not read.
sys.path.append(sys.argv[1])

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments


def main(work: Path) -> None:
    own_packages = ["modeling_nanochat", "runtime", "trainers", "recipes", "evaluation", "model_cards"]
    result = {"importable": [name for name in own_packages if find_spec(name) is not None]}

    inputs = torch.load(work / "inputs.pt")
    saved = work / "saved"
    base = AutoModel.from_pretrained(saved, trust_remote_code=True)
    causal = AutoModelForCausalLM.from_pretrained(saved, trust_remote_code=True)
    deeper = AutoModelForCausalLM.from_pretrained(saved, trust_remote_code=True, num_loops=5)
    with torch.no_grad():
        outputs = {
            "hidden_state": base(inputs["tokens"]).last_hidden_state,
            "logits": causal(inputs["tokens"]).logits,
            "logits_of_five_loops": deeper(inputs["tokens"]).logits,
        }
    outputs["greedy"] = causal.generate(inputs["tokens"], max_new_tokens=8, do_sample=False)
    try:
        causal.generate(inputs["tokens"], max_new_tokens=8, engine="native")
    except ValueError as error:
        result["native"] = str(error)
    tokenizer = AutoTokenizer.from_pretrained(saved, trust_remote_code=True)
    result["text"] = tokenizer.decode(tokenizer("fn main() {}")["input_ids"], skip_special_tokens=True)
    result["modules"] = sorted({type(model).__module__.split(".")[0] for model in (base, causal, deeper)})
    result["classes"] = [type(model).__name__ for model in (base, causal)]

    for folder in sorted((work / "packed").iterdir()):
        for dtype in ("float32", "bfloat16", "auto"):
            packed = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=dtype)
            layers = {name: layer for name, layer in packed.named_modules() if hasattr(layer, "weight_codes")}
            outputs[f"packed/{folder.name}/{dtype}"] = {
                "dtype": (packed.dtype, packed.config.dtype),
                "logits": packed(inputs["tokens"]).logits.detach(),
                "weights": {name: layer.quantized_weight() for name, layer in layers.items()},
            }

    # Saved once more from here, the folder must still be complete.
    causal.save_pretrained(work / "saved_again")

    checkpoint = work / "run" / "checkpoint-2"
    settings = json.loads((work / "settings.json").read_text())
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(checkpoint, trust_remote_code=True),
        args=TrainingArguments(output_dir=str(work / "resumed"), **settings),
        train_dataset=[{"input_ids": row, "labels": row} for row in inputs["rows"]],
    )
    trainer.train(resume_from_checkpoint=str(checkpoint))
    result["steps"] = trainer.state.global_step
    result["losses"] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    outputs["weights"] = trainer.model.state_dict()
    torch.save(outputs, work / "outputs.pt")
    (work / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[2]))
