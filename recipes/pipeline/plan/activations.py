"""
Tensors that the forward pass keeps for the backward pass, one line each, as measured by `saved_tensors_hooks` and by
the partitioner of torch.compile (the tests compare them byte by byte).

The hidden states between the blocks are fp32, the inputs and outputs of matrix products bf16 (autocast).
"""

from collections.abc import Iterable, Iterator
from math import factorial
from typing import Literal, NamedTuple

from modeling_nanochat import LoopLMConfig

Checkpointing = Literal["none", "selective", "layer", "loop", "group"]
MODES: tuple[Checkpointing, ...] = ("none", "selective", "layer", "loop", "group")
"""Modes of `training.checkpointing`, in the order of the time that they cost, the cheapest first."""
BF16, FP32 = 2, 4


class Kept(NamedTuple):
    """
    A tensor that backward needs.

    Attributes:
        name: In words.
        width: Numbers per token.
        bytes: Bytes per number.
    """

    name: str
    width: int
    bytes: int


def quantizes_in_blocks(config: LoopLMConfig, compiled: bool) -> bool:
    """
    Whether every application of a block makes its weights in bf16 and keeps them, as compiled blocks do with float
    weights. Ternary weights are quantized once for all loops, and autocast keeps what it has converted.
    """
    return compiled and not config.ternary


def bytes_per_token(tensors: Iterable[Kept]) -> int:
    """Sum of the tensors' bytes per token."""
    return sum(tensor.width * tensor.bytes for tensor in tensors)


def head_widths(config: LoopLMConfig) -> tuple[int, int]:
    """Numbers per token of the queries, and of the keys (or values)."""
    keys, head_dim = config.head_sizes()
    return config.num_attention_heads * head_dim, keys * head_dim


def state_width(config: LoopLMConfig) -> int:
    """Numbers per token of the hidden states between blocks, with all residual streams."""
    return config.mhc_num_streams * config.hidden_size


def block_tensors(config: LoopLMConfig, compiled: bool) -> Iterator[Kept]:
    """Tensors that one application of a block keeps without checkpointing; quantized weights are counted apart."""
    yield from _attention(config)
    yield from (_compiled_block(config) if compiled else _eager_block(config))


def _attention(config: LoopLMConfig) -> Iterator[Kept]:
    queries, keys = head_widths(config)
    yield Kept("queries after rotation", queries, BF16)
    yield Kept("keys after rotation and values", 2 * keys, BF16)
    yield Kept("log-sum-exp of the attention", config.num_attention_heads, FP32)


def _is_rounded(config: LoopLMConfig) -> bool:
    """Whether inputs of projections are rounded to int8 precision, which makes another tensor of each."""
    return config.ternary and config.activation_bits is not None


def _compiled_block(config: LoopLMConfig) -> Iterator[Kept]:
    width, streams = config.hidden_size, config.mhc_num_streams
    queries, _ = head_widths(config)
    sandwich = 2 if config.sandwich_norm else 0
    yield Kept("inputs of the two norms' products, rounded", 2 * width, BF16)
    yield Kept("output of the attention", queries, BF16)
    if _is_rounded(config):
        yield Kept("input of the output projection, rounded", queries, BF16)
    yield Kept("output of the output projection", width, BF16)
    yield Kept("gate, up, and the input of the down projection", 3 * config.intermediate_size, BF16)
    yield Kept("inverse norms", 2 + sandwich, FP32)
    yield from _head_norms(config, compiled=True)
    if streams == 1:
        yield Kept("input of the block", width, FP32)
        if sandwich:
            yield Kept("output of the down projection", width, BF16)
        return
    yield Kept("output of the down projection", width, BF16)
    yield Kept("streams at the beginning of each sublayer", 2 * streams * width, FP32)
    yield Kept("coefficients of the streams", 2 * _compiled_coefficients(config), FP32)


def _head_norms(config: LoopLMConfig, compiled: bool) -> Iterator[Kept]:
    """Tensors that the norms of queries and keys keep."""
    if not config.qk_norm:
        return
    keys, head_dim = config.head_sizes()
    heads = config.num_attention_heads + keys
    if compiled:
        yield Kept("queries and keys before their norms", heads * head_dim, BF16)
    else:
        yield Kept("queries and keys before division by their norms", heads * head_dim, FP32)
        yield Kept("queries and keys after division by their norms", heads * head_dim, BF16)
    yield Kept("inverse norms of the heads", heads, FP32)


def _compiled_coefficients(config: LoopLMConfig) -> int:
    """Numbers per token and sublayer that the mixing of the streams keeps: products, softmax, matrices, sigmoids."""
    streams, orders = config.mhc_num_streams, factorial(config.mhc_num_streams)
    if not config.mhc_dynamic:
        return 0
    # The partitioner computes the matrices again where the softmax, which it keeps anyway, is smaller.
    matrices = streams**2 if streams**2 < orders else 0
    return (2 * streams + orders) + orders + matrices + 2 * streams + 1


def _eager_block(config: LoopLMConfig) -> Iterator[Kept]:
    width, streams = config.hidden_size, config.mhc_num_streams
    queries, _ = head_widths(config)
    if _is_rounded(config):
        yield Kept("inputs of the two norms' products, rounded", 2 * width, BF16)
        yield Kept("output of the attention", queries, BF16)
    else:
        yield Kept("inputs of the query, key, value, gate and up projections", 5 * width, BF16)
    yield Kept("input of the output projection", queries, BF16)
    yield Kept("gate, its activation, up, and the input of the down projection", 4 * config.intermediate_size, BF16)
    yield Kept("inputs of the two norms, before and after division", 4 * width, FP32)
    yield Kept("inverse norms", 2, FP32)
    yield from _head_norms(config, compiled=False)
    if config.sandwich_norm:
        yield Kept("inputs of the two post-norms", 2 * width, FP32)
        yield Kept("inputs of the two post-norms after division", 2 * width, BF16)
        yield Kept("inverse norms of the post-norms", 2, FP32)
    if streams > 1:
        yield Kept("streams at the beginning of each sublayer", 2 * streams * width, FP32)
        yield Kept("outputs of the sublayers", 2 * width, FP32 if config.sandwich_norm else BF16)
        yield Kept("coefficients of the streams", 2 * _eager_coefficients(config), FP32)


def _eager_coefficients(config: LoopLMConfig) -> int:
    streams, orders = config.mhc_num_streams, factorial(config.mhc_num_streams)
    if not config.mhc_dynamic:
        return 0
    # Products, the same times the inverse norm, softmax, matrices, sigmoids with their factors, and the inverse norm.
    return 2 * (2 * streams + orders) + orders + streams**2 + 3 * streams + 1


def selective_tensors(config: LoopLMConfig) -> Iterator[Kept]:
    """Tensors that one application of a block keeps with `checkpointing="selective"`: outputs of matrix products."""
    queries, keys = head_widths(config)
    yield Kept("input of the block", state_width(config), FP32)
    yield Kept("queries, keys and values", queries + 2 * keys, BF16)
    yield Kept("output of the attention", queries, BF16)
    yield Kept("log-sum-exp of the attention", config.num_attention_heads, FP32)
    yield Kept("output of the output projection", config.hidden_size, BF16)
    yield Kept("gate and up", 2 * config.intermediate_size, BF16)
    if config.mhc_num_streams > 1 or config.sandwich_norm:
        yield Kept("output of the down projection", config.hidden_size, BF16)


def between_loops(config: LoopLMConfig, is_last: bool) -> Iterator[Kept]:
    """
    Tensors that a loop keeps besides its blocks, in every mode. What is also the input of a block is counted there:
    with one stream and `loop_update="norm"` the output of the norm, with `"scaled"` its input.

    Args:
        config: The configuration of the model.
        is_last: Whether it is the last loop.
    """
    width, streams, scaled = config.hidden_size, config.mhc_num_streams, config.loop_update == "scaled"
    goes_on = config.num_coda_layers > 0 or not is_last
    if not (scaled and streams == 1 and goes_on):
        yield Kept("input of the norm after the loop", width, FP32)
    yield Kept("input of the norm after the loop, after division", width, FP32)
    weighted = WEIGHTED_WIDTH if config.loop_loss == "expected" else 0
    yield Kept("exit gate and exit distribution", GATE_WIDTH + weighted, FP32)
    if scaled or streams > 1 or is_last:
        yield Kept("input of the exit gate", width, FP32)
    if streams > 1 and not is_last and not scaled:
        yield Kept("input of the norm over all streams, before and after division", 2 * streams * width, FP32)


def after_coda(config: LoopLMConfig) -> Iterator[Kept]:
    """Tensors that a coda keeps besides its blocks, in every mode."""
    yield Kept("input of the norm after the coda, before and after division", 2 * config.hidden_size, FP32)
    yield Kept("inverse norm", 1, FP32)


GATE_WIDTH = 7
"""Numbers per token and loop of the exit gate, the exit distribution, its entropy, and the inverse norm."""
WEIGHTED_WIDTH = 2
"""Likewise of a loss that the exit distribution weights: the weight and the loss of the loop."""
