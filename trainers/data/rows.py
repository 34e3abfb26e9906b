"""Rows of verified code: the code, its origin and the verdict of the compiler."""

from typing import Any

from evaluation.rust import Verdict
from evaluation.rust.syntax.analysis import level
from trainers.data.sources import Document


def verified_row(row: Document, verdict: Verdict, mix: str, prompt: str = "", **more: Any) -> dict[str, Any]:
    """
    Return a document and its verdict as JSON values, which are the same in every run.

    Args:
        row: The document.
        verdict: Verdict on the document.
        mix: Name of the part of the data that the row belongs to.
        prompt: Beginning of the code if the row is a task.
        more: Additional columns.
    """
    sizes = verdict.metadata
    assert sizes is not None, "verified code was parsed"
    return {
        "id": row.id,
        "source": row.source,
        "path": row.path,
        "kind": row.kind,
        "license": row.license,
        "prompt": prompt,
        "code": row.code,
        "status": verdict.status,
        "verdict": {
            "checks": dict(verdict.checks),
            "error_codes": list(verdict.error_codes),
            "tests_passed": verdict.tests_passed,
            "tests_total": verdict.tests_total,
            "edition": verdict.edition,
            "rustc": verdict.rustc,
        },
        "complexity": sizes.complexity,
        "has_unsafe": sizes.unsafe_blocks > 0,
        "lifetime_complexity": sizes.lifetime_complexity,
        "trait_bounds": sizes.trait_bounds,
        "difficulty": sizes.difficulty,
        "level": level(sizes.difficulty),
        "mix": mix,
        **more,
    }
