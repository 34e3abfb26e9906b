"""
GGUF files of llama.cpp's architectures llama, qwen2 and qwen3. Weights of every type become fp32, which holds all of
their values exactly.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evaluation.models.gguf_metadata import read_metadata
from modeling_nanochat import LoopLMConfig
from trainers.conversion.checkpoint import expected_shapes
from trainers.conversion.families import looplm_config
from trainers.conversion.gguf_config import ARCHITECTURES, config_of_metadata
from trainers.conversion.source import GATE, Entry, Source, some, zero_gate

if TYPE_CHECKING:
    from gguf.gguf_reader import ReaderTensor

ROWS_BYTES = 2**24
"""Most bytes of fp32 weights that are in memory at once, unless one head has more."""
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Names of llama.cpp's tensors in LoopLM, without the number of the block and without .weight or .bias."""
ROPE_FACTORS = "rope_freqs.weight"
INTERLEAVED = ("attn_q", "attn_k")
"""Tensors whose rows llama.cpp has in another order in the architecture llama: it rotates pairs of adjacent rows."""


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a GGUF file; `head_dim` is given if its rows are in llama.cpp's order for the rotation."""

    stored: "ReaderTensor"
    head_dim: int | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in PyTorch's order."""
        return tuple(int(size) for size in reversed(self.stored.shape))

    def chunks(self) -> Iterator[bytes]:
        """Dequantize it to little-endian fp32, some rows at a time."""
        width = self.shape[-1] if len(self.shape) > 1 else 1
        rows = max(1, ROWS_BYTES // (4 * width))
        if self.head_dim is not None:
            rows = max(1, rows // self.head_dim) * self.head_dim
        if len(self.shape) == 1:
            rows = self.shape[0]
        for start in range(0, self.shape[0], rows):
            values = self.values(start, min(start + rows, self.shape[0]))
            yield np.ascontiguousarray(values, dtype="<f4").tobytes()

    def values(self, start: int, end: int) -> np.ndarray:
        """Dequantize some rows, whole heads if the order of the rows is changed."""
        from gguf import dequantize

        values = dequantize(self.stored.data[start:end], self.stored.tensor_type)
        if self.head_dim is None:
            return values
        return values.reshape(-1, self.head_dim // 2, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def read_gguf_model(path: Path, **changes: Any) -> Source:
    """
    Read the metadata, the tokenizer and the names and shapes of the tensors of a GGUF file.

    Args:
        path: The file.
        changes: Fields of LoopLMConfig to set differently.

    Raises:
        ValueError: The file is damaged or of another architecture, needs something that LoopLM lacks, or has missing
            or unexpected tensors, or ones of another shape or of a type that the package gguf cannot read.
        ModuleNotFoundError: The package gguf is not installed.
    """
    metadata = read_metadata(path)
    architecture = metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{path} must be of an architecture among {', '.join(ARCHITECTURES)}, got {architecture!r}")
    stored = _stored_tensors(path)
    for name in ("token_embd.weight", "output_norm.weight"):
        if name not in stored:
            raise ValueError(f"{path} lacks the tensor {name}")
    factors = stored.pop(ROPE_FACTORS, None)
    content = config_of_metadata(path, metadata, {name: _shape(each) for name, each in stored.items()})
    if factors is not None:
        content["rope_parameters"] = _factored(path, content, _Tensor(factors, None).values(0, len(factors.data)))
    changes = {"attention_bias": _biases(stored)} | changes
    config = looplm_config(content, **changes)
    tensors: dict[str, _Tensor] = {}
    for name, each in stored.items():
        kind = name.split(".")[-2]
        turned = architecture == "llama" and kind in INTERLEAVED
        tensors[_looplm_name(path, name)] = _Tensor(each, config.head_dim if turned else None)
    _check(path, tensors, config)
    tokenizer = _tokenizer(path, metadata)
    entries = [Entry(name, "F32", tensor.shape, tensor.chunks) for name, tensor in tensors.items()]
    return Source(
        config, [entries + zero_gate(config.hidden_size)], tokenizer=tokenizer, saves_tokenizer=tokenizer is not None
    )


def _stored_tensors(path: Path) -> dict[str, "ReaderTensor"]:
    from gguf import GGUFReader

    try:
        return {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise ValueError(f"{path} is not a whole GGUF file, or has types that gguf does not know: {error}") from error


def _shape(tensor: "ReaderTensor") -> tuple[int, ...]:
    return _Tensor(tensor, None).shape


def _biases(stored: dict[str, "ReaderTensor"]) -> str:
    """Return `attention_bias` by the tensors that are there."""
    if "blk.0.attn_q.bias" not in stored:
        return "none"
    return "qkvo" if "blk.0.attn_output.bias" in stored else "qkv"


def _factored(path: Path, content: dict[str, Any], factors: np.ndarray) -> dict[str, Any]:
    """
    Return the rotary parameters with one factor per frequency, which llama.cpp divides by. It computes Llama 3's
    scaling beforehand in this way; the type "longrope" with equal factors for short and long texts is the same.
    """
    rope = content["rope_parameters"]
    if rope["rope_type"] != "default":
        raise ValueError(f"{path} must have {ROPE_FACTORS} or rope.scaling.type, got both")
    numbers = factors.astype(float).tolist()
    return {
        "rope_type": "longrope",
        "rope_theta": rope["rope_theta"],
        "short_factor": numbers,
        "long_factor": numbers,
        "factor": 1.0,
        "attention_factor": 1.0,
        "original_max_position_embeddings": content["max_position_embeddings"],
    }


def _looplm_name(path: Path, name: str) -> str:
    """Return the name in LoopLM of a tensor. Raises `ValueError` for one that LoopLM does not have."""
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[1].isdecimal() and parts[2] in NAMES:
        return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in NAMES:
        return f"{NAMES[parts[0]]}.{parts[1]}"
    raise ValueError(f"{path} has the tensor {name}, which LoopLM does not have")


def _check(path: Path, tensors: dict[str, _Tensor], config: LoopLMConfig) -> None:
    """Raise `ValueError` unless the tensors are those of the configuration and can be dequantized."""
    wanted = expected_shapes(config)
    for name in GATE:
        del wanted[name]
    missing = [name for name in wanted if name not in tensors]
    extra = [tensors[name].stored.name for name in tensors if name not in wanted]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors that its metadata asks for: {some(missing)}")
    if extra:
        raise ValueError(f"{path} has {len(extra)} tensors that LoopLM does not have: {some(extra)}")
    wrong = [
        f"{tensor.stored.name} is {list(tensor.shape)} and not {list(wanted[name])}"
        for name, tensor in tensors.items()
        if tensor.shape != wanted[name]
    ]
    if wrong:
        raise ValueError(f"{path} does not fit its metadata: {some(wrong)}")
    for tensor in {tensor.stored.tensor_type: tensor for tensor in tensors.values()}.values():
        try:
            _Tensor(tensor.stored, None).values(0, 1)
        except NotImplementedError as error:
            kind = tensor.stored.tensor_type.name
            raise ValueError(f"{path}: {tensor.stored.name} is {kind}, which gguf cannot dequantize") from error


def _tokenizer(path: Path, metadata: dict[str, object]) -> PreTrainedTokenizerBase | None:
    """Rebuild the tokenizer of a file. Raises `ValueError` if transformers cannot."""
    if "tokenizer.ggml.tokens" not in metadata:
        return None
    tokenizer: Any
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (OSError, ValueError, KeyError, NotImplementedError) as error:
        raise ValueError(f"{path} has a tokenizer that transformers cannot rebuild: {error}") from error
    template = metadata.get("tokenizer.chat_template")
    if tokenizer.chat_template is None and isinstance(template, str):
        tokenizer.chat_template = template
    return tokenizer
