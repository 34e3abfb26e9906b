"""Small models for tests: every mechanism on, and logits spread enough that greedy tokens differ."""

from typing import Any

import torch
from torch import nn

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM

VOCAB_SIZE = 96


def tiny_config(**overrides) -> LoopLMConfig:
    settings: dict[str, Any] = dict(
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        intermediate_size=64,
        num_shared_layers=2,
        num_loops=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        ternary_group_size=16,
        activation_bits=None,
        mhc_num_streams=2,
        tie_word_embeddings=False,
        initializer_range=0.3,
    )
    return LoopLMConfig(**(settings | overrides))


def tiny_model(seed: int = 0, **overrides) -> LoopLMForCausalLM:
    torch.manual_seed(seed)
    model = LoopLMForCausalLM(tiny_config(**overrides)).eval()
    for name, parameter in model.model.layers.named_parameters():
        # They are 0 and 1 at first, which a test could not tell from none.
        if name.endswith(("_proj.bias", "q_norm.weight", "k_norm.weight")):
            nn.init.normal_(parameter, 0.0 if name.endswith("bias") else 1.0, 0.3)
    if model.model.loop_scale is not None:
        nn.init.normal_(model.model.loop_scale, 0.5, 0.3)
    return model


def random_tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Token ids that avoid the special tokens 0, 1 and 2."""
    return torch.randint(3, VOCAB_SIZE, (batch, length), generator=torch.Generator().manual_seed(seed))


def greedy(model, tokens, new_tokens=12, **kwargs):
    settings = dict(max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
    return model.generate(tokens, **(settings | dict(return_dict_in_generate=True) | kwargs))
