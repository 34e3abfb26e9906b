"""
Files of hole tasks, made crate by crate, which can be continued after an interruption.

The tasks of each finished crate are a file of their own in a folder beside the output. When all crates are finished,
these files together become the output, in the order of the crates' names and versions.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from rich.table import Table

from evaluation.complete_files import complete_file
from evaluation.progress import show_progress
from evaluation.rust.arguments import check_count
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.sandbox.runner import SandboxFailure
from trainers.data.kept import check_output
from trainers.data.tasks.holes import make_holes

FORMAT = 3  # raise it whenever equal crates may get other tasks
MAX_PER_CRATE = 100
RUN_SECONDS = 1.0  # of processor time for the tests of a body, as in a reward
MAX_PROBLEMS = 12  # rows of the table about crates without tasks


@dataclass(frozen=True)
class MadeHoles:
    """
    Counts over all crates.

    Attributes:
        tasks: Number of tasks.
        crates: Number of crates with a task.
        outcomes: Number of functions by outcome.
        problems: Number of crates without tasks by reason.
        failures: Crates for which the compiler or the sandbox failed, with the reason.
    """

    tasks: int
    crates: int
    outcomes: dict[str, int]
    problems: dict[str, int]
    failures: dict[str, str]

    def tables(self) -> list[Table]:
        """Return a table of the functions, and one of the crates that have no tasks."""
        functions = Table("function", "count", title="Functions of the crates")
        for name, count in sorted(self.outcomes.items(), key=lambda item: (-item[1], item[0])):
            functions.add_row(name, f"{count:,}")
        crates = Table("crate", "count", title="Crates without tasks")
        for name, count in sorted(self.problems.items(), key=lambda item: (-item[1], item[0]))[:MAX_PROBLEMS]:
            crates.add_row(name, f"{count:,}")
        return [functions, crates] if self.problems else [functions]


def write_holes(
    crates: Path,
    output: Path,
    names: Sequence[str] | None = None,
    max_per_crate: int = MAX_PER_CRATE,
    num_workers: int | None = None,
    progress: bool = False,
) -> MadeHoles:
    """
    Write the hole tasks of the crates in a folder to a file of JSON lines.

    The finished crates are in the folder `OUTPUT.crates`, from which the next call continues. The file has no tasks of
    crates for which the sandbox failed; the next call tries them again.

    Args:
        crates: Folder of crate sources with their dependencies.
        output: File to write.
        names: Only these crates, by name or by name and version; None takes all.
        max_per_crate: Maximum number of tasks of a crate.
        num_workers: Number of crates at the same time; None for one per processor.
        progress: Show a progress bar.

    Raises:
        ValueError: An argument is outside its range.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
        ToolchainUnavailable, SandboxUnavailable: See `HoleVerifier`.
    """
    check_output(output)
    check_count("max_per_crate", max_per_crate, 1)
    if num_workers is not None:
        check_count("num_workers", num_workers, 1)
    folder = output.with_name(f"{output.name}.crates")
    failures: dict[str, str] = {}
    with HoleVerifier(crates, workers=1, run_timeout=RUN_SECONDS) as verifier:
        packages = _chosen(verifier, names)
        parts = {package.id: folder / _part_name(package, verifier, max_per_crate) for package in packages}
        folder.mkdir(parents=True, exist_ok=True)
        missing = [package for package in packages if not parts[package.id].exists()]
        workers = num_workers or len(os.sched_getaffinity(0))
        with ThreadPoolExecutor(workers) as pool, show_progress("Crates", len(packages), shown=progress) as advance:
            advance(len(packages) - len(missing))
            jobs = {pool.submit(_make, package, verifier, max_per_crate): package for package in missing}
            try:
                for job in as_completed(jobs):
                    package = jobs[job]
                    try:
                        part = job.result()
                    except SandboxFailure as failure:
                        failures[package.id] = str(failure)
                    else:
                        with complete_file(parts[package.id]) as file:
                            file.write_text(part, encoding="utf-8")
                    advance(1)
            finally:
                for job in jobs:
                    job.cancel()
    return _joined([parts[package.id] for package in packages if package.id not in failures], output, failures)


def _make(package: CratePackage, verifier: HoleVerifier, most: int) -> str:
    """Return the file of a crate."""
    try:
        made = make_holes(package, verifier, most)
    finally:
        verifier.discard(package)
    rows = [task.as_row() for task in made.tasks]
    return json.dumps({"rows": rows, "outcomes": made.outcomes, "problem": made.problem}, ensure_ascii=False)


def _chosen(verifier: HoleVerifier, names: Sequence[str] | None) -> list[CratePackage]:
    packages = sorted(verifier.crates, key=lambda package: package.id)
    if names is None:
        return packages
    known = {name for package in packages for name in (package.name, package.id)}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"names must be crates in {verifier.crates.folder}, got {unknown[0]}")
    return [package for package in packages if package.name in names or package.id in names]


def _part_name(package: CratePackage, verifier: HoleVerifier, max_per_crate: int) -> str:
    crates = verifier.crates
    hashes = [crates.content_hash(each) for each in (package, *crates.closure(package))]
    made_from = [FORMAT, verifier.toolchain.identity, max_per_crate, package.id, hashes]
    return f"{package.id}-{sha256(json.dumps(made_from).encode()).hexdigest()[:16]}.json"


def _joined(parts: Sequence[Path], output: Path, failures: dict[str, str]) -> MadeHoles:
    """Write the rows of all parts, with one part in memory at a time, and return the counts."""
    outcomes, problems = Counter[str](), Counter[str]()
    tasks = with_tasks = 0
    with complete_file(output) as file, file.open("w", encoding="utf-8") as lines:
        for path in parts:
            part = json.loads(path.read_text(encoding="utf-8"))
            tasks += len(part["rows"])
            with_tasks += bool(part["rows"])
            outcomes.update(part["outcomes"])
            if not part["rows"]:
                problems[part["problem"] or "none of its functions became a task"] += 1
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part["rows"])
    return MadeHoles(tasks, with_tasks, dict(outcomes), dict(problems), failures)
