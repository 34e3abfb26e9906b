"""Tensor parallelism of a LoopLM and its ternary layers."""

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard
from transformers.distributed.utils import is_dtensor

from .configuration_nanochat import LoopLMConfig
from .ternary_nanochat import BitLinear, WeightShard


def check_tensor_parallel(config: LoopLMConfig, size: int) -> None:
    """
    Check that a model can be divided among a number of processes.

    Args:
        config: The configuration of the model.
        size: Number of processes.

    Raises:
        ValueError: Heads, widths or quantization groups cannot be divided into this number of equal parts.
        NotImplementedError: The weights are packed.
    """
    if config.weight_format == "packed":
        raise NotImplementedError(
            'LoopLMConfig.weight_format="packed" cannot be divided among processes yet: '
            f"load the latent weights for tp_size={size}."
        )
    num_key_value_heads, head_dim = config.head_sizes()
    # The number of query heads is a multiple of this.
    if num_key_value_heads % size:
        raise ValueError(
            f"LoopLMConfig.num_key_value_heads must be a multiple of tp_size={size}, got {num_key_value_heads}"
        )
    # With one scale per tensor (-1), the processes compute the scale together.
    group_size = config.ternary_group_size if config.ternary and config.ternary_group_size > 0 else 1
    widths = {
        "intermediate_size": config.intermediate_size,
        "num_attention_heads x head_dim": config.num_attention_heads * head_dim,
    }
    for name, width in widths.items():
        if width % (size * group_size):
            groups = f" x ternary_group_size={group_size}" if group_size > 1 else ""
            raise ValueError(f"LoopLMConfig.{name} must be a multiple of tp_size={size}{groups}, got {width}")


def share_ternary_layers(model: nn.Module, mesh: DeviceMesh) -> None:
    """
    Set the attribute `shard` of the ternary layers whose weights transformers has divided.

    Args:
        model: The model, after its parameters became distributed tensors.
        mesh: The processes that share it.
    """
    for module in model.modules():
        if isinstance(module, BitLinear) and is_dtensor(module.weight):
            (placement,) = module.weight.placements
            assert isinstance(placement, Shard), f"a ternary weight is divided, got {placement}"
            module.shard = WeightShard(mesh.get_group(), placement.dim % 2)
