"""A small random checkpoint, as its family publishes them, which takes the place of a large one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from modeling_nanochat import LoopLMForCausalLM
from trainers.conversion.checkpoint import HEAD
from trainers.conversion.families import find_family, looplm_config


def write_random_checkpoint(content: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """
    Write a checkpoint with random weights.

    Args:
        content: Content of its config.json, with `model_type`.
        tokenizer: Its tokenizer.
        folder: Folder to write.

    Raises:
        ValueError: The family is unknown, or a field is missing or not supported.
    """
    family, config = find_family(dict(content)), looplm_config(dict(content))
    if family.model_type in CONFIG_MAPPING_NAMES:
        AutoModelForCausalLM.from_config(AutoConfig.for_model(**content)).save_pretrained(folder)
    else:
        # transformers has no class for it: a LoopLM under the family's names.
        weights = {family.own_name(name): value for name, value in LoopLMForCausalLM(config).state_dict().items()}
        if config.tie_word_embeddings:
            del weights[HEAD]
        folder.mkdir(parents=True)
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(dict(content), indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
