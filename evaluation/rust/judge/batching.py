"""
The first jobs for a list of code snippets: verdicts that need no compiler, and which snippets share a compilation.

Snippets that seem not to parse have batches of their own, which can only reject.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evaluation.rust.judge.appended import AppendedTests, without_attributes_of_the_program
from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.jobs import BuildJob, CompileJob, Job
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.judge.stdin_tests import StdinTests
from evaluation.rust.rustc.compiler import CrateType
from evaluation.rust.rustc.routing import as_module, must_compile_alone, refusal
from evaluation.rust.syntax.analysis import SyntaxReport, analyze
from evaluation.rust.verdict import Diagnostic, Verdict

Tests = str | HiddenTests | StdinTests | None
RequestedCrateType = Literal["auto", "bin", "lib"]
Rules = Literal["data", "reward"]

BATCH_CODES = 64
TRUSTED_BATCH_CODES = 256  # known solutions rarely fail
BATCH_BYTES = 200_000


@dataclass(frozen=True)
class Submission:
    """A code snippet that the cache has no verdict for."""

    key: bytes
    """Its key in the cache."""
    code: bytes
    tests: Tests


def first_jobs(
    submissions: Sequence[Submission], crate_type: RequestedCrateType, rules: Rules, tools: Tools, workers: int
) -> Iterator[Job | Verdicts]:
    """
    Yield a verdict, a job for one snippet, or a job for a batch, until every submission is in one of them.

    Args:
        submissions: Code snippets and their tests.
        crate_type: Kind of crate of snippets without tests.
        rules: `"reward"` applies the refusals of `refusals.py` before anything is compiled.
        tools: Compiler, sandbox and options of the jobs.
        workers: Number of compilers at the same time.
    """
    # The same number of batches for each worker, as equal in size as possible.
    largest = TRUSTED_BATCH_CODES if tools.trusted else BATCH_CODES
    rounds = math.ceil(len(submissions) / (largest * workers))
    count = max(1, rounds * workers)
    batch_codes = math.ceil(len(submissions) / count)
    batches: dict[tuple[bool, bool], list[Candidate]] = {}
    # Neighbors in the list are alike. A stride spreads them over the batches, so that no batch takes much longer.
    for submission in (item for start in range(count) for item in submissions[start::count]):
        prepared = _prepare(submission, crate_type, rules, tools)
        if isinstance(prepared, Verdict):
            yield {submission.key: prepared}
            continue
        candidate, suspected = prepared
        # Trusted solutions are built at once, without a call that only checks them.
        believed = tools.trusted and candidate.crate_type == "test" and not suspected
        if not suspected and not candidate.together:
            yield BuildJob((candidate,), False, compiled=False) if believed else CompileJob((candidate,))
            continue
        batch = batches.setdefault((suspected, candidate.crate_type == "test"), [])
        batch.append(candidate)
        if len(batch) >= batch_codes or sum(len(candidate.code) for candidate in batch) >= BATCH_BYTES:
            yield _batch_job(batch, suspected, believed)
            batch.clear()
    for (suspected, tested), batch in batches.items():
        if batch:
            yield _batch_job(batch, suspected, tools.trusted and tested and not suspected)


def _batch_job(batch: list[Candidate], suspected: bool, believed: bool) -> Job:
    if believed:
        return BuildJob(tuple(batch), True, compiled=False)
    return CompileJob(tuple(batch), suspected)


def _prepare(
    submission: Submission, crate_type: RequestedCrateType, rules: Rules, tools: Tools
) -> Verdict | tuple[Candidate, bool]:
    """Return the verdict if no compiler is needed, else the candidate and whether it seems not to parse."""
    code, tests = submission.code, submission.tests
    try:
        code.decode()
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error.reason} at byte {error.start}"
        return tools.verdict("invalid_syntax", Diagnostic(None, "syntax", reason))
    too_large = refusal(code)
    if too_large:
        return tools.verdict("refused", too_large)
    own, notes = (code, ()) if tests is None else without_attributes_of_the_program(code)
    read_tests = AppendedTests.read(tests) if isinstance(tests, str) else tests
    text = read_tests.behind(own) if isinstance(read_tests, AppendedTests) else own
    report = analyze(text)
    refused: tuple[Diagnostic, ...] = ()
    if rules == "reward":
        outside = None if isinstance(read_tests, AppendedTests) else read_tests
        refused = tuple(reason.diagnostic() for reason in refusals(code, outside))
        # Code that does not parse gets the parser's errors rather than a refusal.
        if refused and not report.has_error:
            return replace(tools.verdict("refused", *refused), metadata=report.metadata)
    kind = _crate_type(read_tests, crate_type, report)
    alone = must_compile_alone(text, report, tools.compiler.edition, kind, tools.confirm)
    candidate = Candidate(
        submission.key,
        text,
        as_module(text, report, kind),
        kind,
        report.metadata,
        together=alone is None,
        refused=refused,
        tests=read_tests,
        notes=notes,
    )
    return candidate, report.has_error


def _crate_type(
    tests: AppendedTests | HiddenTests | StdinTests | None, requested: RequestedCrateType, report: SyntaxReport
) -> CrateType:
    """Return the kind of crate: tests decide first, then the request, then whether there is a `fn main`."""
    if isinstance(tests, AppendedTests):
        return "bin" if tests.has_main else "test"
    if isinstance(tests, StdinTests):
        return "bin"
    if tests is not None:
        return "lib"
    if requested != "auto":
        return requested
    return "lib" if report.main == "none" else "bin"
