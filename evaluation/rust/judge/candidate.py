"""Candidates, which are code snippets without a verdict yet, and the construction of verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.checkers import Checkers
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.stdin_tests import StdinTests
from evaluation.rust.rustc.compiler import Compilation, Compiler, CrateType
from evaluation.rust.rustc.semantics import classify
from evaluation.rust.sandbox.runner import Limits
from evaluation.rust.verdict import CHECKS, NOT_REACHED, CodeMetadata, Diagnostic, Status, Verdict


@dataclass(frozen=True)
class Candidate:
    """A code snippet without a verdict yet."""

    key: bytes
    """Its key in the cache."""
    code: bytes
    """Its source, including appended tests."""
    module: bytes
    """Its source as a module of a batch."""
    crate_type: CrateType
    metadata: CodeMetadata
    together: bool
    """Whether it may share a crate with others."""
    refused: tuple[Diagnostic, ...] = ()
    """Reasons to refuse it if the compiler accepts it; only for code that seems not to parse."""
    tests: HiddenTests | AppendedTests | StdinTests | None = None
    notes: tuple[str, ...] = ()
    """Changes made to the code before it is compiled as part of a program with its tests."""

    @property
    def hidden_tests(self) -> HiddenTests:
        """The tests of a candidate that has hidden tests."""
        assert isinstance(self.tests, HiddenTests)
        return self.tests

    @property
    def appended_tests(self) -> AppendedTests:
        """The tests of a candidate that has appended tests."""
        assert isinstance(self.tests, AppendedTests)
        return self.tests

    @property
    def stdin_tests(self) -> StdinTests:
        """The tests of a candidate that has stdin tests."""
        assert isinstance(self.tests, StdinTests)
        return self.tests


@dataclass(frozen=True)
class Tools:
    """Tools and options of jobs."""

    compiler: Compiler
    checkers: Checkers
    run_limits: Limits
    exact: bool
    """Whether each failing snippet is compiled again alone."""
    confirm: bool
    """Whether snippets are compiled alone whose errors may come from an impl in another module of the batch."""
    trusted: bool
    """Whether the appended tests of many snippets run in one process."""
    runs: int
    """Number of times that passing tests are run."""

    def verdict(self, status: Status, *reasons: Diagnostic | str) -> Verdict:
        """Return a verdict with its reasons, in which no check was reached."""
        diagnostics = tuple(
            reason if isinstance(reason, Diagnostic) else Diagnostic(None, "other", reason) for reason in reasons
        )
        toolchain, level = self.compiler.toolchain, self.compiler.sandbox.level
        return Verdict(
            status,
            dict(NOT_REACHED),
            diagnostics,
            edition=self.compiler.edition,
            rustc=toolchain.version,
            sandbox_level=level,
        )

    def after_compiling(self, candidate: Candidate, status: Status, *reasons: Diagnostic | str) -> Verdict:
        """Return a verdict on code that the compiler accepts."""
        verdict = self.verdict(status, *reasons)
        return replace(verdict, checks=dict.fromkeys(CHECKS, "ok"), metadata=candidate.metadata, notes=candidate.notes)

    def tested(
        self, candidate: Candidate, status: Status, reason: Diagnostic | str, passed: int, total: int, seconds: float
    ) -> Verdict:
        """Return a verdict on code whose tests were run."""
        reasons = [Diagnostic(None, "tests", reason) if isinstance(reason, str) else reason] if reason else []
        verdict = self.after_compiling(candidate, status, *reasons)
        return replace(verdict, tests_passed=passed, tests_total=total, seconds=seconds)

    def decide(self, candidate: Candidate, compilation: Compilation, errors: Sequence[Diagnostic]) -> Verdict:
        """Return the verdict for the compiler's answer."""
        if compilation.accepted and candidate.refused:
            return self.after_compiling(candidate, "refused", *candidate.refused)
        if compilation.accepted:
            return self.after_compiling(candidate, "valid")
        if compilation.failure:
            return replace(
                self.verdict(compilation.failure, compilation.reason),
                metadata=candidate.metadata,
                notes=candidate.notes,
            )
        kind = classify(errors)
        verdict = self.verdict(kind.status, *errors)
        return replace(
            verdict, checks=kind.checks, external=kind.external, metadata=candidate.metadata, notes=candidate.notes
        )


Verdicts = dict[bytes, Verdict]
"""Verdicts by the keys of their candidates."""
