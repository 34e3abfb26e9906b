"""Fixed versions of rejected code: the compiler's own suggestions, if the result compiles."""

from collections.abc import Sequence

from evaluation.rust import RustVerifier, Verdict
from trainers.data.verify import decided

MAX_ROUNDS = 3
"""Errors of a later phase appear only when those of an earlier one are repaired."""


def apply_suggestions(code: str, verdict: Verdict) -> str | None:
    """
    Return the code with the suggestions that the compiler is sure of (`MachineApplicable`), or None without any.

    Of suggestions that overlap, the first is applied.
    """
    edits = sorted({edit for diagnostic in verdict.diagnostics for edit in diagnostic.replacements})
    if not edits:
        return None
    encoded, parts, end = code.encode(), [], 0
    for first, last, text in edits:
        if first >= end:
            parts += [encoded[end:first], text.encode()]
            end = last
    fixed = b"".join([*parts, encoded[end:]]).decode()
    return fixed if fixed != code else None


def fix(codes: Sequence[str], verdicts: Sequence[Verdict], verifier: RustVerifier) -> list[str | None]:
    """
    Return a version of each rejected code that compiles, or None if the compiler knows none.

    Args:
        codes: Rejected code.
        verdicts: Its verdicts.
        verifier: Compiles the fixed versions.
    """
    fixed: list[str | None] = [None] * len(codes)
    waiting = list(zip(range(len(codes)), codes, verdicts, strict=True))
    for _ in range(MAX_ROUNDS):
        tried = [(index, better) for index, code, verdict in waiting if (better := apply_suggestions(code, verdict))]
        waiting = []
        answers = decided(verifier.verify([code for _, code in tried], exact=True))
        for (index, code), verdict in zip(tried, answers, strict=True):
            if verdict.ok:
                fixed[index] = code
            else:
                waiting.append((index, code, verdict))
    return fixed
