"""Tensor parallelism: what of a LoopLM can be divided among processes, and what its ternary layers must know of it."""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from transformers.distributed.utils import is_dtensor

from .configuration_nanochat import LoopLMConfig
from .ternary_nanochat import BitLinear, WeightShard


def check_tensor_parallel(config: LoopLMConfig, size: int) -> None:
    """
    Args:
        config: Of the model that `size` processes are to share.

    Raises:
        ValueError: Heads, widths or groups of weights that share a scale cannot be divided into so many equal parts.
        NotImplementedError: The weights are packed.
    """
    if config.weight_format == "packed":
        raise NotImplementedError(
            'LoopLMConfig.weight_format="packed" cannot be divided among processes yet: '
            f"load the latent weights for tp_size={size}."
        )
    # The query heads are a multiple of these.
    if config.num_key_value_heads % size:
        raise ValueError(
            f"LoopLMConfig.num_key_value_heads must be a multiple of tp_size={size}, got {config.num_key_value_heads}"
        )
    # One scale per tensor (-1) is found by all processes together.
    group_size = config.ternary_group_size if config.ternary and config.ternary_group_size > 0 else 1
    widths = {
        "intermediate_size": config.intermediate_size,
        "num_attention_heads x head_dim": config.num_attention_heads * config.head_dim,
    }
    for name, width in widths.items():
        if width % (size * group_size):
            groups = f" x ternary_group_size={group_size}" if group_size > 1 else ""
            raise ValueError(f"LoopLMConfig.{name} must be a multiple of tp_size={size}{groups}, got {width}")


def share_ternary_layers(model: nn.Module, mesh: DeviceMesh) -> None:
    """Tell the ternary layers whose weights transformers has divided over `mesh` how; see [`WeightShard`]."""
    for module in model.modules():
        if isinstance(module, BitLinear) and is_dtensor(module.weight):
            (placement,) = module.weight.placements
            module.shard = WeightShard(mesh.get_group(), placement.dim % 2)
