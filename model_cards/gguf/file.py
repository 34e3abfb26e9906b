"""
Reading a GGUF file: its metadata, where each value lies, and its tensors (ggml-org/ggml: docs/gguf.md, version 3).

The `gguf` package has a reader as well; it refuses types newer than itself (Q2_0), and answers a truncated file with
an error from deep inside numpy.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from model_cards.gguf.blocks import FORMAT_OF_ID, BlockFormat, dequantize

ARCHITECTURE = "nanbeige"
# LLAMA_MAX_LAYERS (ggml-org/llama.cpp: src/llama-hparams.h), loops included.
MOST_LAYERS = 512
MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
MOST_DIMENSIONS = 4
STRING, ARRAY = 8, 9
# Struct codes of the numbers, by GGUF's number of the type.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class GgufTensor:
    """A tensor's description: its shape as (rows, columns) or (columns,), and where its bytes lie in the file."""

    name: str
    shape: tuple[int, ...]
    format: BlockFormat
    offset: int
    nbytes: int


@dataclass(frozen=True)
class GgufFile:
    """A file's description; see [`read_gguf`]."""

    path: Path
    metadata: dict[str, object]
    value_offsets: dict[str, int]
    """Where the value of a metadata key begins, in bytes from the start of the file."""
    tensors: dict[str, GgufTensor]
    nbytes: int
    """Size that the description asks of the file."""

    def raw(self, name: str) -> np.ndarray:
        """A tensor's bytes, uint8 (rows, bytes of a row), read from the file on access."""
        tensor = self.tensors[name]
        flat = np.fromfile(self.path, dtype=np.uint8, count=tensor.nbytes, offset=tensor.offset)
        return flat.reshape(prod(tensor.shape[:-1]), -1)

    def values(self, name: str) -> np.ndarray:
        """A tensor's values, fp32, in its shape."""
        tensor = self.tensors[name]
        return dequantize(self.raw(name), tensor.format).reshape(tensor.shape)


class _Cursor:
    """A position in the file's description; reading past the end is an error that says so."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.position = path, data, 0

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise ValueError(
                f"{self.path} is truncated: its description reaches beyond byte {len(self.data)}, where the file "
                "ends. Copy or export it again."
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
    """Name, shape, type and offset (from the start of the tensors' bytes) of the next description."""
    name = cursor.string()
    count = cursor.number("I")
    if not 1 <= count <= MOST_DIMENSIONS:
        raise ValueError(f"{cursor.path}: tensor {name} must have 1 to {MOST_DIMENSIONS} dimensions, got {count}")
    dimensions = [cursor.number("Q") for _ in range(count)]
    type_id, offset = cursor.number("I"), cursor.number("Q")
    if type_id not in FORMAT_OF_ID:
        known = ", ".join(f"{block_format.name} ({number})" for number, block_format in FORMAT_OF_ID.items())
        raise ValueError(f"{cursor.path}: tensor {name} must have one of the types {known}, got type {type_id}")
    if not all(dimensions) or dimensions[0] % FORMAT_OF_ID[type_id].block:
        raise ValueError(
            f"{cursor.path}: tensor {name} must have rows of whole blocks of {FORMAT_OF_ID[type_id].block}, got the "
            f"shape {dimensions[::-1]}"
        )
    # GGUF writes the fastest dimension first.
    return name, tuple(reversed(dimensions)), FORMAT_OF_ID[type_id], offset


def read_gguf(path: str | Path) -> GgufFile:
    """
    Read the description of a GGUF file; tensors are read when asked for.

    Raises:
        ValueError: The file is no GGUF file, of another version, truncated, or has a tensor of a type that this
            project does not write. Bytes after the last tensor count as wrong, too.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        beginning = file.read(len(MAGIC))
        if beginning != MAGIC:
            raise ValueError(f"{path} is not a GGUF file: it must begin with {MAGIC!r}, got {beginning!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read_description(_Cursor(path, data))


def _read_description(cursor: _Cursor) -> GgufFile:
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
    descriptions = [_tensor(cursor) for _ in range(tensor_count)]

    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 8 or alignment % 8:
        raise ValueError(f"{path}: general.alignment must be a multiple of 8, got {alignment!r}")
    start = end = _aligned(cursor.position, alignment)
    tensors = {}
    for name, shape, block_format, offset in descriptions:
        tensors[name] = GgufTensor(name, shape, block_format, start + offset, block_format.nbytes(prod(shape)))
        end = max(end, _aligned(start + offset + tensors[name].nbytes, alignment))
    if size != end:
        fault = "is truncated" if size < end else "has bytes after its last tensor"
        raise ValueError(f"{path} {fault}: it must have {end} bytes, got {size}. Copy or export it again.")
    return GgufFile(path, metadata, value_offsets, tensors, end)


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
