"""
Third step: verify the documents, a shard at a time.

A file of a crate that passes `cargo check` as a whole is verified if the compiler read it for the crate's library.
Everything else is compiled by itself. Rejected code is kept in shards of its own, with the compiler's messages and,
where the compiler knows one, a fixed version.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.syntax.analysis import analyze, level
from trainers.data.mix_names import parts_of_mix
from trainers.data.preparation.fixes import fix
from trainers.data.preparation.outcome import MEANT_TO_FAIL, Judgment, judge
from trainers.data.preparation.shards import Row, read_rows, write_json, write_rows
from trainers.data.sources import COMPILE_FAIL, FILE, Document
from trainers.data.verify import as_program, decided

DEFAULT_EDITION = "2021"
BY_CRATE, ALONE = "crate", "alone"
NOT_COMPILED = "not compiled"
# Statuses of crates whose own code is wrong.
BROKEN = ("invalid_syntax", "compilation_failed", "semantic_error")


@dataclass(frozen=True)
class CheckedCrate:
    """
    Result of checking a crate as a whole.

    Attributes:
        status: A verdict's status; "valid" if the crate compiles.
        edition: Of the crate.
        features: Features that it was checked with.
        files: Files that the compiler read, relative to the crate's folder.
    """

    status: str
    edition: str
    features: tuple[str, ...]
    files: frozenset[str]


@dataclass(frozen=True)
class VerificationTask:
    """
    A shard to verify.

    Attributes:
        shard: Its documents.
        kind: Kind of their source, which tells the part of the mix.
        dropped: JSON file with the documents to leave out, by id.
        crates: JSON file with the crates that were checked, by name and version.
        rows, negatives, outcomes: Files to write.
        cache_dir: Folder of the verdicts.
        compile_alone: Whether documents that no crate verifies are compiled by themselves.
        verified_only: Whether only verified rows are kept.
    """

    shard: Path
    kind: str
    dropped: Path
    crates: Path
    rows: Path
    negatives: Path
    outcomes: Path
    cache_dir: Path
    compile_alone: bool
    verified_only: bool


@dataclass
class Verified:
    """A document with its verdict and its outcome."""

    document: Document
    judgment: Judgment
    by: str = ""
    verdict: Verdict | None = None
    crate: CheckedCrate | None = None
    is_negative: bool = False


def verify_shard(task: VerificationTask) -> float:
    """
    Verify the documents of a shard, and write its rows, its negatives and its outcomes.

    Returns:
        Seconds that the compiler took.
    """
    dropped = _dropped(task.dropped, task.dropped.stat().st_mtime_ns)
    crates = _crates(task.crates, task.crates.stat().st_mtime_ns)
    rows = [row for row in read_rows(task.shard) if row["id"] not in dropped]
    results = [_by_crate(Document.from_row(row), crates) for row in rows]
    negatives: list[Row] = []
    if task.compile_alone:
        for edition, group in _by_edition([result for result in results if not result.by]):
            # One compiler at a time: the other processors belong to the other workers.
            with RustVerifier(edition, workers=1, cache_dir=task.cache_dir) as verifier:
                _compile_alone(group, verifier)
                negatives += _negatives([result for result in group if result.is_negative], verifier)
    write_rows(task.rows, (row for result in results if (row := _row(result, task)) is not None))
    write_rows(task.negatives, negatives)
    outcomes = [
        {
            "source": result.document.source,
            "outcome": result.judgment.outcome,
            "reason": result.judgment.reason,
            "by_crate": result.by == BY_CRATE,
        }
        for result in results
    ]
    # Written last: with it the shard is finished.
    write_json(task.outcomes, outcomes)
    verdicts = (result.verdict for result in results)
    return sum(verdict.seconds for verdict in verdicts if verdict is not None and not verdict.cached)


def _by_crate(document: Document, crates: dict[str, CheckedCrate]) -> Verified:
    """Return the outcome of a document by its crate's, or an open one."""
    crate = crates.get(document.crate or "")
    if crate is not None and crate.status == "valid" and _path_in_crate(document) in crate.files:
        return Verified(document, Judgment("verified"), BY_CRATE, crate=crate)
    return Verified(document, Judgment("not_judged", NOT_COMPILED), crate=crate)


def _path_in_crate(document: Document) -> str:
    return document.path.removeprefix(f"{document.crate}/")


def _by_edition(results: Sequence[Verified]) -> list[tuple[str, list[Verified]]]:
    groups: dict[str, list[Verified]] = defaultdict(list)
    for result in results:
        groups[result.document.edition or DEFAULT_EDITION].append(result)
    return sorted(groups.items())


def _compile_alone(results: Sequence[Verified], verifier: RustVerifier) -> None:
    """Compile documents by themselves and set their outcomes."""
    # Exact, so that the messages do not depend on what was compiled together.
    verdicts = decided(verifier.verify([as_program(result.document) for result in results], exact=True))
    for result, verdict in zip(results, verdicts, strict=True):
        result.by, result.verdict, result.judgment = ALONE, verdict, judge(result.document, verdict)
        result.is_negative = _has_own_errors(result)
        broken = result.crate is not None and result.crate.status in BROKEN
        if broken and result.judgment.outcome == "not_judged" and result.document.kind == FILE:
            # The file belongs to a whole that the compiler rejects, with everything that it needs.
            result.judgment = Judgment("rejected", "its crate does not compile")


def _row(result: Verified, task: VerificationTask) -> Row | None:
    """Return the row to train on; None if there is none."""
    outcome = result.judgment.outcome
    parts = parts_of_mix(task.kind, outcome == "verified")
    if outcome == "rejected" or result.document.kind == COMPILE_FAIL:
        return None
    if outcome != "verified" and (task.verified_only or (task.compile_alone and not parts)):
        return None
    document, verdict, crate = result.document, result.verdict, result.crate
    sizes = analyze(document.code).metadata
    by_crate = result.by == BY_CRATE and crate is not None
    return {
        "id": document.id,
        "source": document.source,
        "path": document.path,
        "kind": document.kind,
        "license": document.license,
        "crate": document.crate,
        "prompt": "",
        "code": document.code,
        "status": "valid" if outcome == "verified" else "not_compiled" if verdict is None else verdict.status,
        "verdict": {
            "outcome": outcome,
            "reason": result.judgment.reason,
            "by": result.by,
            "error_codes": [] if verdict is None else list(verdict.error_codes),
            "edition": crate.edition if by_crate and crate else document.edition or DEFAULT_EDITION,
            "features": list(crate.features) if by_crate and crate else [],
            "rustc": _rustc() if result.by else "",
        },
        "complexity": sizes.complexity,
        "has_unsafe": sizes.unsafe_blocks > 0,
        "lifetime_complexity": sizes.lifetime_complexity,
        "trait_bounds": sizes.trait_bounds,
        "difficulty": sizes.difficulty,
        "level": level(sizes.difficulty),
        # The most special part; without verification there may be none.
        "mix": parts[-1] if parts else "",
    }


def _has_own_errors(result: Verified) -> bool:
    """Whether the compiler rejects the code for a reason that is in the code, be it on purpose."""
    if result.judgment.reason != MEANT_TO_FAIL:
        return result.judgment.outcome == "rejected"
    verdict = result.verdict
    return verdict is not None and bool(verdict.diagnostics) and not verdict.external


def _negatives(rejected: Sequence[Verified], verifier: RustVerifier) -> list[Row]:
    codes = [as_program(result.document) for result in rejected]
    verdicts = [result.verdict for result in rejected if result.verdict is not None]
    fixed = fix(codes, verdicts, verifier)
    return [_negative(result, better) for result, better in zip(rejected, fixed, strict=True)]


def _negative(result: Verified, fixed: str | None) -> Row:
    document, verdict = result.document, result.verdict
    assert verdict is not None, "only the compiler rejects code"
    return {
        "id": document.id,
        "source": document.source,
        "path": document.path,
        "license": document.license,
        "code": as_program(document),
        "status": verdict.status,
        "category": verdict.diagnostics[0].category,
        "error_codes": list(verdict.error_codes),
        "diagnostics": [
            {
                "code": diagnostic.code,
                "category": diagnostic.category,
                "message": diagnostic.message,
                "line": diagnostic.line,
                "column": diagnostic.column,
                "rendered": diagnostic.rendered,
            }
            for diagnostic in verdict.diagnostics
        ],
        "fixed_code": fixed,
        "edition": document.edition or DEFAULT_EDITION,
        "rustc": _rustc(),
    }


@cache
def _rustc() -> str:
    return find_toolchain().version


# The time of change tells apart two preparations in one folder, one after the other in one process.
@lru_cache(maxsize=1)
def _dropped(path: Path, changed_ns: int) -> dict[str, Any]:
    return json.loads(path.read_text())


@lru_cache(maxsize=1)
def _crates(path: Path, changed_ns: int) -> dict[str, CheckedCrate]:
    return {
        name: CheckedCrate(each["status"], each["edition"], tuple(each["features"]), frozenset(each["files"]))
        for name, each in json.loads(path.read_text()).items()
    }
