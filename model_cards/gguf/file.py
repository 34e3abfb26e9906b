"""
Reader for GGUF files: the metadata, the position of each value, and the tensors (ggml-org/ggml: docs/gguf.md, version
3).

The `gguf` package has a reader, too. It refuses types that are newer than the package (Q2_0), and fails on a truncated
file with an error of NumPy that does not name the file.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from evaluation.models.gguf_metadata import GgufCursor, open_gguf, read_head
from model_cards.gguf.blocks import FORMATS_BY_ID, BlockFormat, dequantize

ARCHITECTURE, UNROLLED = "nanbeige", "llama"
"""llama.cpp's looped Llama, and the plain one, which every engine has."""
# LLAMA_MAX_LAYERS (ggml-org/llama.cpp: src/llama-hparams.h); a block counts once per loop.
MAX_LAYERS = 512
ALIGNMENT = 32
MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class GgufTensor:
    """Entry of the tensor table: shape (rows, columns) or (columns,), type, and position of the bytes in the file."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    offset: int
    nbytes: int


@dataclass(frozen=True)
class GgufFile:
    """Metadata and tensor table of a file; see [`read_gguf`]."""

    path: Path
    metadata: dict[str, object]
    value_offsets: dict[str, int]
    """Position of each metadata value, in bytes from the start of the file."""
    tensors: dict[str, GgufTensor]
    nbytes: int
    """Size of the file, computed from the tensor table."""

    def raw(self, name: str) -> np.ndarray:
        """Read the bytes of a tensor from the file, uint8 (rows, bytes of a row)."""
        tensor = self.tensors[name]
        flat = np.fromfile(self.path, dtype=np.uint8, count=tensor.nbytes, offset=tensor.offset)
        return flat.reshape(prod(tensor.shape[:-1]), -1)

    def values(self, name: str) -> np.ndarray:
        """Read and dequantize a tensor, fp32 in its shape."""
        tensor = self.tensors[name]
        return dequantize(self.raw(name), tensor.format).reshape(tensor.shape)


def _tensor(cursor: GgufCursor) -> tuple[str, tuple[int, ...], BlockFormat, int]:
    """Read name, shape, type and offset (from the start of the tensor data) of the next entry of the tensor table."""
    name = cursor.string()
    count = cursor.integer("I")
    if not 1 <= count <= MAX_DIMENSIONS:
        raise ValueError(f"{cursor.path}: tensor {name} must have 1 to {MAX_DIMENSIONS} dimensions, got {count}")
    dimensions = [cursor.integer("Q") for _ in range(count)]
    type_id, offset = cursor.integer("I"), cursor.integer("Q")
    if type_id not in FORMATS_BY_ID:
        known = ", ".join(f"{block_format.name} ({number})" for number, block_format in FORMATS_BY_ID.items())
        raise ValueError(f"{cursor.path}: tensor {name} must have one of the types {known}, got type {type_id}")
    if not all(dimensions) or dimensions[0] % FORMATS_BY_ID[type_id].block:
        raise ValueError(
            f"{cursor.path}: tensor {name} must have rows of a multiple of {FORMATS_BY_ID[type_id].block} weights, "
            f"got shape {dimensions[::-1]}"
        )
    # GGUF stores the fastest dimension first.
    return name, tuple(reversed(dimensions)), FORMATS_BY_ID[type_id], offset


def read_gguf(path: str | Path) -> GgufFile:
    """
    Read metadata and tensor table of a GGUF file; tensors are read when they are asked for.

    Raises:
        ValueError: The file is not a GGUF file, has another version, is truncated, has bytes after the last tensor, or
            has a tensor of a type that this project does not write.
        FileNotFoundError: There is no such file.
    """
    with open_gguf(path) as cursor:
        return _read_tables(cursor)


def _read_tables(cursor: GgufCursor) -> GgufFile:
    path, size = cursor.path, len(cursor.data)
    head = read_head(cursor)
    metadata = head.metadata
    entries = [_tensor(cursor) for _ in range(head.tensor_count)]

    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 8 or alignment % 8:
        raise ValueError(f"{path}: general.alignment must be a multiple of 8, got {alignment!r}")
    start = end = _aligned(cursor.position, alignment)
    tensors = {}
    for name, shape, block_format, offset in entries:
        tensors[name] = GgufTensor(name, shape, block_format, start + offset, block_format.nbytes(prod(shape)))
        end = max(end, _aligned(start + offset + tensors[name].nbytes, alignment))
    if size != end:
        fault = "is truncated" if size < end else "has bytes after its last tensor"
        raise ValueError(f"{path} {fault}: it must have {end} bytes, got {size}. Copy or export it again.")
    return GgufFile(path, metadata, head.value_offsets, tensors, end)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
