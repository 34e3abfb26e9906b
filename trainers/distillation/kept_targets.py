"""
A teacher's likeliest tokens for every token of a file of blocks, computed once and kept on disk.

The file is a table with a record per token, mapped into memory. It gets its name when it is complete. Until then a
second file has a byte for each block that is done, so that a killed computation is continued, by any number of
processes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.complete_files import complete_file
from evaluation.progress import show_progress
from trainers.data.blocks import TokenBlocks
from trainers.data.collator import collate_blocks
from trainers.data.manifest import read_manifest
from trainers.distillation.targets import DenseTargets, TopKTargets, teacher_log_probs, top_k

TABLE, DONE, FINGERPRINT = "teacher_top_k.bin", "teacher_top_k.done", "teacher_top_k.json"
LOG_PROBS, IDS = "teacher_log_probs", "teacher_ids"
"""Columns of a row with kept targets: (seq, k + 1) and (seq, k)."""


@dataclass(frozen=True)
class Fingerprint:
    """
    Everything that kept targets depend on.

    Attributes:
        teacher: Hashes of the teacher's files, or its commit on the Hub.
        tokens_sha256: Hash of the file of tokens.
        seq_len: Tokens per block.
        document_masking: Whether the teacher's attention stays within documents.
        k: Number of kept tokens.
        temperature: Divisor of the teacher's logits.
        vocab_size: Number of the student's logits.
        bf16: Whether the teacher computed in bf16.
    """

    teacher: Mapping[str, str]
    tokens_sha256: str
    seq_len: int
    document_masking: bool
    k: int
    temperature: float
    vocab_size: int
    bf16: bool

    @classmethod
    def of(cls, blocks: TokenBlocks, **others: Any) -> "Fingerprint":
        """Return the fingerprint for blocks in a folder with their manifest; `others` are the fields about more."""
        tokens = read_manifest(blocks.path.parent).tokens_sha256
        return cls(tokens_sha256=tokens, seq_len=blocks.seq_len, document_masking=blocks.document_masking, **others)


def record(k: int) -> np.dtype:
    """Type of the record of a token: log-probabilities of k tokens and of all others, and the ids of the k."""
    return np.dtype([(LOG_PROBS, "<f2", (k + 1,)), (IDS, "<i4", (k,))])


def bytes_of(num_tokens: int, k: int) -> int:
    """Bytes of the file for so many tokens."""
    return num_tokens * record(k).itemsize


@dataclass(frozen=True)
class BlocksWithTargets:
    """
    Map-style data set of blocks with the teacher's likeliest tokens. Copies in other processes open the file again.

    Attributes:
        blocks: The blocks.
        path: File of the records.
        k: Number of tokens in a record.
    """

    blocks: TokenBlocks
    path: Path
    k: int

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        row = self.blocks[index]
        start = index % len(self) * self.blocks.seq_len
        records = self._records[start : start + self.blocks.seq_len]
        return row | {name: np.array(records[name]) for name in (LOG_PROBS, IDS)}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_records"}

    @cached_property
    def _records(self) -> np.ndarray:
        return np.memmap(self.path, record(self.k), mode="r", shape=(len(self) * self.blocks.seq_len,))


def collate_with_targets(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Return a batch as [`collate_blocks`] does, with the columns of [`BlocksWithTargets`], `(batch, seq, ...)`."""
    kept = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in (LOG_PROBS, IDS)}
    return collate_blocks(rows) | kept


def kept_targets(batch: Mapping[str, torch.Tensor]) -> TopKTargets:
    """Return the targets of a batch of [`collate_with_targets`]."""
    return TopKTargets(batch[LOG_PROBS].flatten(0, 1), batch[IDS].flatten(0, 1))


def open_kept(blocks: TokenBlocks, folder: Path, fingerprint: Fingerprint) -> BlocksWithTargets | None:
    """Return the blocks with the complete targets of this fingerprint in a folder; None where there are none."""
    path = folder / TABLE
    size = bytes_of(len(blocks) * blocks.seq_len, fingerprint.k)
    if not _is_of(fingerprint, folder) or not path.exists() or path.stat().st_size != size:
        return None
    return BlocksWithTargets(blocks, path, fingerprint.k)


def begin_targets(blocks: TokenBlocks, folder: Path, fingerprint: Fingerprint) -> None:
    """
    Make room for the targets of a fingerprint in a folder, unless an equal computation can be continued there. One
    process does it, before all of them call [`compute_targets`].

    Raises:
        OSError: The files cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial, done = _partial(folder), folder / DONE
    if _is_of(fingerprint, folder) and partial.exists() and done.exists():
        return
    for path in (folder / TABLE, folder / FINGERPRINT, partial, done):
        path.unlink(missing_ok=True)
    for path, size in (
        (partial, bytes_of(len(blocks) * blocks.seq_len, fingerprint.k)),
        (done, len(blocks)),
    ):
        with path.open("wb") as file:
            file.truncate(size)
    with complete_file(folder / FINGERPRINT) as file:
        file.write_text(json.dumps(asdict(fingerprint), indent=2) + "\n")


def compute_targets(
    blocks: TokenBlocks,
    folder: Path,
    fingerprint: Fingerprint,
    predict: Callable[[dict[str, torch.Tensor]], DenseTargets],
    batch_size: int,
    process: int = 0,
    num_processes: int = 1,
    chunk: int = 256,
) -> None:
    """
    Compute the targets of those blocks that are not done. Each of several processes takes its share.

    Args:
        blocks: The blocks.
        folder: Folder in which [`begin_targets`] made room.
        fingerprint: The same as there.
        predict: Maps a batch of [`collate_blocks`] to the teacher's predictions.
        batch_size: Blocks per batch.
        process: Number of this process.
        num_processes: Number of processes.
        chunk: Tokens whose logits are computed together.

    Raises:
        OSError: The files cannot be written.
    """
    kind, seq_len = record(fingerprint.k), blocks.seq_len
    done = np.frombuffer((folder / DONE).read_bytes(), dtype=np.uint8)
    missing = [index for index in range(len(blocks)) if not done[index] and index % num_processes == process]
    with ExitStack() as stack:
        table = stack.enter_context(_partial(folder).open("r+b", buffering=0))
        marks = stack.enter_context((folder / DONE).open("r+b", buffering=0))
        advance = stack.enter_context(show_progress("Teacher", len(missing), "blocks", 0, process == 0))
        for start in range(0, len(missing), batch_size):
            indices = missing[start : start + batch_size]
            batch = collate_blocks([blocks[index] for index in indices])
            records = _records(predict(batch), fingerprint, kind, chunk).reshape(len(indices), seq_len)
            for index, values in zip(indices, records, strict=True):
                table.seek(index * seq_len * kind.itemsize)
                table.write(values.tobytes())
            # A block is marked when its records are written.
            for index in indices:
                marks.seek(index)
                marks.write(b"\1")
            advance(len(indices))


def finish_targets(folder: Path) -> None:
    """Give the complete table its name. One process does it, after all of them have computed their share."""
    assert all((folder / DONE).read_bytes()), "every process has computed its share"
    _partial(folder).replace(folder / TABLE)
    (folder / DONE).unlink()


def _records(targets: DenseTargets, fingerprint: Fingerprint, kind: np.dtype, chunk: int) -> np.ndarray:
    found = np.empty(len(targets.rows), dtype=kind)
    for start in range(0, len(found), chunk):
        part = slice(start, start + chunk)
        logits = targets.logits(targets.rows[part])
        kept = top_k(teacher_log_probs(logits, fingerprint.temperature, fingerprint.vocab_size), fingerprint.k)
        found[LOG_PROBS][part] = kept.log_probs.cpu().numpy()
        found[IDS][part] = kept.ids.cpu().numpy()
    return found


def _is_of(fingerprint: Fingerprint, folder: Path) -> bool:
    path = folder / FINGERPRINT
    return path.exists() and json.loads(path.read_text()) == asdict(fingerprint)


def _partial(folder: Path) -> Path:
    return folder / f"{TABLE}.incomplete"
