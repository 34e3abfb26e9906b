"""One code on its way to a verdict, and how verdicts on it are worded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.checkers import Checkers
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.rustc.compiler import Compilation, Compiler, CrateType
from evaluation.rust.rustc.semantics import classify
from evaluation.rust.sandbox.runner import Limits
from evaluation.rust.verdict import CHECKS, NOT_REACHED, CodeMetadata, Diagnostic, Status, Verdict


@dataclass(frozen=True)
class Candidate:
    """One distinct code on its way to a verdict."""

    key: bytes
    code: bytes
    """The text, with tests that are appended to it."""
    module: bytes
    """Stands for the code in a batch."""
    crate_type: CrateType
    metadata: CodeMetadata
    together: bool
    """It may share a crate with others."""
    refused: tuple[Diagnostic, ...] = ()
    """Why the code earns nothing even if the compiler accepts it, of one that seemed not to parse."""
    tests: HiddenTests | AppendedTests | None = None
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


@dataclass(frozen=True)
class Tools:
    """What jobs work with, and how."""

    compiler: Compiler
    checkers: Checkers
    run_limits: Limits
    exact: bool
    """Compile each failing code alone."""
    confirm: bool
    """Compile codes alone whose errors an impl of a neighbour can cause."""
    trusted: bool
    """Run the appended tests of many codes in one process."""
    runs: int
    """How often a code that passes is run."""

    def verdict(self, status: Status, *reasons: Diagnostic | str) -> Verdict:
        """A verdict that says why; nothing is known of the checks yet."""
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
        """A verdict on a code that the compiler accepts."""
        verdict = self.verdict(status, *reasons)
        return replace(verdict, checks=dict.fromkeys(CHECKS, "ok"), metadata=candidate.metadata, notes=candidate.notes)

    def tested(
        self, candidate: Candidate, status: Status, reason: Diagnostic | str, passed: int, total: int, seconds: float
    ) -> Verdict:
        """A verdict on a code whose tests were run."""
        reasons = [Diagnostic(None, "tests", reason) if isinstance(reason, str) else reason] if reason else []
        verdict = self.after_compiling(candidate, status, *reasons)
        return replace(verdict, tests_passed=passed, tests_total=total, seconds=seconds)

    def decide(self, candidate: Candidate, compilation: Compilation, errors: Sequence[Diagnostic]) -> Verdict:
        """What the compiler's answer amounts to."""
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
