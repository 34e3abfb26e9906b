"""Blocks of token ids of equal length, read from a file on disk."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from trainers.data.manifest import TOKENS_FILE, read_manifest


@dataclass(frozen=True)
class TokenBlocks:
    """
    Map-style data set over a file of token ids, which is mapped into memory; blocks of any length are views of it.

    A row has the column `input_ids`, `(seq_len,)` as int64, and with `document_masking` the column `position_ids`.
    These begin at 0 with the block and with every document in it, so that attention stays within a document. Copies in
    other processes open the file again.

    Args:
        path: File of token ids.
        dtype: NumPy's name of their type.
        num_tokens: Number of token ids in the file.
        seq_len: Tokens per block. An incomplete block at the end is left out.
        bos_token_id: First token of every document.
        document_masking: Whether rows have `position_ids`.

    Raises:
        ValueError: The tokens do not fill one block.
    """

    path: Path
    dtype: str
    num_tokens: int
    seq_len: int
    bos_token_id: int
    document_masking: bool = False

    def __post_init__(self) -> None:
        if self.seq_len < 1 or self.num_tokens < self.seq_len:
            raise ValueError(
                f"the data must fill at least one block of seq_len={self.seq_len} tokens, got {self.num_tokens} tokens"
            )

    def __len__(self) -> int:
        return self.num_tokens // self.seq_len

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be from {-len(self)} to {len(self) - 1}, got {index}")
        start = index % len(self) * self.seq_len
        row = {"input_ids": self._tokens[start : start + self.seq_len].astype(np.int64)}
        if self.document_masking:
            row["position_ids"] = positions_in_documents(row["input_ids"], self.bos_token_id)
        return row

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_tokens"}

    @cached_property
    def _tokens(self) -> np.ndarray:
        return np.memmap(self.path, self.dtype, mode="r", shape=(self.num_tokens,))

    def regroup(self, seq_len: int) -> "TokenBlocks":
        """
        Return the same tokens as blocks of another length.

        Raises:
            ValueError: The tokens do not fill one block.
        """
        return replace(self, seq_len=seq_len)

    def first(self, count: int) -> "TokenBlocks":
        """Return the first `count` blocks, or all if there are fewer."""
        return replace(self, num_tokens=min(count, len(self)) * self.seq_len)

    def to_dataset(self) -> Dataset:
        """Return a copy in memory with the column `input_ids`, for the evaluation of held-out blocks."""
        blocks = self._tokens[: len(self) * self.seq_len].reshape(len(self), self.seq_len)
        return Dataset.from_dict({"input_ids": blocks.astype(np.int32)})


def open_blocks(folder: Path, seq_len: int | None = None, document_masking: bool | None = None) -> TokenBlocks:
    """
    Open the blocks that [`pack_documents`] wrote.

    Args:
        folder: Folder with the manifest.
        seq_len: Tokens per block; None for the manifest's.
        document_masking: Whether rows have `position_ids`; None for the manifest's.

    Raises:
        ValueError: The folder has no manifest, the file of tokens is missing or has another length than in the
            manifest, or the tokens do not fill one block.
    """
    manifest = read_manifest(folder)
    path = folder / TOKENS_FILE
    expected = manifest.total.tokens * np.dtype(manifest.dtype).itemsize
    found = path.stat().st_size if path.exists() else None
    if found != expected:
        raise ValueError(f"{path} must have the manifest's {expected} bytes, got {found or 'no file'}")
    settings = manifest.settings
    return TokenBlocks(
        path,
        manifest.dtype,
        manifest.total.tokens,
        settings.seq_len if seq_len is None else seq_len,
        manifest.bos_token_id,
        settings.document_masking if document_masking is None else document_masking,
    )


def positions_in_documents(input_ids: np.ndarray, bos_token_id: int) -> np.ndarray:
    """
    Return the position of each token in its document, counted from 0.

    Args:
        input_ids: (seq,). Its first token counts as the beginning of a document.
        bos_token_id: First token of every document.
    """
    index = np.arange(len(input_ids))
    return index - np.maximum.accumulate(np.where(input_ids == bos_token_id, index, 0))
