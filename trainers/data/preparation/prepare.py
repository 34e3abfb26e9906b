"""
Prepare rows: read the sources, leave out copies and benchmark text, verify, and report.

    sources -> documents/ -> inspected/ -> dropped.json -> crates.json -> rows/, negatives/, outcomes/ -> report.json

Each step continues what an interrupted call left, and each file is written whole or not at all. The report is written
last: without it nothing is finished. Equal inputs, settings and compilers give equal files, except for usage.json.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.progress import show_progress
from trainers.data.preparation.checked_crates import check_crates
from trainers.data.preparation.documents import SourceCounts, document_shards, read_sources, source_number
from trainers.data.preparation.inputs import check_inputs
from trainers.data.preparation.inspection import Inspected, describe_benchmarks, inspect_shards
from trainers.data.preparation.report import REPORT, Report, Usage, read_report
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.preparation.shards import read_rows, shard_paths, write_json
from trainers.data.preparation.statistics import ProcessingStats, counted
from trainers.data.preparation.verification import VerificationTask, verify_shard
from trainers.data.preparation.workers import check_num_workers, run_tasks
from trainers.data.sources import Source

DOCUMENTS, INSPECTED, DROPPED, CRATES = "documents", "inspected", "dropped.json", "crates.json"
ROWS, NEGATIVES, OUTCOMES, VERDICTS = "rows", "negatives", "outcomes", "verdicts"


def prepare_rows(
    sources: Sequence[Source],
    settings: PreparationSettings,
    folder: Path,
    num_workers: int | None = None,
    progress: bool = False,
) -> Report:
    """
    Write verified rows of the sources into a folder, and return the report.

    An interrupted call is continued by an equal one. A finished folder is returned as it is.

    Args:
        sources: Where to read from. Of equal documents the first source's is kept.
        settings: Which documents become rows.
        folder: For everything that is written.
        num_workers: Number of processes; None for one per processor.
        progress: Show progress bars.

    Raises:
        ValueError: A source cannot be read; the folder has rows of other inputs or settings; a source compiles too
            rarely (`CompileRateTooLow`).
        CodeExecutionNotAllowed: Crates are to be checked, whose build scripts run, without `HF_ALLOW_CODE_EVAL=1`.
        OSError: A file cannot be written; names it.
    """
    workers = check_num_workers(num_workers)
    for source in sources:
        source.check()
    check_inputs(sources, settings, folder)
    if (folder / REPORT).exists():
        return read_report(folder)
    clock = _Clock(folder)
    counts = read_sources(sources, settings.filter, folder / DOCUMENTS, settings.limit, progress)
    shards = document_shards(folder / DOCUMENTS)
    clock.add("read")
    inspected = inspect_shards(
        shards, folder / INSPECTED, settings.near_duplicates, settings.decontaminate, workers, progress
    )
    write_json(folder / DROPPED, {name: asdict(each) for name, each in inspected.dropped.items()})
    clock.add("inspect")
    crates = {}
    if settings.verify:
        rows = (row for shard in shards for row in read_rows(shard))
        names = {row["crate"] for row in rows if row["crate"] and row["id"] not in inspected.dropped}
        crates = check_crates(sources, names, folder / VERDICTS, workers, progress)
    write_json(folder / CRATES, crates)
    clock.add("check crates")
    stats = _verify(shards, sources, folder, settings, workers, progress, clock)
    clock.add("verify")
    report = _report(counts, inspected, crates, stats, folder) | {
        "benchmarks": {**describe_benchmarks(settings.decontaminate), "matches": inspected.matches}
    }
    write_json(folder / REPORT, report)
    return report


class _Clock:
    """Adds the time since the last step to the usage of a preparation."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.usage = Usage.read(folder)
        self.started = time.monotonic()

    def add(self, step: str) -> None:
        """End a step."""
        now = time.monotonic()
        self.usage.add(step, now - self.started)
        self.usage.write(self.folder)
        self.started = now


def _verify(
    shards: Sequence[Path],
    sources: Sequence[Source],
    folder: Path,
    settings: PreparationSettings,
    num_workers: int,
    progress: bool,
    clock: _Clock,
) -> ProcessingStats:
    """Verify all shards; raises `CompileRateTooLow` as soon as the shards up to some point show it."""
    tasks = []
    for shard in shards:
        name = f"{shard.parent.name}-{shard.name}"
        tasks.append(
            VerificationTask(
                shard=shard,
                kind=sources[source_number(shard.parent)].kind,
                dropped=folder / DROPPED,
                crates=folder / CRATES,
                rows=folder / ROWS / name,
                negatives=folder / NEGATIVES / name,
                outcomes=folder / OUTCOMES / name.replace(".jsonl", ".json"),
                cache_dir=folder / VERDICTS,
                compile_alone=settings.verify,
                verified_only=settings.filter.compilation_required,
            )
        )
    stats = ProcessingStats(settings.min_compile_rate, settings.verify_every_n_examples)
    waiting = [task for task in tasks if not task.outcomes.exists()]
    counted_tasks = 0

    def count_finished() -> None:
        # In the order of the shards, so that the check does not depend on which worker is faster.
        nonlocal counted_tasks
        while counted_tasks < len(tasks) and tasks[counted_tasks].outcomes.exists():
            counted(json.loads(tasks[counted_tasks].outcomes.read_text()), stats)
            counted_tasks += 1

    count_finished()
    (folder / VERDICTS).mkdir(exist_ok=True)
    with show_progress("Verifying", len(tasks), "shards", len(tasks) - len(waiting), shown=progress) as advance:
        for _, seconds in run_tasks(verify_shard, waiting, num_workers):
            clock.usage.add("in rustc", seconds)
            count_finished()
            advance(1)
    assert counted_tasks == len(tasks), "every shard was verified"
    stats.check()
    return stats


def _report(
    counts: dict[str, SourceCounts],
    inspected: Inspected,
    crates: dict[str, Any],
    stats: ProcessingStats,
    folder: Path,
) -> dict[str, Any]:
    sizes: dict[str, Counter[str]] = {name: Counter() for name in ("mix", "license", "level", "source")}
    numbers: dict[str, Counter[str]] = {name: Counter() for name in sizes}
    for row in (row for shard in shard_paths(folder / ROWS) for row in read_rows(shard)):
        size = len(row["code"].encode())
        for name in sizes:
            sizes[name][row[name]] += size
            numbers[name][row[name]] += 1
    # Row by row: the rows may be many.
    negatives = Counter(
        row["fixed_code"] is not None for shard in shard_paths(folder / NEGATIVES) for row in read_rows(shard)
    )
    return {
        "read": {name: each.to_json() for name, each in counts.items()},
        "dropped": dict(
            sorted(Counter(f"{each.reason} ({each.source})" for each in inspected.dropped.values()).items())
        ),
        "crates": dict(sorted(Counter(each["status"] for each in crates.values()).items())),
        "verification": stats.to_json(),
        "rows": sum(numbers["mix"].values()),
        "bytes": sum(sizes["mix"].values()),
        "negatives": negatives.total(),
        "negatives_fixed": negatives[True],
        **{
            f"by_{name}": {
                key: {"rows": numbers[name][key], "bytes": size} for key, size in sorted(sizes[name].items())
            }
            for name in sizes
        },
    }
