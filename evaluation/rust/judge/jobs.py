"""
Jobs that lead to verdicts: calls of the compiler for many candidates, and runs of the built programs.

    CompileJob --valid--> BuildJob --built--> RunHiddenJob, RunAppendedJob, RunStdinJob (a process for each candidate)

A job returns the verdicts that it reaches and further jobs for the other candidates: the batch without its invalid
candidates, its halves, or single candidates. Candidates without tests are decided by a compile job.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge import harness
from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.appended_runs import RunAppendedJob, TrustedRunJob
from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.checkers import EDITION, HARNESS_FILE, CheckersUnavailable, link
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.hidden_runs import RunHiddenJob, separate_runs, shared_runs, unavailable
from evaluation.rust.judge.runs import PROGRAM
from evaluation.rust.judge.stdin_runs import RunStdinJob
from evaluation.rust.judge.stdin_tests import StdinTests
from evaluation.rust.rustc.compiler import BUILD_FLAGS, ROOT, Compilation, CrateType, as_modules, names_others
from evaluation.rust.rustc.semantics import phase
from evaluation.rust.verdict import Diagnostic, Verdict

SMALLEST_PART = 16
SECONDS_ALONE = 0.05  # approximate time for one candidate alone, to choose between halving a batch and splitting it up
CONFIRMED_ALONE = {"E0119", "E0282", "E0283", "E0284"}  # errors that an impl in another module can cause


@dataclass(frozen=True)
class CompileJob:
    """Check candidates in one call of the compiler, without building anything."""

    candidates: tuple[Candidate, ...]
    suspected: bool = False
    """Whether they seem not to parse. Errors of the parser do not depend on other files and are trusted. Other errors
    are not, because the rules for sharing a crate need a correct syntax tree.
    """

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Return the verdicts it reaches, and jobs for the other candidates."""
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
        """Kind of crate of a batch, in which binaries are compiled as libraries."""
        return "test" if self.candidates[0].crate_type == "test" else "lib"

    def _reached(self, answers, compilation: Compilation, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Return verdicts for candidates with an answer, and build jobs for valid ones with tests."""
        verdicts, tested = {}, []
        for candidate, errors in answers:
            verdict = tools.decide(candidate, compilation, errors)
            if verdict.ok and candidate.tests is not None:
                tested.append(candidate)
            else:
                verdicts[candidate.key] = replace(verdict, seconds=compilation.seconds / len(self.candidates))
        together = [candidate for candidate in tested if candidate.together and not _has_main(candidate)]
        jobs: list[Job] = [BuildJob((candidate,), False) for candidate in tested if candidate not in together]
        groups: dict[tuple[bool, ...], list[Candidate]] = {}
        for candidate in together:
            kind = _allows_unsafe(candidate), _is_shared(candidate), _is_blank(candidate)
            groups.setdefault(kind, []).append(candidate)
        jobs += [BuildJob(tuple(group), True) for group in groups.values()]
        return verdicts, jobs

    def parts(self, workers: int) -> list["CompileJob"]:
        """Split the batch so that no worker is idle near the end, into parts that are worth a call each."""
        size = max(SMALLEST_PART, math.ceil(len(self.candidates) / workers))
        starts = range(0, len(self.candidates), size)
        return [replace(self, candidates=self.candidates[start : start + size]) for start in starts]

    def _cut(self, seconds: float) -> list["Job"]:
        """Halve a batch that failed quickly, or split one that failed slowly into single candidates."""
        if seconds * math.log2(len(self.candidates)) < SECONDS_ALONE * len(self.candidates):
            return [replace(self, candidates=half) for half in _halves(self.candidates)]
        return [CompileJob((candidate,)) for candidate in self.candidates]


def _halves(candidates: tuple[Candidate, ...]) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    middle = len(candidates) // 2
    return candidates[:middle], candidates[middle:]


def _needs_confirmation(candidate: Candidate, errors: Sequence[Diagnostic], tools: Tools) -> bool:
    """Whether errors in a batch may differ from those of the candidate alone."""
    caused = tools.confirm and any(error.code in CONFIRMED_ALONE for error in errors)
    return tools.exact or caused or candidate.module != candidate.code or names_others(errors)


def _has_main(candidate: Candidate) -> bool:
    """Whether its program is one of its own, because it has the `fn main`."""
    appended = isinstance(candidate.tests, AppendedTests) and candidate.tests.has_main
    return appended or isinstance(candidate.tests, StdinTests)


def _allows_unsafe(candidate: Candidate) -> bool:
    return isinstance(candidate.tests, HiddenTests) and candidate.tests.allow_unsafe


def _is_shared(candidate: Candidate) -> bool:
    """Whether its hidden tests are linked with it."""
    return isinstance(candidate.tests, HiddenTests) and candidate.tests.shared_because is not None


def _is_blank(candidate: Candidate) -> bool:
    """Whether its hidden tests demand only a signature."""
    return isinstance(candidate.tests, HiddenTests) and candidate.tests.blank


@dataclass(frozen=True)
class BuildJob:
    """Build candidates with tests of the same kind into one program, in which each can be run separately."""

    candidates: tuple[Candidate, ...]
    together: bool
    """Whether they are modules of one crate; otherwise there is a single candidate in its own crate."""
    compiled: bool = True
    """Whether the compiler has accepted each of them; otherwise they are assumed to be valid until this job fails."""

    def run(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        """Return verdicts for candidates that do not match their tests, and jobs that run the others."""
        if not isinstance(self.candidates[0].tests, HiddenTests):
            return self._build_whole(tools)
        try:
            return self._build_hidden(tools)
        except CheckersUnavailable as failure:
            return unavailable(self.candidates, str(failure), tools), []

    def _build_hidden(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
        verdicts: Verdicts = {}
        texts, complete = [], []
        for candidate in self.candidates:
            text, missing = harness.publish(candidate.code, candidate.hidden_tests)
            if missing:
                reason = f"defines no {' and no '.join(missing)} at its top level"
                diagnostic = Diagnostic(None, "signature", reason)
                verdicts[candidate.key] = tools.after_compiling(candidate, "tests_failed", diagnostic)
            else:
                texts.append(text)
                complete.append(candidate)
        if not complete:
            return verdicts, []
        tests = [candidate.hidden_tests for candidate in complete]
        shared = _is_shared(complete[0])
        inside = self.together and not shared
        files = as_modules(texts, "pub ") if self.together else {ROOT: texts[0]}
        program = harness.shared_files(tests, self.together) if shared else harness.server_files(tests, inside)
        root, *names = program
        names = [harness.candidate_file(index, self.together) for index in range(len(complete))] + names
        crate, compiler = harness.CANDIDATES, tools.compiler
        unsafe = [] if _allows_unsafe(complete[0]) else ["-F", "unsafe_code"]
        if inside:
            calls = [link(PROGRAM, root, compiler.edition, *unsafe)]
        else:
            library = [*compiler.kind("lib"), "--crate-name", crate, *unsafe, *BUILD_FLAGS, ROOT]
            calls = [library, link(PROGRAM, root, EDITION, "--extern", f"{crate}=lib{crate}.rlib")]
        files |= program | {HARNESS_FILE: tools.checkers.harness()}
        compilation, built = compiler.call(files, calls, _numbered(names), result=PROGRAM)
        decided, jobs = self._built(tuple(complete), compilation, built, tools)
        return verdicts | decided, jobs

    def _build_whole(self, tools: Tools) -> tuple[Verdicts, list["Job"]]:
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
        if compilation.accepted and isinstance(candidates[0].tests, StdinTests):
            return {}, [RunStdinJob(candidate, program) for candidate in candidates]
        if compilation.accepted:
            # Without cases only the signature is demanded, and nothing is run.
            if candidates[0].hidden_tests.blank:
                return {each.key: tools.tested(each, "valid", "", 0, 0, 0.0) for each in candidates}, []
            if _is_shared(candidates[0]):
                return {}, [*shared_runs(candidates, program)]
            return {}, [*separate_runs(candidates, program, tools)]
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
                if of_the_checker:
                    tools.checkers.check([candidate.hidden_tests])
                verdicts[candidate.key] = _misfit(candidate, own, of_the_checker, tools)
            else:
                rest.append(candidate)
        if verdicts or alone:
            return verdicts, alone + ([BuildJob(tuple(rest), self.together)] if rest else [])
        if len(candidates) > 1 and compilation.failure != "unavailable":
            return {}, [replace(self, candidates=half) for half in _halves(candidates)]
        # Includes errors of the linker, which have no place.
        status = compilation.failure or "compilation_failed"
        reasons = compilation.unplaced or [compilation.reason]
        return {candidate.key: tools.after_compiling(candidate, status, *reasons) for candidate in candidates}, []


def _numbered(names: Sequence[str]) -> dict[str, int]:
    return {name: index for index, name in enumerate(names)}


def _misfit(
    candidate: Candidate, own: Sequence[Diagnostic], of_the_checker: Sequence[Diagnostic], tools: Tools
) -> Verdict:
    """Return the verdict on a candidate that is valid alone but not as a part of the program with its tests."""
    if any(error.code == "unsafe_code" for error in own):
        return tools.after_compiling(candidate, "refused", *(replace(error, category="refusal") for error in own))
    if own:
        return tools.after_compiling(candidate, "compilation_failed", *own)
    # Only hidden tests have files of their own in which there can be errors.
    lines, shared = candidate.hidden_tests.checker.count("\n") + 1, _is_shared(candidate)
    told = [
        replace(
            error,
            category="tests" if shared and error.line is not None and error.line <= lines else "signature",
            rendered=re.sub(r"(?:calls|checks)_\d+_\w+\.rs", harness.CHECKER, error.rendered),
        )
        for error in of_the_checker
    ]
    return tools.after_compiling(candidate, "tests_failed", *told)


Job = CompileJob | BuildJob | RunHiddenJob | RunAppendedJob | RunStdinJob | TrustedRunJob
