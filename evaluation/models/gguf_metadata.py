"""
The metadata of a GGUF file, and the position of each value (ggml-org/ggml: docs/gguf.md, version 3).

The `gguf` package has a reader, too. It refuses files with tensors of types that are newer than the package.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"GGUF"
VERSION = 3
STRING, ARRAY = 8, 9
# Format characters of `struct` for the numbers, by GGUF's number of the type.
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True)
class GgufHead:
    """Metadata of a file, the position of each value in bytes from its start, and the number of tensors."""

    metadata: dict[str, object]
    value_offsets: dict[str, int]
    tensor_count: int


class GgufCursor:
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

    def integer(self, code: str) -> int:
        return int(self.number(code))

    def string(self) -> str:
        start = self.position
        try:
            return self.take(self.integer("Q")).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is damaged: the text at byte {start} is not UTF-8") from error

    def value(self, kind: int) -> object:
        if kind in NUMBERS:
            return self.number(NUMBERS[kind])
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            raise ValueError(f"{self.path} has a metadata value of the unknown type {kind}, near byte {self.position}")
        item_kind, length = self.integer("I"), self.integer("Q")
        if item_kind in NUMBERS:
            content = self.take(length * struct.calcsize("<" + NUMBERS[item_kind]))
            return list(struct.unpack(f"<{length}{NUMBERS[item_kind]}", content))
        if item_kind != STRING:
            raise ValueError(f"{self.path} has an array of the unknown type {item_kind}, near byte {self.position}")
        return [self.string() for _ in range(length)]


@contextmanager
def open_gguf(path: str | Path) -> Iterator[GgufCursor]:
    """
    Open a GGUF file for reading from its beginning.

    Raises:
        ValueError: The file is not a GGUF file.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        beginning = file.read(len(MAGIC))
        if beginning != MAGIC:
            raise ValueError(f"{path} is not a GGUF file: it must begin with {MAGIC!r}, got {beginning!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield GgufCursor(path, data)


def read_head(cursor: GgufCursor) -> GgufHead:
    """
    Read the metadata; the tensor table comes next.

    Raises:
        ValueError: The file has another version, is truncated or is damaged.
    """
    cursor.take(len(MAGIC))
    version = cursor.integer("I")
    if version != VERSION:
        raise ValueError(f"{cursor.path} must be a GGUF file of version {VERSION}, got version {version}")
    tensor_count, value_count = cursor.integer("Q"), cursor.integer("Q")
    metadata, value_offsets = {}, {}
    for _ in range(value_count):
        key, kind = cursor.string(), cursor.integer("I")
        value_offsets[key] = cursor.position
        metadata[key] = cursor.value(kind)
    return GgufHead(metadata, value_offsets, tensor_count)


def read_metadata(path: str | Path) -> dict[str, object]:
    """Read the metadata of a GGUF file of any model; see `open_gguf` and `read_head` for the errors."""
    with open_gguf(path) as cursor:
        return read_head(cursor).metadata
