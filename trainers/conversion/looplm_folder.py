"""Folders of a LoopLM from which another LoopLM is made."""

from pathlib import Path

from modeling_nanochat import LoopLMConfig
from trainers.conversion.checkpoint import read_tensors
from trainers.conversion.family import Family
from trainers.conversion.source import Source, read_json

LOOPLM = Family(LoopLMConfig.model_type, dict, has_gate=True)


def read_looplm(folder: Path) -> Source:
    """
    Read the configuration of a LoopLM with float or latent weights, and the names, shapes and types of its tensors,
    but no values.

    Raises:
        ValueError: The folder holds no LoopLM, its weights are packed, or they do not fit its configuration.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"model must be the folder of a LoopLM with config.json, got {str(folder)!r}")
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type != LOOPLM.model_type:
        raise ValueError(
            f"model must be the folder of a LoopLM, got one of model_type {model_type!r}: "
            "convert it first with `nanochat-ternary convert`"
        )
    config = LoopLMConfig.from_pretrained(folder)
    if config.weight_format == "packed":
        raise ValueError(f"model must have latent weights, got packed ones in {str(folder)!r}")
    return read_tensors(folder, LOOPLM, config)
