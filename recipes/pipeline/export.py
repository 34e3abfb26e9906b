"""What a run leaves for others: its last model packed, and as a GGUF file that is held against it in llama.cpp."""

import glob
import json
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast

from evaluation.device import inference_device
from evaluation.exit_status import hint
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.gguf.file import GgufFile
from model_cards.gguf.limits import config_obstacles
from model_cards.gguf.verify import Agreement, verify_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.pipeline.schema import Recipe

PACKAGES = ("gguf", "xllamacpp")


@dataclass(frozen=True)
class Exported:
    """
    Attributes:
        packed: Folder of the model with packed weights; None when it has no ternary weights.
        gguf: The file for llama.cpp; None when none was asked for.
        agreement: Of llama.cpp, running that file, with the model.
        problem: Why something of this could not be made; the training is done and saved all the same.
    """

    packed: Path | None = None
    gguf: GgufFile | None = None
    agreement: Agreement | None = None
    problem: str | None = None


def obstacles(model: LoopLMConfig, gguf: str) -> list[str]:
    """Why models of this configuration cannot be trained and then be such a file, a sentence each."""
    found = config_obstacles(model, gguf)
    if model.mhc_num_streams > 1:
        found.append(
            f"LoopLMConfig.mhc_num_streams must be 1, got {model.mhc_num_streams}: streams part in training, and "
            "llama.cpp's looped architecture has one; --set model.mhc_num_streams=1"
        )
    return found


def check_export(recipe: Recipe) -> None:
    """
    What is asked for can be made at the end of the run.

    Raises:
        ValueError: llama.cpp cannot express the model, or a package is missing.
    """
    if recipe.export.gguf is None:
        return
    found = obstacles(recipe.model, recipe.export.gguf)
    if found:
        raise ValueError(
            f"export.gguf={recipe.export.gguf} is not possible (--set export.gguf=None exports no file):\n"
            + "\n".join(found)
        )
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"export.gguf={recipe.export.gguf} needs {' and '.join(missing)}: {hint(missing[0])}, or "
            "--set export.gguf=None"
        )


def export_plan(recipe: Recipe) -> str:
    """A sentence for the beginning of a run."""
    if recipe.export.gguf is not None:
        return f"The run ends with a GGUF file for llama.cpp, its matrices in {recipe.export.gguf}"
    # The float type has fewest conditions, and is what models without ternary weights are exported in.
    for gguf in ("q4_0", "f16"):
        found = obstacles(recipe.model, gguf)
        if not found:
            return f"llama.cpp can run this model: --set export.gguf={gguf} ends the run with a file for it"
    return "llama.cpp cannot run this model: " + "; ".join(found)


def export(recipe: Recipe, model_folder: Path, tokenizer: PreTrainedTokenizerFast) -> Exported:
    """
    Makes of a stage's saved model what others use, in the run's folder `export`; what an earlier call made or began
    there is made anew.
    """
    folder, gguf = recipe.run_dir / "export", recipe.export.gguf
    folder.mkdir(exist_ok=True)
    finished = folder / "finished.json"
    finished.unlink(missing_ok=True)
    shutil.rmtree(folder / "packed", ignore_errors=True)
    for earlier in folder.glob(f"{glob.escape(recipe.name)}-*.gguf*"):
        earlier.unlink()
    model = LoopLMForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval().to(inference_device())
    packed = file = agreement = None
    try:
        if model.config.ternary:
            model.pack().save_pretrained(folder / "packed")
            tokenizer.save_pretrained(folder / "packed")
            packed = folder / "packed"
        if gguf is not None:
            path = folder / f"{recipe.name}-{gguf}.gguf"
            file = export_gguf(
                LoopLMCheckpoint.from_folder(model_folder), tokenizer, path, type=gguf, name=recipe.name
            )
            agreement = verify_gguf(path, model, tokenizer)
    except (ValueError, OSError) as error:
        return Exported(packed, file, agreement, str(error))
    # Of which stage it is, for the model's card.
    finished.write_text(json.dumps({"stage": model_folder.parent.name}) + "\n")
    return Exported(packed, file, agreement)
