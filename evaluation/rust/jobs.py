"""The work behind a verdict: calls of the compiler for many codes at once, and runs of what was built.

    CompileJob --valid--> BuildJob --built--> RunHiddenJob, RunAppendedJob (a process for each candidate)

A job decides what it can and leaves other jobs for the rest: a batch without those it found wrong, its halves, single
codes. Codes without tests are decided by their compile job.
"""

import math
import re
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust import harness
from evaluation.rust.compiler import BUILD_FLAGS, ROOT, Compilation, Compiler, CrateType, as_modules, names_others
from evaluation.rust.harness import AppendedTests, HiddenTests
from evaluation.rust.sandbox import Command, Completed, Limits, SandboxFailure
from evaluation.rust.semantics import classify, phase
from evaluation.rust.verdict import CHECKS, NOT_REACHED, CodeMetadata, Diagnostic, Status, Verdict

SMALLEST_PART = 16
SECONDS_ALONE = 0.05  # about what one code costs alone, to choose between halving a batch and giving it up
CONFIRMED_ALONE = {"E0119", "E0282", "E0283", "E0284"}  # errors that an impl of a neighbour can cause
PROGRAM = "program"
RUNS_PER_ATTEMPT = 8


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
    readable: bool = True
    """False when the code is judged by its syntax tree and the tree has errors."""
    tests: HiddenTests | AppendedTests | None = None


@dataclass(frozen=True)
class Tools:
    """What jobs work with, and how."""

    compiler: Compiler
    run_limits: Limits
    exact: bool
    """Compile each failing code alone."""
    confirm: bool
    """Compile codes alone whose errors an impl of a neighbour can cause."""
    trusted: bool
    """Run the appended tests of many codes in one process."""

    def verdict(self, status: Status, *reasons: Diagnostic | str) -> Verdict:
        """A verdict that says why; nothing is known of the checks yet."""
        diagnostics = tuple(
            reason if isinstance(reason, Diagnostic) else Diagnostic(None, "other", reason) for reason in reasons
        )
        toolchain, level = self.compiler.toolchain, self.compiler.sandbox.level
        return Verdict(
            status, dict(NOT_REACHED), diagnostics, edition=self.compiler.edition,
            rustc=toolchain.version, sandbox_level=level,
        )  # fmt: skip

    def after_compiling(self, candidate: Candidate, status: Status, *reasons: Diagnostic | str) -> Verdict:
        """A verdict on a code that the compiler accepts."""
        verdict = self.verdict(status, *reasons)
        return replace(verdict, checks=dict.fromkeys(CHECKS, "ok"), metadata=candidate.metadata)

    def tested(
        self, candidate: Candidate, status: Status, reason: str, passed: int, total: int, seconds: float
    ) -> Verdict:
        """A verdict on a code whose tests were run."""
        reasons = [Diagnostic(None, "tests", reason)] if reason else []
        verdict = self.after_compiling(candidate, status, *reasons)
        return replace(verdict, tests_passed=passed, tests_total=total, seconds=seconds)

    def decide(self, candidate: Candidate, compilation: Compilation, errors: Sequence[Diagnostic]) -> Verdict:
        """What the compiler's answer amounts to."""
        if compilation.accepted and not candidate.readable:
            reason = "the judge cannot read it, though the compiler can: nothing could be looked for in it"
            return self.after_compiling(candidate, "refused", Diagnostic(None, "refusal", reason))
        if compilation.accepted:
            return self.after_compiling(candidate, "valid")
        if compilation.failure:
            return replace(self.verdict(compilation.failure, compilation.reason), metadata=candidate.metadata)
        kind = classify(errors)
        verdict = self.verdict(kind.status, *errors)
        return replace(verdict, checks=kind.checks, external=kind.external, metadata=candidate.metadata)


Verdicts = dict[bytes, Verdict]


@dataclass(frozen=True)
class CompileJob:
    """Codes for one call of the compiler; nothing is built."""

    candidates: tuple[Candidate, ...]
    suspected: bool = False
    """They seem not to parse. What the parser says of a file does not depend on other files, so that much is believed;
    but the rules for sharing a crate are read from the syntax tree, so nothing else is.
    """

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """The verdicts it decides, and jobs for what it does not."""
        candidates, compiler = self.candidates, tools.compiler
        if len(candidates) == 1:
            (candidate,) = candidates
            compilation = compiler.compile_alone(candidate.code, candidate.crate_type)
            errors = [error for errors in compilation.errors.values() for error in errors] + compilation.unplaced
            return self._reached([(candidate, errors)], compilation, tools)
        compilation = compiler.compile_together([candidate.module for candidate in candidates], self.crate_type)
        if compilation.failure == "unavailable" or (compilation.accepted and not self.suspected):
            return self._reached([(candidate, []) for candidate in candidates], compilation, tools)
        if compilation.failure or not (compilation.errors or self.suspected):
            return {}, self._cut(compilation.seconds)
        wrong, rest, alone = [], [], []
        for index, candidate in enumerate(candidates):
            errors = compilation.errors.get(index, [])
            if self.suspected:
                errors = [error for error in errors if phase(error) == "syntax"]
            if errors and not _needs_confirmation(candidate, errors, tools):
                wrong.append((candidate, errors))
            elif errors or self.suspected:
                alone.append(CompileJob((candidate,)))
            else:
                rest.append(candidate)
        verdicts, _ = self._reached(wrong, compilation, tools)
        return verdicts, alone + ([CompileJob(tuple(rest))] if rest else [])

    @property
    def crate_type(self) -> CrateType:
        """Of a batch: codes with a main are libraries there."""
        return "test" if self.candidates[0].crate_type == "test" else "lib"

    def _reached(self, answers, compilation: Compilation, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Verdicts for those answered; those that are valid so far and have tests go on."""
        verdicts, tested = {}, []
        for candidate, errors in answers:
            verdict = tools.decide(candidate, compilation, errors)
            if verdict.ok and candidate.tests is not None:
                tested.append(candidate)
            else:
                verdicts[candidate.key] = replace(verdict, seconds=compilation.seconds / len(self.candidates))
        together = [candidate for candidate in tested if candidate.together and not _has_main(candidate)]
        jobs: list[Job] = [BuildJob((candidate,), False) for candidate in tested if candidate not in together]
        for unsafe in (False, True):
            group = tuple(candidate for candidate in together if _allows_unsafe(candidate) is unsafe)
            if group:
                jobs.append(BuildJob(group, True))
        return verdicts, jobs

    def parts(self, workers: int) -> list["CompileJob"]:
        """Near the end no worker shall wait for another: a part for each, where it is worth one more call."""
        size = max(SMALLEST_PART, math.ceil(len(self.candidates) / workers))
        starts = range(0, len(self.candidates), size)
        return [replace(self, candidates=self.candidates[start : start + size]) for start in starts]

    def _cut(self, seconds: float) -> list["Job"]:
        """Halves a batch that failed quickly, takes one apart that failed slowly: which finds the culprit sooner."""
        if seconds * math.log2(len(self.candidates)) < SECONDS_ALONE * len(self.candidates):
            return [replace(self, candidates=half) for half in _halves(self.candidates)]
        return [CompileJob((candidate,)) for candidate in self.candidates]


def _halves(candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    middle = len(candidates) // 2
    return candidates[:middle], candidates[middle:]


def _needs_confirmation(candidate: Candidate, errors: Sequence[Diagnostic], tools: Tools) -> bool:
    """Whether errors found in a batch may be others than those the code has alone."""
    caused = tools.confirm and any(error.code in CONFIRMED_ALONE for error in errors)
    return tools.exact or caused or candidate.module != candidate.code or names_others(errors)


def _has_main(candidate: Candidate) -> bool:
    return isinstance(candidate.tests, AppendedTests) and candidate.tests.has_main


def _allows_unsafe(candidate: Candidate) -> bool:
    return isinstance(candidate.tests, HiddenTests) and candidate.tests.allow_unsafe


@dataclass(frozen=True)
class BuildJob:
    """Valid codes and their tests for one program, in which each can be run without the others."""

    candidates: tuple[Candidate, ...]
    together: bool
    """They are modules of one crate; otherwise there is one, with a crate of its own."""
    compiled: bool = True
    """The compiler has accepted each of them; otherwise they are believed to be valid until this fails."""

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Verdicts for codes that do not fit their tests, and a run for each of the others."""
        hidden = isinstance(self.candidates[0].tests, HiddenTests)
        return self._build_hidden(tools) if hidden else self._build_appended(tools)

    def _build_hidden(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        verdicts: Verdicts = {}
        texts, complete = [], []
        for candidate in self.candidates:
            text, missing = harness.publish(candidate.code, candidate.tests)
            if missing:
                reason = f"defines no {' and no '.join(missing)} at its top level"
                diagnostic = Diagnostic(None, "signature", reason)
                verdicts[candidate.key] = tools.after_compiling(candidate, "tests_failed", diagnostic)
            else:
                texts.append(text)
                complete.append(candidate)
        if not complete:
            return verdicts, []
        files = as_modules(texts, "pub ") if self.together else {ROOT: texts[0]}
        checks = harness.checker_files([candidate.tests for candidate in complete], self.together)
        files |= checks
        root, *names = checks
        names = [harness.candidate_file(index, self.together) for index in range(len(complete))] + names
        crate, checker = harness.CANDIDATES, harness.CHECKER
        unsafe = [] if _allows_unsafe(complete[0]) else ["-F", "unsafe_code"]
        build = [*tools.compiler.kind("lib"), "--crate-name", crate, *unsafe, *BUILD_FLAGS, ROOT]
        # The checker is written in edition 2021, whatever the candidate's is.
        link = ["--edition", "2021", "--crate-name", checker, "--extern", f"{crate}=lib{crate}.rlib", *BUILD_FLAGS]
        calls = [build, [*link, root]]
        compilation, program = tools.compiler.call(files, calls, _numbered(names), result=checker)
        decided, jobs = self._built(tuple(complete), compilation, program, tools)
        return verdicts | decided, jobs

    def _build_appended(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        codes = [candidate.code for candidate in self.candidates]
        files = as_modules(codes) if self.together else {ROOT: codes[0]}
        names = [harness.candidate_file(index, self.together) for index in range(len(codes))]
        kind = tools.compiler.kind(self.candidates[0].crate_type)
        calls = [[*kind, "--crate-name", PROGRAM, *BUILD_FLAGS, ROOT]]
        compilation, program = tools.compiler.call(files, calls, _numbered(names), result=PROGRAM)
        return self._built(self.candidates, compilation, program, tools)

    def _built(
        self, candidates: tuple[Candidate, ...], compilation: Compilation, program: bytes, tools: Tools
    ) -> tuple[Verdicts, list["Job"]]:
        appended = isinstance(candidates[0].tests, AppendedTests)
        if compilation.accepted and tools.trusted and appended and self.together:
            return {}, [TrustedRunJob(candidates, program)]
        if compilation.accepted and appended:
            runs = enumerate(candidates)
            return {}, [RunAppendedJob(candidate, index, self.together, program) for index, candidate in runs]
        if compilation.accepted:
            numbered = tuple(enumerate(candidates))
            starts = range(0, len(numbered), RUNS_PER_ATTEMPT)
            return {}, [RunHiddenJob(numbered[start : start + RUNS_PER_ATTEMPT], program) for start in starts]
        if not self.compiled:
            return {}, [CompileJob(candidates)]
        verdicts: Verdicts = {}
        rest, alone = [], []
        for index, candidate in enumerate(candidates):
            own = compilation.errors.get(index, [])
            of_the_checker = compilation.errors.get(index + len(candidates), [])
            if self.together and any(error.code in CONFIRMED_ALONE for error in own + of_the_checker):
                alone.append(BuildJob((candidate,), False))
            elif own or of_the_checker:
                verdicts[candidate.key] = _misfit(candidate, own, of_the_checker, tools)
            else:
                rest.append(candidate)
        if verdicts or alone:
            return verdicts, alone + ([BuildJob(tuple(rest), self.together)] if rest else [])
        if len(candidates) > 1 and compilation.failure != "unavailable":
            return {}, [replace(self, candidates=half) for half in _halves(candidates)]
        # Also what the linker says: it has no place.
        status = compilation.failure or "compilation_failed"
        reasons = compilation.unplaced or [compilation.reason]
        return {candidate.key: tools.after_compiling(candidate, status, *reasons) for candidate in candidates}, []


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _misfit(
    candidate: Candidate, own: Sequence[Diagnostic], of_the_checker: Sequence[Diagnostic], tools: Tools
) -> Verdict:
    """A code that is valid, but not as a part of the program."""
    if any(error.code == "unsafe_code" for error in own):
        return tools.after_compiling(candidate, "refused", *(replace(error, category="refusal") for error in own))
    if own:
        return tools.after_compiling(candidate, "compilation_failed", *own)
    if any(phase(error) == "syntax" for error in of_the_checker):
        return tools.after_compiling(candidate, "unavailable", "the checker is no Rust", *of_the_checker)
    lines = candidate.tests.checker.count("\n") + 1
    told = [
        replace(
            error,
            category="tests" if error.line is not None and error.line <= lines else "signature",
            rendered=re.sub(r"check_\d+_\w+\.rs", harness.CHECKER, error.rendered),
        )
        for error in of_the_checker
    ]
    return tools.after_compiling(candidate, "tests_failed", *told)


@dataclass(frozen=True)
class RunHiddenJob:
    """The hidden tests of some candidates, each in a process of its own.

    They share an attempt of the sandbox: a process that can do nothing but compute leaves nothing behind for the next.
    """

    numbered: tuple[tuple[int, Candidate], ...]
    """Each with its number in the program."""
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Verdicts up to the first that did not come to its end, and a job for those behind it."""
        nonces = [secrets.token_hex(16) for _ in self.numbered]
        inputs = [f"{nonce} {number}".encode() for nonce, (number, _) in zip(nonces, self.numbered, strict=True)]
        try:
            results = _run(self.program, [], inputs, tools, tools.run_limits)
        except SandboxFailure as failure:
            return {c.key: tools.after_compiling(c, "unavailable", str(failure)) for _, c in self.numbered}, []
        if len(results) > 1 and results[-1].ended_by == "deadline":
            results.pop()  # those before it had their part of the time: once more, from its own start
        verdicts: Verdicts = {}
        for (_, candidate), nonce, completed in zip(self.numbered, nonces, results, strict=False):
            verdicts[candidate.key] = self._judge(candidate, nonce, completed, tools)
        rest = self.numbered[len(results) :]
        return verdicts, [replace(self, numbered=rest)] if rest else []

    def _judge(self, candidate: Candidate, nonce: str, completed: Completed, tools: Tools) -> Verdict:
        report = harness.read_report(completed.stdout, nonce)
        passed = total = 0
        if isinstance(report, str):
            status, reason = "unavailable", f"the checker cannot confine itself: {report}"
        elif report is None:
            status, reason = _ending(completed, tools.run_limits)
            if status == "tests_failed" and completed.status == -signal.SIGKILL:
                status, reason = "unavailable", "the program was killed from outside"  # it cannot do that to itself
        else:
            status, reason = _reported(report, candidate.tests.blank, completed)
            passed, total = report.passed, report.total
        return tools.tested(candidate, status, reason, passed, total, completed.seconds)


def _reported(report: harness.Report, blank: bool, completed: Completed) -> tuple[Status, str]:
    if not report.finished:
        return "tests_failed", f"panicked outside the cases: {_first_line(completed.stderr)}"
    if report.passed < report.total:
        place = f"the first that does not is at line {report.first_failed_line} of the checker"
        return "tests_failed", f"{report.passed} of {report.total} cases hold; {place}"
    return ("valid", "") if report.total or blank else ("tests_failed", "no case was run")


@dataclass(frozen=True)
class RunAppendedJob:
    """The appended tests of one candidate, in a process and an attempt of its own."""

    candidate: Candidate
    index: int
    together: bool
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """The verdict."""
        candidate, tests = self.candidate, self.candidate.tests
        arguments = [] if tests.has_main else ["--test-threads=1", "--include-ignored"]
        if self.together:
            arguments.append(harness.candidate_file(self.index, True).replace(".rs", "::"))
        try:
            (completed,) = _run(self.program, arguments, [b""], tools, tools.run_limits)
        except SandboxFailure as failure:
            return {candidate.key: tools.after_compiling(candidate, "unavailable", str(failure))}, []
        if tests.has_main:
            passed = 1 if completed.status == 0 else None
        else:
            passed = harness.passed_of_libtest(completed.stdout.decode("utf-8", "replace"))
        expected = tests.total + tests.own
        if passed is None:
            status, reason = _ending(completed, tools.run_limits)
        elif completed.status == 0 and passed == expected:
            status, reason = "valid", ""
        else:
            status, reason = "tests_failed", f"{passed} of {expected} tests pass"
        # Which of them failed nobody but the candidate knows, if it has tests of its own.
        known = status == "valid" or not tests.own
        passed = min(passed or 0, tests.total) if known else 0
        return {candidate.key: tools.tested(candidate, status, reason, passed, tests.total, completed.seconds)}, []


@dataclass(frozen=True)
class TrustedRunJob:
    """Appended tests of many codes in one process: for codes that do no harm to each other."""

    candidates: tuple[Candidate, ...]
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Verdicts for those whose tests all pass; the others are run by themselves."""
        limits = replace(
            tools.run_limits,
            wall_seconds=tools.run_limits.wall_seconds + len(self.candidates),
            cpu_seconds=tools.run_limits.cpu_seconds + len(self.candidates),
        )
        try:
            (completed,) = _run(self.program, ["--test-threads=1", "--include-ignored"], [b""], tools, limits)
        except SandboxFailure as failure:
            return {c.key: tools.after_compiling(c, "unavailable", str(failure)) for c in self.candidates}, []
        passed = harness.passed_by_module(completed.stdout.decode("utf-8", "replace"))
        verdicts: Verdicts = {}
        jobs: list[Job] = []
        for index, candidate in enumerate(self.candidates):
            total = candidate.tests.total
            if passed.get(index) == total + candidate.tests.own:
                share = completed.seconds / len(self.candidates)
                verdicts[candidate.key] = tools.tested(candidate, "valid", "", total, total, share)
            else:
                jobs.append(RunAppendedJob(candidate, index, True, self.program))
        return verdicts, jobs


Job = CompileJob | BuildJob | RunHiddenJob | RunAppendedJob | TrustedRunJob


def _run(
    program: bytes, arguments: Sequence[str], inputs: Sequence[bytes], tools: Tools, limits: Limits
) -> list[Completed]:
    """Runs the program once for each input, until one of them fails."""
    environment = tools.compiler.toolchain.environment
    commands = [Command(["{directory}/" + PROGRAM, *arguments], environment, stdin) for stdin in inputs]
    return tools.compiler.sandbox.run({PROGRAM: program}, commands, limits)


def _ending(completed: Completed, limits: Limits) -> tuple[Status, str]:
    """How a program ended that did not come to the end of its tests."""
    if completed.ended_by == "output":
        return "resource_limit", "printed too much"
    used_up = completed.cpu_seconds >= 0.9 * limits.cpu_seconds
    if completed.ended_by == "deadline" or completed.status == -signal.SIGXCPU or used_up:
        seconds = f"{completed.seconds:.1f} s, {completed.cpu_seconds:.1f} s of them at work"
        return "timeout", f"still running after {seconds}"
    how = f"signal {-completed.status}" if completed.ended_by == "signal" else f"status {completed.status}"
    said = _first_line(completed.stderr)
    reason = f"ended with {how} before its tests did" + (f": {said}" if said else "")
    much = completed.status == -signal.SIGKILL and completed.peak_bytes > limits.memory_bytes / 4
    return "resource_limit" if much or b"memory allocation of" in completed.stderr else "tests_failed", reason


def _first_line(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
