"""
Second step: find near-duplicates and text of benchmarks.

Workers compute the MinHash signatures and look for benchmark text, a shard at a time. Near-duplicates are then found
in the order of the shards, so that the result does not depend on the workers.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.complete_files import complete_file
from evaluation.progress import show_progress
from trainers.data.benchmark_problems import LoadedBenchmarks, load_benchmarks
from trainers.data.decontamination import Contamination, controls
from trainers.data.duplicates import NearDuplicates, signatures
from trainers.data.preparation.shards import read_rows, write_json
from trainers.data.preparation.workers import run_tasks


@dataclass(frozen=True)
class InspectionTask:
    """
    A shard to inspect.

    Attributes:
        shard: Its documents.
        output: File for the matches with benchmarks; the signatures are beside it.
        near_duplicates: Whether to compute signatures.
        decontaminate: Whether to look for text of benchmarks.
    """

    shard: Path
    output: Path
    near_duplicates: bool
    decontaminate: bool

    @property
    def signatures(self) -> Path:
        """File of the signatures."""
        return self.output.with_suffix(".npy")


@dataclass(frozen=True)
class Inspected:
    """
    Result of the inspection.

    Attributes:
        dropped: Documents to leave out, by id.
        matches: Number of documents with text of a benchmark, by benchmark and rule; also of benchmarks that may be
            trained on, because no scores are reported for them.
    """

    dropped: "dict[str, Dropped]"
    matches: dict[str, int]


@dataclass(frozen=True)
class Dropped:
    """
    A document that is left out.

    Attributes:
        reason: "near-duplicate" or "benchmark".
        source: Of the document.
        path: Of the document.
        of: The document that it resembles, or the benchmark's problem.
    """

    reason: str
    source: str
    path: str
    of: str


def inspect_shards(
    shards: Sequence[Path], folder: Path, threshold: float, decontaminate: bool, num_workers: int, progress: bool
) -> Inspected:
    """
    Find the documents to leave out.

    Args:
        shards: Documents.
        folder: For the results of each shard; shards that an earlier call finished are not inspected again.
        threshold: Jaccard similarity from which a document is a near-duplicate; 0 keeps near-duplicates.
        decontaminate: Whether documents with text of benchmarks are left out.
        num_workers: Number of processes.
        progress: Show a progress bar.
    """
    outputs = [folder / f"{shard.parent.name}-{shard.stem}.json" for shard in shards]
    tasks = [
        InspectionTask(shard, output, threshold > 0, decontaminate)
        for shard, output in zip(shards, outputs, strict=True)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [task for task in tasks if not task.output.exists()]
    done = len(tasks) - len(missing)
    with show_progress("Inspecting", len(tasks), "shards", done, shown=progress) as advance:
        for _ in run_tasks(inspect_shard, missing, num_workers):
            advance(1)
    dropped: dict[str, Dropped] = {}
    counts: Counter[str] = Counter()
    index = NearDuplicates(threshold) if threshold > 0 else None
    for task in tasks:
        matches = json.loads(task.output.read_text())
        found = np.load(task.signatures) if index is not None else None
        for number, row in enumerate(read_rows(task.shard)):
            match = matches.get(row["id"])
            if match is not None:
                counts[f"{match['benchmark']} ({match['rule']})"] += 1
            if match is not None and match["scored"]:
                of = f"{match['benchmark']} {match['problem']}: {match['words']}"
                dropped[row["id"]] = Dropped("benchmark", row["source"], row["path"], of)
            elif index is not None and found is not None:
                earlier = index.find(found[number], row["id"])
                if earlier is not None:
                    dropped[row["id"]] = Dropped("near-duplicate", row["source"], row["path"], earlier)
    return Inspected(dropped, dict(sorted(counts.items())))


def inspect_shard(task: InspectionTask) -> None:
    """Write the signatures and the matches with benchmarks of a shard."""
    rows = list(read_rows(task.shard))
    if task.near_duplicates:
        with complete_file(task.signatures) as partial, partial.open("wb") as file:
            np.save(file, signatures([row["code"] for row in rows]))
    matches = {}
    if task.decontaminate:
        contamination = _contamination()
        for row in rows:
            match = contamination.check(row["code"])
            if match is not None:
                matches[row["id"]] = asdict(match)
    # Written last: with it the shard is finished.
    write_json(task.output, matches)


def describe_benchmarks(decontaminate: bool) -> dict[str, list[str]]:
    """Return which benchmarks are searched for, and how well the search finds planted problems, as lines."""
    if not decontaminate:
        return {"coverage": ["no benchmark was searched for"], "controls": []}
    return {
        "coverage": loaded_benchmarks().coverage().splitlines(),
        "controls": str(controls(_contamination())).splitlines(),
    }


@cache
def loaded_benchmarks() -> LoadedBenchmarks:
    """Return the benchmarks that can be read, which are read once in a process."""
    return load_benchmarks()


@cache
def _contamination() -> Contamination:
    return Contamination(loaded_benchmarks().benchmarks)
