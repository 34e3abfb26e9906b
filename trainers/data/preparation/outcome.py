"""
The outcome of verification: whether a row of real code counts as verified, as rejected, or as not judged.

The compile rate of a source is verified / (verified + rejected). Rows that nobody could judge leave the rate: code
that needs other crates, other files of its project, or a nightly compiler, and whatever the machine could not check.
"""

from dataclasses import dataclass
from typing import Literal

from evaluation.rust import Verdict
from evaluation.rust.verdict import Diagnostic
from trainers.data.sources import COMPILE_FAIL, FILE, Document

Outcome = Literal["verified", "rejected", "not_judged"]
# The compiler or the machine gave up, which says little about code that somebody maintains.
NO_ANSWER = ("timeout", "resource_limit", "compiler_crash", "refused", "unavailable")
MEANT_TO_FAIL = "meant to be rejected"
NIGHTLY = {"E0554", "E0635", "E0658", "E0725"}


@dataclass(frozen=True)
class Judgment:
    """
    Outcome of one document.

    Attributes:
        outcome: See `Outcome`.
        reason: Why it was not verified: a category of the compiler's errors, or one of "other crates or files",
            "nightly", and the statuses of verdicts without an answer; "" for a verified one.
    """

    outcome: Outcome
    reason: str = ""


def judge(document: Document, verdict: Verdict) -> Judgment:
    """
    Return the outcome of a document that was compiled by itself.

    A program that is meant to be rejected is never verified, and no evidence against its source.

    An example is meant to compile by itself, so its errors count, unless they are about other crates or nightly
    features. A file is part of a project: if names or macros are missing, they may be in the project's other files.
    """
    if document.kind == COMPILE_FAIL:
        return Judgment("not_judged", MEANT_TO_FAIL)
    if verdict.ok:
        return Judgment("verified")
    if verdict.status in NO_ANSWER:
        return Judgment("not_judged", verdict.status)
    if verdict.external:
        return Judgment("not_judged", "other crates or files")
    codes = {diagnostic.code for diagnostic in verdict.diagnostics}
    if codes & NIGHTLY:
        return Judgment("not_judged", "nightly")
    if document.kind == FILE and any(map(_misses_a_name, verdict.diagnostics)):
        return Judgment("not_judged", "other crates or files")
    return Judgment("rejected", verdict.diagnostics[0].category if verdict.diagnostics else verdict.status)


def _misses_a_name(diagnostic: Diagnostic) -> bool:
    return diagnostic.category == "resolve" or diagnostic.message.startswith("cannot find ")
