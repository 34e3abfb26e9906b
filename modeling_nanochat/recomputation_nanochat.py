"""
Kinds of activation checkpointing, and the selective one: keep what matrix products and attention computed, and
recompute the rest.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from math import ceil, sqrt
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

GRANULARITIES = ("layer", "loop", "group", "selective")
# By name, because each of them exists only in some versions and builds of PyTorch.
PRODUCTS = ("mm", "addmm")
ATTENTIONS = (
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_fused_attention_overrideable",
)
KEPT = {f"aten::{name}" for name in PRODUCTS + ATTENTIONS} | {"flex_attention"}


def group_size(num_layers: int) -> int:
    """Return the number of layers in a group of `granularity="group"`: the square root of all, rounded up."""
    return ceil(sqrt(num_layers))


def is_kept(operation: Any, arguments: tuple, not_needed: tuple[int, int] | None) -> bool:
    """
    Whether the output of an operation is kept for the backward pass.

    Kept are matrix products and fused attention: PyTorch's, flex attention, and the kernels of flash-attn. Attention
    that is written as single operations (`attn_implementation="eager"`) is recomputed, because its scores grow with
    the square of the length. So are the small batched products of the streams' coefficients.

    Args:
        operation: The operator of a dispatch mode.
        arguments: Its arguments.
        not_needed: Inputs and outputs of the matrix whose product no gradient needs, if there is one.
    """
    name = operation.name() if callable(operation.name) else operation.name
    name = name.partition(".")[0]
    if name == "aten::mm":
        return tuple(arguments[1].shape) != not_needed
    namespace, _, function = name.partition("::")
    return name in KEPT or ("flash_attn" in namespace and function.endswith(("fwd", "forward")))


class Keep(TorchDispatchMode):
    """Appends the kept outputs to a list, in the forward pass."""

    def __init__(self, outputs: list, not_needed: tuple[int, int] | None):
        super().__init__()
        self.outputs, self.not_needed = outputs, not_needed

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if is_kept(func, args, self.not_needed):
            # Autograd connects the output itself with the graph, which holds this list.
            self.outputs.append(tree_map_only(torch.Tensor, torch.Tensor.detach, output))
        return output


class Reuse(TorchDispatchMode):
    """Takes the kept outputs from the list instead of computing them, in the backward pass."""

    def __init__(self, outputs: list, not_needed: tuple[int, int] | None):
        super().__init__()
        self.outputs, self.not_needed = outputs, not_needed
        self.position: Iterator = iter(())

    def __enter__(self):
        self.position = iter(self.outputs)  # from the start in every backward pass, if the graph is retained
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if is_kept(func, args, self.not_needed):
            return tree_map_only(torch.Tensor, torch.Tensor.detach, next(self.position))
        return func(*args, **(kwargs or {}))


def _contexts(not_needed: tuple[int, int] | None) -> tuple[AbstractContextManager, AbstractContextManager]:
    outputs: list = []
    return Keep(outputs, not_needed), Reuse(outputs, not_needed)


def _policy(not_needed: tuple[int, int] | None, context, operation, *args, **kwargs) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if is_kept(operation, args, not_needed) else CheckpointPolicy.PREFER_RECOMPUTE


def checkpoint_selectively(
    block: Callable[[torch.Tensor], torch.Tensor], hidden_states: torch.Tensor, not_needed: tuple[int, int] | None
) -> torch.Tensor:
    """
    Apply a block and keep for the backward pass only its input and the outputs of its matrix products and attention.

    Everything else is computed again from these: norms, rotary embeddings, rounding of activations, SwiGLU and the
    mixing of streams with its small products for the coefficients. No product with a layer's weight and no attention
    is computed twice. In compiled code this is a part of the graph, and must be called within the compiled function.

    For `d` the hidden size, `q` and `k` the widths of all query and all key heads, `f` the intermediate size, `h` the
    number of query heads and `n` the number of streams, the numbers kept per token and application of a block are,

    - in the dtype of the residual (fp32 under autocast, too, because the embedding is):
      `n d`, the input;
    - in the dtype of computation (bf16 under autocast):
      `q + 2 k` of the projections of queries, keys and values, `q` of the attention, `d` of its output projection,
      `2 f` of gate and up projections, and `d` of the down projection if there are several streams or post-norms;
    - in fp32: `h` of the attention, the logarithms of its normalizers.

    Without grouped queries (`q = k = d`) and with one stream that is `d` of the residual and `5 d + 2 f` of the
    computation.

    Args:
        block: The block.
        hidden_states: Its input.
        not_needed: See [`is_kept`].
    """
    # PyTorch's own contexts count every operation, and fail if there are more in backward than in forward: where
    # autocast has kept the cast of a weight only in forward, or the quantized weights were cleared in between.
    # Compiled code has neither.
    if torch.compiler.is_compiling():
        contexts = partial(create_selective_checkpoint_contexts, partial(_policy, not_needed))
    else:
        contexts = partial(_contexts, not_needed)
    return checkpoint(block, hidden_states, use_reentrant=False, context_fn=contexts)
