"""First step: read the sources into shards, without copies and without what the filter refuses."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from evaluation.progress import show_progress
from trainers.data.preparation.shards import read_rows, shard_path, shard_paths, shards_of, write_json, write_rows
from trainers.data.sources import Document, Source
from trainers.data.sources.filters import SourceFilter

COPY = "copy of an earlier document"
FINISHED = "finished.json"


@dataclass
class SourceCounts:
    """
    Documents of one source.

    Attributes:
        documents: Number of documents in its shards.
        bytes: Size of their code.
        left_out: Number of documents that were left out, by reason.
        licenses: Number of documents by license.
    """

    documents: int = 0
    bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    licenses: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {**vars(self), "left_out": dict(self.left_out), "licenses": dict(sorted(self.licenses.items()))}

    @classmethod
    def read(cls, path: Path) -> "SourceCounts":
        """Read the counts of a finished source."""
        values = json.loads(path.read_text())
        return cls(values["documents"], values["bytes"], Counter(values["left_out"]), Counter(values["licenses"]))


def read_sources(
    sources: Sequence[Source], filter: SourceFilter, folder: Path, limit: int | None = None, progress: bool = False
) -> dict[str, SourceCounts]:
    """
    Write the documents of the sources into shards below `folder`, in a folder for each source.

    Sources that an earlier call finished are not read again. Of equal documents (apart from whitespace), the first is
    kept, in the order of the sources.

    Args:
        sources: Where to read from.
        filter: Which documents to keep.
        folder: For the shards.
        limit: Maximum number of documents of each source; None for all.
        progress: Show progress bars.

    Returns:
        Counts by source.

    Raises:
        ValueError: A source is not readable, or has no document that the filter keeps.
        OSError: A shard cannot be written.
    """
    for source in sources:
        source.check()
    seen: set[str] = set()
    counts: dict[str, SourceCounts] = {}
    for number, source in enumerate(sources):
        part = folder / f"{number:02}-{source.name}"
        if (part / FINISHED).exists():
            seen |= {row["id"] for shard in shard_paths(part) for row in read_rows(shard)}
        else:
            _write(source, filter, part, seen, limit, progress)
        counts[part.name] = SourceCounts.read(part / FINISHED)
    return counts


def document_shards(folder: Path) -> list[Path]:
    """Return the shards of all sources in their order."""
    return [shard for part in sorted(folder.iterdir()) for shard in shard_paths(part)]


def source_number(path: Path) -> int:
    """Return the number of the source that a folder of shards, or a file made from one, belongs to."""
    return int(path.name.partition("-")[0])


def _write(
    source: Source, filter: SourceFilter, part: Path, seen: set[str], limit: int | None, progress: bool
) -> None:
    counts = SourceCounts()
    with show_progress(f"Reading {source.name}", None, "B", shown=progress) as advance:
        documents = islice(_kept(source, filter, seen, counts), limit)
        num_shards = 0
        for shard in shards_of(map(asdict, documents)):
            write_rows(shard_path(part, num_shards), shard)
            num_shards += 1
            size = sum(len(row["code"].encode()) for row in shard)
            counts.documents += len(shard)
            counts.bytes += size
            counts.licenses.update(row["license"] for row in shard)
            advance(size)
    counts.left_out.update(source.left_out)
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.left_out.most_common())
    if not counts.documents and set(counts.left_out) == {COPY}:
        print(f"Source {source.name} adds nothing: all of its documents are in the sources before it")
    elif not counts.documents:
        raise ValueError(
            f"source {source.name} has no document to train on" + (f"; left out: {reasons}" if reasons else "")
        )
    # Shards of an interrupted call with more documents.
    for shard in shard_paths(part)[num_shards:]:
        shard.unlink()
    write_json(part / FINISHED, counts.to_json())


def _kept(source: Source, filter: SourceFilter, seen: set[str], counts: SourceCounts) -> Iterator[Document]:
    for document in source.read():
        reason = None if source.is_own else filter.reason(document)
        if reason is None and document.id in seen:
            reason = COPY
        if reason is not None:
            counts.left_out[reason] += 1
            continue
        seen.add(document.id)
        yield document
