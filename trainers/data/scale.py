"""
Filtering of rows on several machines, as pipelines of datatrove (`pip install nanochat-ternary[scale]`).

The steps call the functions that one process would call: `signatures` and `NearDuplicates`, `Contamination` and
`RustVerifier`. Duplicates have to be compared in one place, so there are three pipelines that run after each other:

1. signatures of all documents, in any number of tasks;
2. the search for duplicates in the signatures, in one task; the order is that of the paths of the input files, so the
   result does not depend on the number of tasks;
3. the filters, in any number of tasks: duplicates, benchmarks, verification. Of similar documents the first is kept
   even if it does not compile, because compiling all of them first would take many times as long.

`filter_locally` runs them on this machine. For a cluster, give the three pipelines to `SlurmPipelineExecutor` or
`RayPipelineExecutor` with `depends`; all folders must then be visible to all machines. Each executor skips the tasks
that are complete when it is started again.
"""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow.parquet as parquet
from datatrove.data import Document as PipelineDocument
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.readers.base import BaseDiskReader
from datatrove.pipeline.writers import JsonlWriter

from evaluation.rust import RustVerifier
from trainers.data.decontamination import Contamination
from trainers.data.duplicates import NUM_PERMUTATIONS, NearDuplicates, signatures
from trainers.data.sources import Document
from trainers.data.verify import as_program, decided

Documents = Iterable[PipelineDocument] | None
Steps = list[PipelineStep | Callable[..., Any]]
COLUMNS = ("id", "code")
BATCH = 64
READERS = {".jsonl": JsonlReader, ".gz": JsonlReader, ".parquet": ParquetReader}


def input_reader(folder: Path) -> BaseDiskReader:
    """
    Return a reader of the rows in a folder: .jsonl and .jsonl.gz files, or .parquet files.

    Raises:
        ValueError: There are no such files or both kinds, or the first row of one lacks a column.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kinds = {READERS.get(path.suffix) for path in paths}
    if len(kinds) != 1 or None in kinds:
        names = ", ".join(sorted({path.suffix or path.name for path in paths})) or "no files"
        raise ValueError(f"inputs must be a folder of .jsonl and .jsonl.gz or of .parquet files only, got {names}")
    for path in paths:
        missing = sorted(set(COLUMNS) - _columns(path))
        if missing:
            raise ValueError(f"rows must have the columns {', '.join(COLUMNS)}; {path} lacks {', '.join(missing)}")
    (reader,) = kinds
    assert reader is not None, "other files are an error"
    return reader(str(folder), text_key="code", id_key="id")


def _columns(path: Path) -> set[str]:
    if path.suffix == ".parquet":
        return set(parquet.read_schema(path).names)
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        line = file.readline()
    if not line:
        return set(COLUMNS)
    row = json.loads(line)
    return set(row) if isinstance(row, dict) else set()


def _by_file(documents: Documents) -> Iterator[tuple[str, Iterator[PipelineDocument]]]:
    """Yield the path of each input file and its documents."""
    yield from groupby(documents or (), key=lambda document: document.metadata["file_path"])


def _beside(folder: Path, path: str, suffix: str) -> Path:
    """Return the file that belongs to an input file."""
    return folder / f"{quote(path, safe='')}{suffix}"


class WriteSignatures(PipelineStep):
    """Write the content hashes and signatures of all documents, one file for each input file."""

    type, name = "signatures", "MinHash signatures"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(self, data: Documents = None, rank: int = 0, world_size: int = 1) -> Iterator[PipelineDocument]:  # ty: ignore[incompatible-method-override]
        """Read all documents and yield none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, documents in _by_file(data):
            hashes: list[str] = []
            ids: list[str] = []
            parts = [np.zeros((0, NUM_PERMUTATIONS), np.uint32)]
            while batch := list(islice(documents, BATCH)):
                hashes += [Document.of("", "", "", "", document.text).id for document in batch]
                ids += [document.id for document in batch]
                parts.append(signatures([document.text for document in batch]))
            with _beside(self.folder, path, ".npz").open("wb") as file:
                np.savez(file, hashes=np.array(hashes), ids=np.array(ids), signatures=np.concatenate(parts))
        yield from ()


class FindDuplicates(PipelineStep):
    """
    Find duplicates in all signatures, and write which documents of each input file are kept, and `duplicates.jsonl`:
    the id of each duplicate and of the document that is kept in its place. Run it in one task.
    """

    type, name = "duplicates", "exact and near-duplicates"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(self, data: Documents = None, rank: int = 0, world_size: int = 1) -> Iterator[PipelineDocument]:  # ty: ignore[incompatible-method-override]
        """Read the signatures; there are no documents."""
        if world_size != 1:
            raise ValueError(f"duplicates must be searched for in 1 task, got {world_size}")
        near, exact = NearDuplicates(), dict[str, str]()
        with (self.folder / "duplicates.jsonl").open("w") as report:
            for path in sorted(self.folder.glob("*.npz")):
                with np.load(path) as found:
                    hashes, ids, rows = found["hashes"].tolist(), found["ids"].tolist(), found["signatures"]
                kept = []
                for digest, id, signature in zip(hashes, ids, rows, strict=True):
                    other = exact.get(digest)
                    if other is None:
                        exact[digest] = id
                        other = near.find(signature, id)
                    kept.append(other is None)
                    if other is not None:
                        report.write(json.dumps({"id": id, "duplicate_of": other}) + "\n")
                np.save(path.with_suffix(".kept.npy"), np.array(kept, bool))
        yield from ()


class KeepFirst(PipelineStep):
    """Drop the documents that `FindDuplicates` found; the input must be read as for `WriteSignatures`."""

    type, name = "🔻 - FILTER", "duplicates"

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def run(self, data: Documents = None, rank: int = 0, world_size: int = 1) -> Iterator[PipelineDocument]:  # ty: ignore[incompatible-method-override]
        """Yield the documents that are kept."""
        for path, documents in _by_file(data):
            kept = np.load(_beside(self.folder, path, ".kept.npy"))
            for document, keep in zip(documents, kept, strict=True):
                self.stat_update("forwarded" if keep else "dropped")
                if keep:
                    yield document


class DropContaminated(BaseFilter):
    """Drop the documents that contain a problem of a benchmark with scores."""

    name = "benchmarks"

    def __init__(self, contamination: Contamination):
        super().__init__()
        self.contamination = contamination

    def filter(self, doc: PipelineDocument) -> bool | tuple[bool, str]:
        """Return whether to keep a document, and the benchmark if not."""
        match = self.contamination.check(doc.text)
        return True if match is None or not match.scored else (False, match.benchmark)


class KeepValid(BaseFilter):
    """Keep the documents that compile, with the verdict's status; see `RustVerifier.verify`."""

    name = "verified"

    def __init__(self, verifier: RustVerifier):
        super().__init__(batch_size=BATCH)
        self.verifier = verifier

    def filter(self, doc: PipelineDocument) -> bool | tuple[bool, str]:
        """Return whether a document compiles, and the status if not."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[PipelineDocument]) -> list[bool | tuple[bool, str]]:
        """Return for each document whether it compiles, and the status if not."""
        programs = [as_program(_row_document(document)) for document in batch]
        verdicts = decided(self.verifier.verify(programs))
        for document, verdict in zip(batch, verdicts, strict=True):
            document.metadata["status"] = verdict.status
        return [True if verdict.ok else (False, verdict.status) for verdict in verdicts]


def _row_document(document: PipelineDocument) -> Document:
    kind = document.metadata.get("kind", "file")
    return Document(document.id, "", "", kind, "", document.text)


def _row(writer: JsonlWriter, document: PipelineDocument) -> dict[str, Any]:
    """Return the row to write, with the columns it was read with."""
    columns = {name: value for name, value in document.metadata.items() if name != "file_path"}
    return {"id": document.id, "code": document.text, **columns}


def signature_steps(inputs: Path, work: Path) -> Steps:
    """Return the first pipeline. `work` is the folder that the three pipelines share."""
    return [input_reader(inputs), WriteSignatures(work)]


def duplicate_steps(work: Path) -> Steps:
    """Return the second pipeline, for one task."""
    return [FindDuplicates(work)]


def filter_steps(
    inputs: Path, work: Path, output: Path, contamination: Contamination, verifier: RustVerifier
) -> Steps:
    """Return the third pipeline, which writes one file of JSON lines per task into `output`."""
    return [
        input_reader(inputs),
        KeepFirst(work),
        DropContaminated(contamination),
        KeepValid(verifier),
        JsonlWriter(str(output), compression=None, adapter=_row),
    ]


def filter_locally(
    inputs: Path,
    work: Path,
    output: Path,
    contamination: Contamination,
    verifier: RustVerifier,
    tasks: int,
    workers: int,
) -> None:
    """
    Run the three pipelines on this machine, and continue where a former call was interrupted.

    Args:
        inputs: Folder of .jsonl, .jsonl.gz or .parquet files with the columns `id` and `code`.
        work: Folder for signatures and logs.
        output: Folder for the rows that are kept, with the additional column `status`.
        contamination: Problems to leave out.
        verifier: Compiles the rows; each worker has its own copy.
        tasks: Number of parts into which the input files are divided.
        workers: Number of processes.

    Raises:
        ValueError: The inputs cannot be read.
    """
    first = LocalPipelineExecutor(
        signature_steps(inputs, work / "signatures"), tasks, workers, str(work / "logs" / "signatures")
    )
    second = LocalPipelineExecutor(
        duplicate_steps(work / "signatures"), 1, 1, str(work / "logs" / "duplicates"), depends=first
    )
    steps = filter_steps(inputs, work / "signatures", output, contamination, verifier)
    LocalPipelineExecutor(steps, tasks, workers, str(work / "logs" / "filters"), depends=second).run()


def read_output(output: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows that the third pipeline wrote, in the order of its tasks."""
    for path in sorted(output.glob("*.jsonl")):
        with path.open() as file:
            yield from map(json.loads, file)
