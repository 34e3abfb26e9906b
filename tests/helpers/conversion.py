"""The command `convert`, and small checkpoints of the families that it reads, as transformers saves them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from nanochat_ternary.__main__ import main

FAMILIES: dict[str, tuple[Any, Any]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}
SIZES: dict[str, Any] = dict(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    initializer_range=0.3,
    sliding_window=None,
    bos_token_id=1,
    eos_token_id=2,
)


def convert(words: list[str]) -> int:
    """Run `nanochat-ternary convert` with these words; return its exit status."""
    return main(["convert", *words])


def family_model(family: str, **settings: Any) -> PreTrainedModel:
    """A random model of transformers' own class; biases and norms are random, too."""
    config, model = FAMILIES[family]
    torch.manual_seed(0)
    made = model(config(**(SIZES | settings))).eval()
    for name, parameter in made.named_parameters():
        if name.endswith((".bias", "norm.weight")):
            nn.init.normal_(parameter, 1.0 if name.endswith("weight") else 0.0, 0.3)
    return made


def save_family(folder: Path, family: str, shard_size: str = "1GB", **settings: Any) -> PreTrainedModel:
    """Save such a model; return it."""
    made = family_model(family, **settings)
    made.save_pretrained(folder, max_shard_size=shard_size)
    return made
