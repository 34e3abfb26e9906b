"""The export of a model: packed weights, and a GGUF file that is compared with the model in llama.cpp."""

import glob
import shutil
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedTokenizerFast

from evaluation.device import inference_device
from evaluation.exit_status import hint
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.gguf.limits import config_obstacles
from model_cards.gguf.verify import verify_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.exported import AUTO, Exported
from recipes.pipeline.stages.stage import FINISHED

if TYPE_CHECKING:
    from recipes.pipeline.stages.export import Export

PACKAGES = ("gguf", "xllamacpp")
# q4_0 runs on every backend of llama.cpp. The float type has the fewest conditions, and is the one for models without
# ternary weights.
AUTO_TYPES = ("q4_0", "f16")


def obstacles(model: LoopLMConfig, gguf: str) -> list[str]:
    """Reasons why a model of this configuration cannot be trained and exported in this type, a sentence each."""
    found = config_obstacles(model, gguf)
    if model.mhc_num_streams > 1:
        found.append(
            f"LoopLMConfig.mhc_num_streams must be 1, got {model.mhc_num_streams}: streams part in training, and "
            "llama.cpp's looped architecture has one; --set model.mhc_num_streams=1"
        )
    return found


def _missing_packages() -> list[str]:
    return [package for package in PACKAGES if find_spec(package) is None]


def check_export(model: LoopLMConfig, stage: "Export") -> None:
    """
    Check that the export can be made at the end of the run. The type "auto" always can.

    Raises:
        ValueError: llama.cpp cannot express the model, or a package is missing.
    """
    if stage.gguf in (AUTO, None):
        return
    name = f"{stage.name}.gguf"
    found = obstacles(model, stage.gguf)
    if found:
        raise ValueError(
            f"{name}={stage.gguf} is not possible (--set {name}=None exports no file):\n" + "\n".join(found)
        )
    missing = _missing_packages()
    if missing:
        raise ValueError(
            f"{name}={stage.gguf} needs {' and '.join(missing)}: {hint(missing[0])}, or --set {name}=None"
        )


@dataclass(frozen=True)
class GGUFChoice:
    """
    The type of a GGUF file, or the reason why there is none.

    Attributes:
        type: Type of the matrices; None exports no file.
        reason: Sentence that says why llama.cpp, or this machine, cannot have the file that "auto" asks for.
    """

    type: str | None
    reason: str | None = None


def choose_gguf(model: LoopLMConfig, stage: "Export") -> GGUFChoice:
    """Return the type that the stage exports for a model of this configuration."""
    if stage.gguf != AUTO:
        return GGUFChoice(stage.gguf)
    fitting, found = _first_fitting(model)
    if fitting is None:
        return GGUFChoice(None, f"There is no GGUF file, because llama.cpp cannot run this model: {'; '.join(found)}")
    missing = _missing_packages()
    if missing:
        return GGUFChoice(None, f"There is no GGUF file, because it needs {' and '.join(missing)}: {hint(missing[0])}")
    return GGUFChoice(fitting)


def _first_fitting(model: LoopLMConfig) -> tuple[str | None, list[str]]:
    """Return the first type that fits a model, or None and the reasons against the last one."""
    found: list[str] = []
    for gguf in AUTO_TYPES:
        found = obstacles(model, gguf)
        if not found:
            return gguf, []
    return None, found


def export_plan(model: LoopLMConfig, stage: "Export") -> str:
    """A sentence for the beginning of a run."""
    chosen = choose_gguf(model, stage)
    if chosen.type is not None:
        return f"The run ends with a GGUF file for llama.cpp, its matrices in {chosen.type}"
    if chosen.reason is not None:
        return f"The run ends with packed weights alone. {chosen.reason}"
    fitting, found = _first_fitting(model)
    if fitting is not None:
        return f"llama.cpp can run this model: --set {stage.name}.gguf={fitting} ends the run with a file for it"
    return "llama.cpp cannot run this model: " + "; ".join(found)


def export(recipe: Recipe, stage: "Export", model_folder: Path, tokenizer: PreTrainedTokenizerFast) -> Exported:
    """
    Export a saved model into the stage's folder: packed weights, and a GGUF file that llama.cpp's outputs are compared
    with. Files of an earlier or interrupted call are made again.
    """
    folder = recipe.stage_dir(stage)
    folder.mkdir(exist_ok=True)
    finished = folder / FINISHED
    for earlier in (finished, *folder.glob(f"{glob.escape(recipe.name)}-*.gguf*")):
        earlier.unlink(missing_ok=True)
    shutil.rmtree(folder / "packed", ignore_errors=True)
    model = LoopLMForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval().to(inference_device())
    trained, sizes = model_folder.parent.name, {}
    chosen = choose_gguf(model.config, stage)
    try:
        if model.config.ternary:
            packed = folder / "packed"
            model.pack().save_pretrained(packed)
            tokenizer.save_pretrained(packed)
            sizes["packed weights"] = sum(file.stat().st_size for file in packed.glob("*.safetensors"))
        agreement = None
        if chosen.type is not None:
            path = folder / f"{recipe.name}-{chosen.type}.gguf"
            file = export_gguf(
                LoopLMCheckpoint.from_folder(model_folder), tokenizer, path, type=chosen.type, name=recipe.name
            )
            sizes[path.name] = file.nbytes
            found = verify_gguf(path, model, tokenizer)
            agreement = asdict(found) | {"path": path.name, "problems": list(found.problems)}
    except (ValueError, OSError) as error:
        exported = Exported(stage=trained, file_sizes=sizes, problem=str(error))
    else:
        exported = Exported(stage=trained, file_sizes=sizes, agreement=agreement, problem=chosen.reason)
    exported.write(finished)
    return exported
