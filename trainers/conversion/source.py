"""What a conversion reads: a model that was checked, as a list of tensors to write."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from modeling_nanochat import LoopLMConfig

BYTES_OF_DTYPE = {"F32": 4, "BF16": 2, "F16": 2}
"""Size of a number by its type in safetensors; no other types are converted."""
TORCH_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
COPY_BYTES = 2**22
GATE = ("model.exit_gate.weight", "model.exit_gate.bias")


@dataclass(frozen=True)
class Entry:
    """
    A tensor to write.

    Attributes:
        name: Its name in LoopLM.
        dtype: One of `BYTES_OF_DTYPE`.
        shape: Its shape.
        chunks: Returns its bytes, in parts that are read when they are asked for.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: Callable[[], Iterator[bytes]]

    @property
    def nbytes(self) -> int:
        """Number of its bytes."""
        count = BYTES_OF_DTYPE[self.dtype]
        for size in self.shape:
            count *= size
        return count


@dataclass(frozen=True)
class Source:
    """
    A model to convert, whose names, shapes and types were compared with its configuration.

    Attributes:
        config: Configuration of the LoopLM with equal outputs.
        files: Tensors of each file to write.
        copied: Files to copy, of the tokenizer and of generation.
        tokenizer: The tokenizer, if there is one.
        saves_tokenizer: Whether the tokenizer has no files to copy and is saved instead.
    """

    config: LoopLMConfig
    files: list[list[Entry]]
    copied: list[Path] = field(default_factory=list)
    tokenizer: PreTrainedTokenizerBase | None = None
    saves_tokenizer: bool = False

    @property
    def num_tensors(self) -> int:
        """Number of tensors."""
        return sum(len(entries) for entries in self.files)

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.nbytes for entries in self.files for entry in entries)


def zeros(name: str, shape: tuple[int, ...]) -> Entry:
    """Return a small tensor of zeros in fp32."""
    return Entry(name, "F32", shape, lambda: iter([bytes(BYTES_OF_DTYPE["F32"] * math.prod(shape))]))


def zero_gate(hidden_size: int) -> list[Entry]:
    """Return an exit gate of zeros, for a model without one; with one loop it has no effect."""
    weight, bias = GATE
    return [zeros(weight, (1, hidden_size)), zeros(bias, (1,))]


def read_values(entry: Entry) -> torch.Tensor:
    """Read the values of a tensor, in fp32."""
    stored = bytearray().join(entry.chunks())
    return torch.frombuffer(stored, dtype=TORCH_DTYPES[entry.dtype]).float().reshape(entry.shape)


def read_json(path: Path) -> dict:
    """Read a JSON object from a file. Raises `ValueError` when there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(found).__name__}")
    return found


def some(names: list[str]) -> str:
    """Return the first five names and the number of the others, for a message."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
