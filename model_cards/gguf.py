"""
Export of a LoopLM checkpoint to GGUF, as stock llama.cpp runs it.

llama.cpp's architecture `nanbeige` is a Llama block looped `nanbeige.num_loops` times with the final norm between the
loops (ggml-org/llama.cpp: src/models/nanbeige.cpp): each block is in the file once. What it cannot express is refused,
see `gguf_limits`. The exit gate is no part of it; gate, thresholds and configuration travel as metadata that llama.cpp
ignores.

Tensors are made, written and forgotten one by one. The file is then read back and compared with the checkpoint before
it gets its name.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from model_cards.checkpoint import Checkpoint
from model_cards.gguf_blocks import BlockFormat, block_scales, pack_ternary
from model_cards.gguf_file import GgufFile, read_gguf
from model_cards.gguf_limits import DENSE_TYPES, config_obstacles, exported_loops, find_format, fold_streams
from model_cards.gguf_tokenizer import tokenizer_metadata
from modeling_nanochat import LoopLMConfig
from modeling_nanochat.ternary_nanochat import quantize_weight, ternary_codes

ARCHITECTURE = "nanbeige"
OWN_PREFIX = "nanochat"
FLOAT, MATRIX = "float", "matrix"
"""Kinds of tensors: stored as they are (or rounded), and the ternary matrices of the blocks."""


@dataclass(frozen=True)
class ExportedTensor:
    """How one tensor of the file comes from one of the checkpoint."""

    name: str
    source: str
    shape: tuple[int, ...]
    format: BlockFormat
    kind: str = FLOAT
    heads: int | None = None
    """Of a query or key projection, whose rows are reordered for llama.cpp's rotary embedding."""
    factor: float = 1.0
    """What folded residual streams multiply the scales with."""


def export_gguf(
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerFast,
    path: str | Path,
    *,
    type: str = "q4_0",
    embedding_type: str | None = None,
    head_type: str | None = None,
    name: str | None = None,
) -> GgufFile:
    """
    Write a checkpoint as a GGUF file, and check the file against it.

    Args:
        checkpoint: See [`Checkpoint.of_folder`] and [`Checkpoint.of_model`].
        tokenizer: The model's.
        path: The file to write; one that exists is replaced when the new one is complete.
        type: Of the ternary matrices: f32, f16, q8_0, q4_0, q2_0, tq1_0, tq2_0 or q2_k. All carry them exactly; q4_0
            fits most group sizes (multiples of 32) and runs on every backend.
        embedding_type, head_type: f32, f16 or q8_0; None is f32 in an f32 file and f16 in all others. A tied head has
            no type of its own.
        name: For `general.name`.

    Returns:
        The file's description.

    Raises:
        ValueError: llama.cpp cannot run this model in this form (all reasons are listed), a weight is not finite or
            too large for fp16, the tokenizer does not fit, or the checkpoint has tensors that are not the model's.
    """
    config, path = checkpoint.config, Path(path)
    obstacles = config_obstacles(config, type)
    if obstacles:
        raise ValueError(f"{checkpoint.name} cannot be exported to GGUF:\n" + "\n".join(obstacles))
    if head_type is not None and config.tie_word_embeddings:
        raise ValueError(f"head_type must be None when LoopLMConfig.tie_word_embeddings=True, got {head_type!r}")
    default_type = "f32" if type == "f32" else "f16"
    tensors = list(
        exported_tensors(
            config,
            find_format(type, "type"),
            find_format(embedding_type or default_type, "embedding_type", DENSE_TYPES),
            find_format(head_type or default_type, "head_type", DENSE_TYPES),
            fold_streams(checkpoint),
        )
    )
    for tensor in tensors:
        if tensor.shape[-1] % tensor.format.block:
            raise ValueError(
                f"LoopLMConfig.hidden_size must be a multiple of {tensor.format.block} for {tensor.name} in "
                f"{tensor.format.name}, got {config.hidden_size}: take f16"
            )
    _check_names(checkpoint, tensors)
    metadata = model_metadata(checkpoint, find_format(type, "type"), name) | tokenizer_metadata(tokenizer, config)

    partial = path.with_name(path.name + ".partial")
    try:
        _write(partial, metadata, tensors, checkpoint)
        written = read_gguf(partial)
        check_tensors(written, tensors, checkpoint)
        _check_metadata(written, metadata)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return read_gguf(path)


def exported_tensors(
    config: LoopLMConfig,
    matrix: BlockFormat,
    embedding: BlockFormat,
    head: BlockFormat,
    factors: dict[str, float],
) -> Iterator[ExportedTensor]:
    """The tensors of the file, in order; `factors` as [`fold_streams`] gives them."""
    norm = find_format("f32", "norm")
    hidden, inner = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    yield ExportedTensor("token_embd.weight", "model.embed_tokens.weight", (config.vocab_size, hidden), embedding)
    for layer in range(config.num_shared_layers):
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
        for name, source in (("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")):
            yield ExportedTensor(f"{block}.{name}.weight", f"{module}.{source}.weight", (hidden,), norm)
    yield ExportedTensor("output_norm.weight", "model.norm.weight", (hidden,), norm)
    if not config.tie_word_embeddings:
        yield ExportedTensor("output.weight", "lm_head.weight", (config.vocab_size, hidden), head)


def model_metadata(checkpoint: Checkpoint, matrix: BlockFormat, name: str | None) -> dict[str, object]:
    """Keys and values of the model, without the tokenizer."""
    config = checkpoint.config
    gate_weight, gate_bias = (checkpoint.read(f"model.exit_gate.{part}").float() for part in ("weight", "bias"))
    metadata = {
        "general.architecture": ARCHITECTURE,
        "general.file_type": matrix.file_type,
        "general.quantization_version": 2,
        f"{ARCHITECTURE}.context_length": config.max_position_embeddings,
        f"{ARCHITECTURE}.embedding_length": config.hidden_size,
        f"{ARCHITECTURE}.block_count": config.num_shared_layers,
        f"{ARCHITECTURE}.feed_forward_length": config.intermediate_size,
        f"{ARCHITECTURE}.vocab_size": config.vocab_size,
        f"{ARCHITECTURE}.attention.head_count": config.num_attention_heads,
        f"{ARCHITECTURE}.attention.head_count_kv": config.num_key_value_heads,
        f"{ARCHITECTURE}.attention.key_length": config.head_dim,
        f"{ARCHITECTURE}.attention.value_length": config.head_dim,
        f"{ARCHITECTURE}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{ARCHITECTURE}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        f"{ARCHITECTURE}.rope.dimension_count": config.head_dim,
        f"{ARCHITECTURE}.num_loops": exported_loops(config),
        f"{ARCHITECTURE}.skip_loop_final_norm": False,
        f"{OWN_PREFIX}.config": json.dumps(config.to_dict(), sort_keys=True),
        f"{OWN_PREFIX}.exit_gate.weight": gate_weight.flatten().tolist(),
        f"{OWN_PREFIX}.exit_gate.bias": gate_bias.flatten().tolist(),
        f"{OWN_PREFIX}.exit_temperature": float(config.exit_temperature),
        f"{OWN_PREFIX}.exit_threshold": float(config.exit_threshold),
    }
    if config.ternary:
        metadata[f"{OWN_PREFIX}.ternary_group_size"] = np.int32(config.ternary_group_size)
    return metadata if name is None else {"general.name": name} | metadata


def permute_rotary(rows: np.ndarray, heads: int) -> np.ndarray:
    """
    Rows of a projection for rotate-half embeddings, (heads x 2 x half, ...), in the order for interleaved ones,
    (heads x half x 2, ...): llama.cpp turns neighbouring rows, transformers the rows `half` apart.
    """
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def restore_rotary(rows: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of [`permute_rotary`]."""
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _read_checked(tensor: ExportedTensor, checkpoint: Checkpoint) -> torch.Tensor:
    weight = checkpoint.read(tensor.source)
    if tuple(weight.shape) != tensor.shape:
        raise ValueError(
            f"{checkpoint.name}: {tensor.source} must have the shape {tensor.shape}, got {tuple(weight.shape)}"
        )
    if not torch.isfinite(weight).all():
        raise ValueError(f"{checkpoint.name}: {tensor.source} must be finite, got NaN or infinity")
    return weight


def encode(tensor: ExportedTensor, checkpoint: Checkpoint) -> np.ndarray:
    """A tensor's bytes, uint8 (rows, bytes of a row)."""
    config = checkpoint.config
    weight = _read_checked(tensor, checkpoint)
    if tensor.kind == FLOAT or not config.ternary:
        values = weight.float().numpy() * np.float32(tensor.factor)
        values = values if tensor.heads is None else permute_rotary(values, tensor.heads)
        return _encode_floats(values, tensor)
    codes, scales = (part.numpy() for part in ternary_codes(weight, config.ternary_group_size))
    rows, columns = tensor.shape
    # Float formats have no block; the smallest run of weights with one scale serves as theirs.
    run = tensor.format.block if tensor.format.pack else max(config.ternary_group_size, 1)
    scales = block_scales(scales * np.float32(tensor.factor), config.ternary_group_size, rows, columns, run)
    if tensor.heads is not None:
        codes, scales = permute_rotary(codes, tensor.heads), permute_rotary(scales, tensor.heads)
    if tensor.format.pack is not None:
        return pack_ternary(codes, scales, tensor.format)
    return _encode_floats(codes * np.repeat(scales, run, axis=1), tensor)


def _encode_floats(values: np.ndarray, tensor: ExportedTensor) -> np.ndarray:
    values = values.reshape(-1, values.shape[-1])
    largest = np.abs(values).max()
    if tensor.format.name != "f32" and largest > np.finfo(np.float16).max:
        raise ValueError(
            f"{tensor.source} must be at most {np.finfo(np.float16).max:.0f} in magnitude for {tensor.format.name}, "
            f"got {largest:.0f}: take f32"
        )
    if tensor.format.pack is None:
        return np.ascontiguousarray(values, dtype="<f4" if tensor.format.name == "f32" else "<f2").view(np.uint8)
    from gguf import GGMLQuantizationType, quants

    return quants.quantize(values, GGMLQuantizationType(tensor.format.type_id))


def _write(path: Path, metadata: dict[str, object], tensors: list[ExportedTensor], checkpoint: Checkpoint) -> None:
    from gguf import GGUFValueType, GGUFWriter

    writer = GGUFWriter(path, ARCHITECTURE)
    types = {bool: GGUFValueType.BOOL, int: GGUFValueType.UINT32, float: GGUFValueType.FLOAT32}
    types |= {str: GGUFValueType.STRING, list: GGUFValueType.ARRAY, np.int32: GGUFValueType.INT32}
    for key, value in metadata.items():
        if key != "general.architecture":  # The writer has it already.
            writer.add_key_value(key, value, types[type(value)])
    for tensor in tensors:
        nbytes = tensor.format.nbytes(int(np.prod(tensor.shape)))
        # Said to be int8, because the writer would derive the shape from bytes by a table that lacks Q2_0.
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.int8), nbytes, tensor.format.type_id)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(encode(tensor, checkpoint))
    finally:
        writer.close()


def check_tensors(file: GgufFile, tensors: list[ExportedTensor], checkpoint: Checkpoint) -> None:
    """
    Compare a file's tensors with the checkpoint: names, types, shapes, and every value. Ternary and fp32 values must
    be the model's own, others its values rounded to their type.

    Raises:
        ValueError: Names the first tensor that differs.
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


def _expected_values(tensor: ExportedTensor, checkpoint: Checkpoint) -> np.ndarray:
    """What the model computes with, fp32, in the order of its rows, and rounded only where the type rounds."""
    config = checkpoint.config
    weight = _read_checked(tensor, checkpoint)
    if tensor.kind == MATRIX and config.ternary:
        weight = quantize_weight(weight, config.ternary_group_size, torch.float32) * tensor.factor
        # A scale times a factor is a scale no more that fp16 holds exactly.
        return weight.numpy() if tensor.format.name == "f32" else weight.half().float().numpy()
    values = weight.float().numpy() * np.float32(tensor.factor)
    if tensor.format.pack is None:
        return values.astype("<f4" if tensor.format.name == "f32" else "<f2").astype(np.float32)
    from gguf import GGMLQuantizationType, quants

    kind = GGMLQuantizationType(tensor.format.type_id)
    return quants.dequantize(quants.quantize(values, kind), kind)


def _check_metadata(file: GgufFile, metadata: dict[str, object]) -> None:
    for key, value in metadata.items():
        found = file.metadata[key]
        if isinstance(value, float):
            found, value = np.float32(found), np.float32(value)
        elif isinstance(value, list) and isinstance(value[0], float):
            found, value = np.float32(found).tolist(), np.float32(value).tolist()
        if found != value:
            raise ValueError(f"{file.path}: {key} must be {str(value)[:80]}, got {str(found)[:80]}")


def _check_names(checkpoint: Checkpoint, tensors: list[ExportedTensor]) -> None:
    """The checkpoint has what the file needs, and nothing that the file would silently lack."""
    needed = {tensor.source for tensor in tensors}
    extra = {name for name in checkpoint.names if ".exit_gate." not in name and "_residual." not in name} - needed
    missing = needed - checkpoint.names
    if extra or missing:
        fault = f"lacks {sorted(missing)[:3]}" if missing else f"also has {sorted(extra)[:3]}"
        raise ValueError(
            f"{checkpoint.name} must have exactly the tensors of its configuration: it {fault}. Adapters must be "
            "merged before the export."
        )
