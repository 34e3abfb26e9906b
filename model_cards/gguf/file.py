"""
Reader for GGUF files: the metadata, the position of each value, and the tensors (ggml-org/ggml: docs/gguf.md, version
3).

The `gguf` package has a reader, too. It refuses types that are newer than the package (Q2_0), and fails on a truncated
file with an error of NumPy that does not name the file.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from model_cards.gguf.blocks import FORMATS_BY_ID, BlockFormat, dequantize

ARCHITECTURE = "nanbeige"
# LLAMA_MAX_LAYERS (ggml-org/llama.cpp: src/llama-hparams.h); a block counts once per loop.
MAX_LAYERS = 512
MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
MAX_DIMENSIONS = 4
STRING, ARRAY = 8, 9
# Format characters of `struct` for the numbers, by GGUF's number of the type.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


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


class _Cursor:
    """A reading position in a file; reading past the end raises ValueError."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.position = path, data, 0

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError(
                f"{self.path} is truncated: its metadata and tensor table go beyond byte {len(self.data)}, the end of "
                "the file. Copy or export it again."
            )
        start, self.position = self.position, end
        return self.data[start:end]

    def number(self, code: str) -> int | float | bool:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self) -> str:
        start = self.position
        try:
            return self.take(self.number("Q")).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is damaged: the text at byte {start} is not UTF-8") from error

    def value(self, kind: int) -> object:
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise ValueError(f"{self.path} has a metadata value of the unknown type {kind}, near byte {self.position}")
        item_kind, length = self.number("I"), self.number("Q")
        if item_kind in NUMBERS:
            content = self.take(length * struct.calcsize("<" + NUMBERS[item_kind]))
            return list(struct.unpack(f"<{length}{NUMBERS[item_kind]}", content))
        if item_kind != STRING:
            raise ValueError(f"{self.path} has an array of the unknown type {item_kind}, near byte {self.position}")
        return [self.string() for _ in range(length)]


def _tensor(cursor: _Cursor) -> tuple[str, tuple[int, ...], BlockFormat, int]:
    """Read name, shape, type and offset (from the start of the tensor data) of the next entry of the tensor table."""
    name = cursor.string()
    count = cursor.number("I")
    if not 1 <= count <= MAX_DIMENSIONS:
        raise ValueError(f"{cursor.path}: tensor {name} must have 1 to {MAX_DIMENSIONS} dimensions, got {count}")
    dimensions = [cursor.number("Q") for _ in range(count)]
    type_id, offset = cursor.number("I"), cursor.number("Q")
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
    path = Path(path)
    with path.open("rb") as file:
        beginning = file.read(len(MAGIC))
        if beginning != MAGIC:
            raise ValueError(f"{path} is not a GGUF file: it must begin with {MAGIC!r}, got {beginning!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read_tables(_Cursor(path, data))


def _read_tables(cursor: _Cursor) -> GgufFile:
    path, size = cursor.path, len(cursor.data)
    cursor.take(len(MAGIC))
    version = cursor.number("I")
    if version != VERSION:
        raise ValueError(f"{path} must be a GGUF file of version {VERSION}, got version {version}")
    tensor_count, value_count = cursor.number("Q"), cursor.number("Q")
    metadata, value_offsets = {}, {}
    for _ in range(value_count):
        key, kind = cursor.string(), cursor.number("I")
        value_offsets[key] = cursor.position
        metadata[key] = cursor.value(kind)
    entries = [_tensor(cursor) for _ in range(tensor_count)]

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
    return GgufFile(path, metadata, value_offsets, tensors, end)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
