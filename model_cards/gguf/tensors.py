"""
The tensors of a LoopLM in a GGUF file of llama.cpp's looped architecture: their list, their encoding, and a check of a
written file against the checkpoint.

Encoding packs codes and scales into bytes. The check is independent of it: the dequantized values of the file, with
the row order of the model restored, must equal the weights that the model multiplies with.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.blocks import BlockFormat, block_scales, pack_ternary
from model_cards.gguf.file import GgufFile
from model_cards.gguf.limits import find_format
from modeling_nanochat import LoopLMConfig

FLOAT, MATRIX = "float", "matrix"
"""Kinds of tensors: floating-point ones, and the matrices of the blocks, which are ternary in a ternary model."""


@dataclass(frozen=True)
class ExportedTensor:
    """A tensor of the file, and the tensor of the checkpoint (`source`) that it is made from."""

    name: str
    source: str
    shape: tuple[int, ...]
    format: BlockFormat
    kind: str = FLOAT
    heads: int | None = None
    """Number of heads of a query or key projection, whose rows are reordered for llama.cpp's rotary embedding."""
    factor: float = 1.0
    """Factor on the scales, from folded residual streams."""


def exported_tensors(
    config: LoopLMConfig,
    matrix: BlockFormat,
    embedding: BlockFormat,
    head: BlockFormat,
    factors: dict[str, float],
) -> Iterator[ExportedTensor]:
    """List the tensors of the file in order; `factors` are those of [`fold_streams`]."""
    vector = find_format("f32", "vector")
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    yield ExportedTensor("token_embd.weight", "model.embed_tokens.weight", (config.vocab_size, hidden), embedding)
    for layer in range(config.num_stored_layers):
        block, module = f"blk.{layer}", f"model.layers.{layer}"
        for name, source, shape, heads, residual in (
            ("attn_q", "self_attn.q_proj", (queries, hidden), config.num_attention_heads, None),
            ("attn_k", "self_attn.k_proj", (keys, hidden), config.num_key_value_heads, None),
            ("attn_v", "self_attn.v_proj", (keys, hidden), None, None),
            ("attn_output", "self_attn.o_proj", (hidden, queries), None, "attention_residual"),
            ("ffn_gate", "mlp.gate_proj", (inner, hidden), None, None),
            ("ffn_up", "mlp.up_proj", (inner, hidden), None, None),
            ("ffn_down", "mlp.down_proj", (hidden, inner), None, "mlp_residual"),
        ):
            factor = factors.get(f"{module}.{residual}", 1.0)
            yield ExportedTensor(
                f"{block}.{name}.weight", f"{module}.{source}.weight", shape, matrix, MATRIX, heads, factor
            )
            if config.attention_bias == "qkv" and name in ("attn_q", "attn_k", "attn_v"):
                yield ExportedTensor(f"{block}.{name}.bias", f"{module}.{source}.bias", shape[:1], vector, heads=heads)
        for name, source in (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
            yield ExportedTensor(f"{block}.{name}.weight", f"{module}.{source}.weight", (hidden,), vector)
    yield ExportedTensor("output_norm.weight", "model.norm.weight", (hidden,), vector)
    if not config.tie_word_embeddings:
        yield ExportedTensor("output.weight", "lm_head.weight", (config.vocab_size, hidden), head)


def permute_rotary(rows: np.ndarray, heads: int) -> np.ndarray:
    """
    Reorder the rows of a projection from rotate-half, (heads x 2 x half, ...), to interleaved rotary embeddings,
    (heads x half x 2, ...): llama.cpp rotates pairs of adjacent rows, transformers pairs that are `half` apart.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def restore_rotary(rows: np.ndarray, heads: int) -> np.ndarray:
    """Invert [`permute_rotary`]."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _check_shape(weight: torch.Tensor, tensor: ExportedTensor, checkpoint: LoopLMCheckpoint) -> None:
    if tuple(weight.shape) != tensor.shape:
        raise ValueError(
            f"{checkpoint.name}: {tensor.source} must have the shape {tensor.shape}, got {tuple(weight.shape)}"
        )


def encode(tensor: ExportedTensor, checkpoint: LoopLMCheckpoint) -> np.ndarray:
    """Encode a tensor of the checkpoint, uint8 (rows, bytes of a row)."""
    config = checkpoint.config
    if tensor.kind == FLOAT or not config.ternary:
        weight = checkpoint.read_finite(tensor.source)
        _check_shape(weight, tensor, checkpoint)
        values = weight.float().numpy() * np.float32(tensor.factor)
        values = values if tensor.heads is None else permute_rotary(values, tensor.heads)
        return _encode_floats(values, tensor)
    codes, scales = checkpoint.ternary_codes(tensor.source)
    _check_shape(codes, tensor, checkpoint)
    codes, scales = codes.numpy(), scales.numpy()
    rows, columns = tensor.shape
    # Floating-point types have no blocks: a group takes their place.
    run = tensor.format.block if tensor.format.pack else max(config.ternary_group_size, 1)
    scales = scales * np.float32(tensor.factor)
    if tensor.format.name != "f32":
        _check_folded(scales, tensor)
    scales = block_scales(scales, config.ternary_group_size, rows, columns, run)
    if tensor.heads is not None:
        codes, scales = permute_rotary(codes, tensor.heads), permute_rotary(scales, tensor.heads)
    if tensor.format.pack is not None:
        return pack_ternary(codes, scales, tensor.format)
    return _encode_floats(codes * np.repeat(scales, run, axis=1), tensor)


def _check_folded(scales: np.ndarray, tensor: ExportedTensor) -> None:
    """Raise ValueError when the factor of folded streams takes scales out of the range of fp16."""
    smallest, largest = np.finfo(np.float16).smallest_normal, np.finfo(np.float16).max
    # Half of the smallest normal number still has 10 bits of precision.
    if scales.min() < smallest / 2 or scales.max() > largest:
        raise ValueError(
            f"{tensor.source}: its scales must be from {smallest / 2:.2g} to {largest:.0f} for "
            f"{tensor.format.name} after multiplication by the factor {tensor.factor:.3g} of the folded streams, got "
            f"{scales.min():.2g} to {scales.max():.2g}: use f32"
        )


def _encode_floats(values: np.ndarray, tensor: ExportedTensor) -> np.ndarray:
    values = values.reshape(-1, values.shape[-1])
    largest = np.abs(values).max()
    if tensor.format.name != "f32" and largest > np.finfo(np.float16).max:
        raise ValueError(
            f"{tensor.source} must be at most {np.finfo(np.float16).max:.0f} in magnitude for {tensor.format.name}, "
            f"got {largest:.0f}: use f32"
        )
    if tensor.format.pack is None:
        return np.ascontiguousarray(values, dtype="<f4" if tensor.format.name == "f32" else "<f2").view(np.uint8)
    from gguf import GGMLQuantizationType, quants

    return quants.quantize(values, GGMLQuantizationType(tensor.format.type_id))


def check_tensors(file: GgufFile, tensors: list[ExportedTensor], checkpoint: LoopLMCheckpoint) -> None:
    """
    Compare the tensors of a file with the checkpoint: names, types, shapes, and every value. Ternary and fp32 values
    must equal the model's; others must equal the model's values rounded to their type.

    Raises:
        ValueError: A tensor differs; gives the name of the first one.
    """
    expected = [tensor.name for tensor in tensors]
    if list(file.tensors) != expected:
        raise ValueError(f"{file.path} must have the tensors {expected}, got {list(file.tensors)}")
    for tensor in tensors:
        found = file.tensors[tensor.name]
        if found.shape != tensor.shape or found.format != tensor.format:
            raise ValueError(
                f"{file.path}: {tensor.name} must be {tensor.format.name} of shape {tensor.shape}, got "
                f"{found.format.name} of shape {found.shape}"
            )
        values = file.values(tensor.name)
        if tensor.heads is not None:
            values = restore_rotary(values, tensor.heads)
        wrong = values != _expected_values(tensor, checkpoint)
        if wrong.any():
            raise ValueError(
                f"{file.path}: {tensor.name} must hold the values of {tensor.source}, got {wrong.sum()} of "
                f"{wrong.size} that differ"
            )


def _expected_values(tensor: ExportedTensor, checkpoint: LoopLMCheckpoint) -> np.ndarray:
    """Weights that the model multiplies with, fp32 in the model's row order, rounded only where the type rounds."""
    config = checkpoint.config
    if tensor.kind == MATRIX and config.ternary:
        weight = checkpoint.quantized_weight(tensor.source) * tensor.factor
        # A scale times a factor is in general no fp16 number.
        return weight.numpy() if tensor.format.name == "f32" else weight.half().float().numpy()
    values = checkpoint.read_finite(tensor.source).float().numpy() * np.float32(tensor.factor)
    if tensor.format.pack is None:
        return values.astype("<f4" if tensor.format.name == "f32" else "<f2").astype(np.float32)
    from gguf import GGMLQuantizationType, quants

    kind = GGMLQuantizationType(tensor.format.type_id)
    return quants.dequantize(quants.quantize(values, kind), kind)
