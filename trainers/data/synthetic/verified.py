"""Verified synthetic samples and tasks: rows of code that compiles and whose tests pass."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from evaluation.progress import show_progress
from evaluation.rust import RustVerifier
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS
from trainers.data.kept import BATCH, check_output, keep_verified
from trainers.data.rows import verified_row
from trainers.data.sources import Document
from trainers.data.synthetic.family import Family
from trainers.data.synthetic.sample import SyntheticSample
from trainers.data.synthetic.stream import choose_families, draw_samples, split_of
from trainers.data.tasks.task import Task, find_faults
from trainers.data.verify import decided

SOURCE = "synthetic"
LICENSE = "MIT"
MIN_ROW_BYTES = 1000  # on average; about 600 of them are the verdict and the metadata that every row has


def sample_document(sample: SyntheticSample) -> Document:
    """Return a sample with its tests as a document."""
    return Document.of(SOURCE, f"{sample.group}/{sample.family}", "file", LICENSE, f"{sample.code}\n{sample.tests}")


def task_of(sample: SyntheticSample) -> Task:
    """Return the task of a sample that has one."""
    task = sample.task
    assert task is not None, f"{sample.family} has no task"
    document = Document.of(SOURCE, "", "task", LICENSE, sample.code)
    return Task(
        document.id,
        task.prompt,
        task.solution,
        task.signature,
        task.checker,
        sample.tier,
        sample.family,
        split_of(sample),
    )


def verified_sample_rows(samples: Sequence[SyntheticSample], verifier: RustVerifier) -> list[dict[str, Any] | None]:
    """Return a row for each sample that compiles and whose tests pass in each of several runs, and None for others."""
    codes, tests = [sample.code for sample in samples], [sample.tests for sample in samples]
    verdicts = decided(verifier.verify(codes, tests, trusted=True, runs=RUNS_OF_SOLUTIONS))
    return [
        verified_row(sample_document(sample), verdict, mix="synthetic", family=sample.family, tier=sample.tier)
        if verdict.ok
        else None
        for sample, verdict in zip(samples, verdicts, strict=True)
    ]


def verified_task_rows(samples: Sequence[SyntheticSample], verifier: RustVerifier) -> list[dict[str, Any] | None]:
    """Return a row for each task whose hidden cases accept its solution and reject wrong ones, and None for others."""
    tasks = [task_of(sample) for sample in samples]
    faults = find_faults(tasks, verifier)
    # The verifier has these verdicts in its cache.
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


def synthesize(
    output: Path,
    num_samples: int,
    seed: int = 0,
    tasks: bool = False,
    families: Sequence[str] | None = None,
    tier: int | None = None,
    num_workers: int | None = None,
    progress: bool = False,
) -> int:
    """
    Generate verified samples or tasks from the named families, as `write_synthetic` does.

    Args:
        output: File of JSON lines.
        num_samples: Number of rows to write.
        seed: Equal seeds give equal files.
        tasks: Generate tasks instead of samples.
        families: Names of families; None takes all.
        tier: Only families of this tier, from 0 to 4; None takes all.
        num_workers: Compilers at the same time; None takes one per processor.
        progress: Show progress bars.

    Returns:
        Number of rows in the file.

    Raises:
        ValueError: An argument is out of range, or the file cannot be written or holds other rows.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    check_output(output)
    chosen = choose_families(families, tier)
    with (
        RustVerifier(workers=num_workers, run_timeout=1.0, own_programs=True) as verifier,
        show_progress("Generating", num_samples, "rows", shown=progress) as generated,
        show_progress("Verifying", num_samples, "rows", shown=progress) as verified,
    ):
        return write_synthetic(
            output, chosen, num_samples, seed, verifier, tasks, on_verified=verified, on_generated=generated
        )


def write_synthetic(
    output: Path,
    families: Sequence[Family],
    num_samples: int,
    seed: int,
    verifier: RustVerifier,
    tasks: bool = False,
    on_verified: Callable[[int], None] = lambda count: None,
    on_generated: Callable[[int], None] = lambda count: None,
) -> int:
    """
    Write `num_samples` verified samples or tasks to a file of JSON lines, or continue a file that an interrupted call
    with the same arguments left. Samples are generated when they are needed, and only hashes of the written ones are
    kept in memory, about 100 bytes each.

    Args:
        output: File of JSON lines.
        families: Families to generate from.
        num_samples: Number of rows to write.
        seed: Equal seeds give equal files.
        verifier: Compiles and runs the programs.
        tasks: Generate tasks instead of samples.
        on_verified: Called with the number of rows just written.
        on_generated: Called with the number of samples just generated.

    Returns:
        Number of rows in the file; fewer than `num_samples` if some failed verification and the families have no more.

    Raises:
        ValueError: The disk has no room for the rows, the families have fewer than `num_samples` distinct samples
            (those that pass stay in the file, unless this is known before the first batch is verified), or the file
            holds other rows.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`, if the verifier asks for it.
    """
    check_room(output, num_samples)
    check = verified_task_rows if tasks else verified_sample_rows
    total = 0

    def candidates() -> Iterator[SyntheticSample]:
        nonlocal total
        for sample in draw_samples(families, seed, tasks):
            total += 1
            on_generated(1)
            yield sample

    def identify(sample: SyntheticSample) -> str:
        return task_of(sample).id if tasks else sample_document(sample).id

    what = "tasks" if tasks else "samples"
    rule = f"distinct {what} that {len(families)} families can generate with seed {seed}, got {num_samples}"
    stream = candidates()
    first = list(islice(stream, min(num_samples, BATCH)))
    if total < min(num_samples, BATCH):
        raise ValueError(f"num_samples must be at most the {total} {rule}")
    stream = chain(first, stream)
    kept = keep_verified(
        output, stream, identify, lambda batch: check(batch, verifier), num_samples, advance=on_verified
    )
    if total < num_samples:
        raise ValueError(
            f"num_samples must be at most the {total} {rule}; the {kept} of them that pass are in {output}"
        )
    return kept


def check_room(path: Path, count: int) -> None:
    """Raise `ValueError` if the disk has no room for `count` rows."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    existing = path.stat().st_size if path.is_file() else 0
    free, needed = shutil.disk_usage(folder).free, count * MIN_ROW_BYTES - existing
    if needed > free:
        raise ValueError(
            f"num_samples must be at most {(free + existing) // MIN_ROW_BYTES:,}, got {count:,}: rows take at least "
            f"{MIN_ROW_BYTES:,} bytes on average, and {folder} has {free / 1e9:,.1f} GB left"
        )
