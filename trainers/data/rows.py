"""How a verified row is written: text, where it comes from, and what the compiler said."""

from typing import Any

from evaluation.rust import Verdict
from evaluation.rust.syntax.analysis import level
from trainers.data.sources import Document


def verified_row(row: Document, verdict: Verdict, mix: str, prompt: str = "", **more: Any) -> dict[str, Any]:
    """
    JSON values of a row and its verdict; nothing in it differs from run to run.

    Args:
        row: The text.
        verdict: On it.
        mix: What the row is for.
        prompt: Its beginning, where it is a task.
        more: Columns beyond those that every row has.
    """
    sizes = verdict.metadata
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
