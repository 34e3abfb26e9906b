"""Parameters of a recipe's model, counted on a model without memory (PyTorch's meta device)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM
from trainers.optimizers import hidden_matrices


@dataclass(frozen=True)
class ParameterCounts:
    """
    Numbers of parameters.

    Attributes:
        unique: All parameters; those that several loops share count once, as does an embedding tied to the head.
        blocks: Of them, those of the blocks.
        matrices: Of these, the attention and MLP projections, which Muon updates.
        ternary: Of these, those that are quantized to ternary weights.
        applied: Parameters that a token passes through: those of the core's blocks count once for each loop.
        packed_bytes: Size of the model's file with packed weights; None for a model without ternary weights.
    """

    unique: int
    blocks: int
    matrices: int
    ternary: int
    applied: int
    packed_bytes: int | None


def count_parameters(config: LoopLMConfig) -> ParameterCounts:
    """Count the parameters of a model of this configuration."""
    # A configuration cannot be hashed; its JSON can.
    return _count(config.to_json_string(use_diff=False))


@cache
def _count(config_json: str) -> ParameterCounts:
    config = LoopLMConfig.from_dict(json.loads(config_json))
    model = _without_memory(config)
    unique = _numbers(model.parameters())
    blocks = _numbers(model.model.layers.parameters())
    core = blocks // config.num_stored_layers * config.num_shared_layers  # all blocks are of one size
    return ParameterCounts(
        unique=unique,
        blocks=blocks,
        matrices=_numbers(matrix for _, matrix in hidden_matrices(model)),
        ternary=_numbers(module.weight for module in model.modules() if isinstance(module, BitLinear)),
        applied=unique + core * (config.num_loops - 1),
        packed_bytes=_packed_bytes(config) if config.ternary else None,
    )


def _without_memory(config: LoopLMConfig) -> LoopLMForCausalLM:
    with torch.device("meta"):
        return LoopLMForCausalLM(config)


def _numbers(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _packed_bytes(config: LoopLMConfig) -> int:
    """Bytes of the file that `pack()` and `save_pretrained` write: 2-bit codes, their scales, everything else fp32."""
    packed = _without_memory(LoopLMConfig.from_dict(config.to_dict() | {"weight_format": "packed"}))
    buffers = (buffer for module in packed.modules() for buffer in _saved_buffers(module))
    return sum(tensor.nbytes for tensor in (*packed.parameters(), *buffers))


def _saved_buffers(module: nn.Module) -> Iterator[torch.Tensor]:
    unsaved = module._non_persistent_buffers_set
    yield from (buffer for name, buffer in module.named_buffers(recurse=False) if name not in unsaved)
