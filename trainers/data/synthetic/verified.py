"""Samples and tasks whose Rust the compiler has accepted and whose tests have passed, as rows."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from evaluation.rust import RustVerifier
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.kept import BATCH, keep_verified
from trainers.data.rows import verified_row
from trainers.data.sources import Document
from trainers.data.synthetic.family import Family
from trainers.data.synthetic.sample import SyntheticSample
from trainers.data.synthetic.stream import draw_samples, split_of
from trainers.data.tasks.task import Task, find_faults
from trainers.data.verify import decided

SOURCE = "synthetic"
LICENSE = "MIT"
LEAST_BYTES = 1000  # of a row, on average; 600 of them are what every row says of its verdict


def sample_document(sample: SyntheticSample) -> Document:
    """The sample with its tests."""
    return Document.of(SOURCE, f"{sample.group}/{sample.family}", "file", LICENSE, f"{sample.code}\n{sample.tests}")


def task_of(sample: SyntheticSample) -> Task:
    """The task of a sample that has one."""
    its = sample.task
    row = Document.of(SOURCE, "", "task", LICENSE, sample.code)
    return Task(
        row.id, its.prompt, its.solution, its.signature, its.checker, sample.tier, sample.family, split_of(sample)
    )


def verified_sample_rows(samples: Sequence[SyntheticSample], verifier: RustVerifier) -> list[dict[str, Any] | None]:
    """A row for each sample that compiles and whose tests pass in each of several runs."""
    codes, tests = [sample.code for sample in samples], [sample.tests for sample in samples]
    verdicts = decided(verifier.verify(codes, tests, trusted=True, runs=RUNS_OF_SOLUTIONS))
    return [
        verified_row(sample_document(sample), verdict, mix="synthetic", family=sample.family, tier=sample.tier)
        if verdict.ok
        else None
        for sample, verdict in zip(samples, verdicts, strict=True)
    ]


def verified_task_rows(samples: Sequence[SyntheticSample], verifier: RustVerifier) -> list[dict[str, Any] | None]:
    """A row for each task whose cases tell its solution from wrong ones."""
    tasks = [task_of(sample) for sample in samples]
    faults = find_faults(tasks, verifier)
    # Asked again, the judge remembers.
    verdicts = verifier.verify([task.code for task in tasks], [task.tests for task in tasks], rules="reward")
    return [
        verified_row(
            Document(task.id, SOURCE, f"{sample.group}/{sample.family}", "task", LICENSE, task.code),
            verdict,
            mix="tasks",
            prompt=task.prompt,
            solution=task.solution,
            signature=task.signature,
            checker=task.checker,
            tier=task.tier,
            family=task.family,
            split=task.split,
        )
        if fault is None
        else None
        for sample, task, fault, verdict in zip(samples, tasks, faults, verdicts, strict=True)
    ]


def write_synthetic(
    path: Path,
    families: Sequence[Family],
    count: int,
    seed: int,
    verifier: RustVerifier,
    tasks: bool = False,
    advance: Callable[[int], None] = lambda done: None,
    drawn: Callable[[int], None] = lambda done: None,
) -> int:
    """
    Writes `count` verified samples, or tasks, to a file of JSON lines; continues one that an interrupted, equal call
    left. They are drawn as they are needed, and of what was written only hashes are kept, about 100 bytes a sample.

    Args:
        path: The file.
        families: To draw from.
        count: Rows wanted.
        seed: Equal seeds give equal files.
        verifier: Compiles and runs.
        tasks: Tasks instead of samples.
        advance: Is told of rows that were written.
        drawn: Is told of samples that were drawn.

    Returns:
        How many rows there are: fewer than `count` if so many were drawn but some failed.

    Raises:
        ValueError: The disk has no room for `count` rows, the families have fewer than `count` samples (their rows
            are in the file then, but where they end in the first batch), or the file holds others.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    check_room(path, count)
    check = verified_task_rows if tasks else verified_sample_rows
    total = 0

    def candidates() -> Iterator[SyntheticSample]:
        nonlocal total
        for sample in draw_samples(families, seed, tasks):
            total += 1
            drawn(1)
            yield sample

    def identify(sample: SyntheticSample) -> str:
        return task_of(sample).id if tasks else sample_document(sample).id

    what = "tasks" if tasks else "samples"
    rule = f"distinct {what} that {len(families)} families give with seed {seed}, got {count}"
    stream = candidates()
    first = list(islice(stream, min(count, BATCH)))
    if total < min(count, BATCH):
        raise ValueError(f"n must be at most the {total} {rule}")
    stream = chain(first, stream)
    kept = keep_verified(path, stream, identify, lambda batch: check(batch, verifier), count, advance=advance)
    if total < count:
        raise ValueError(f"n must be at most the {total} {rule}; the {kept} of them that pass are in {path}")
    return kept


def check_room(path: Path, count: int) -> None:
    """Raises `ValueError` when the disk has no room for so many rows."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    there = path.stat().st_size if path.is_file() else 0
    free, needed = shutil.disk_usage(folder).free, count * LEAST_BYTES - there
    if needed > free:
        raise ValueError(
            f"n must be at most {(free + there) // LEAST_BYTES:,}, got {count:,}: rows take at least {LEAST_BYTES:,} "
            f"bytes on average, and {folder} has {free / 1e9:,.1f} GB left"
        )
