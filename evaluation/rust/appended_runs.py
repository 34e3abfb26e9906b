"""Runs of appended tests: each candidate in a process of its own, or known solutions in one."""

from dataclasses import dataclass, replace

from evaluation.rust.appended import passed_by_module, passed_of_libtest
from evaluation.rust.candidate import Candidate, Tools, Verdicts
from evaluation.rust.harness import candidate_file
from evaluation.rust.runs import ending, run_program
from evaluation.rust.sandbox import SandboxFailure


@dataclass(frozen=True)
class RunAppendedJob:
    """The appended tests of one candidate, in a process and an attempt of its own."""

    candidate: Candidate
    index: int
    together: bool
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunAppendedJob"]]:
        """The verdict."""
        candidate, tests = self.candidate, self.candidate.tests
        arguments = [] if tests.has_main else ["--test-threads=1", "--include-ignored"]
        if self.together:
            arguments.append(candidate_file(self.index, True).replace(".rs", "::"))
        try:
            (completed,) = run_program(self.program, arguments, [b""], tools, tools.run_limits)
        except SandboxFailure as failure:
            return {candidate.key: tools.after_compiling(candidate, "unavailable", str(failure))}, []
        if tests.has_main:
            passed = 1 if completed.status == 0 else None
        else:
            passed = passed_of_libtest(completed.stdout.decode("utf-8", "replace"))
        expected = tests.total + tests.own
        if passed is None:
            status, reason = ending(completed, tools.run_limits)
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

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunAppendedJob"]]:
        """Verdicts for those whose tests all pass; the others are run by themselves."""
        limits = replace(
            tools.run_limits,
            wall_seconds=tools.run_limits.wall_seconds + len(self.candidates),
            cpu_seconds=tools.run_limits.cpu_seconds + len(self.candidates),
        )
        try:
            (completed,) = run_program(self.program, ["--test-threads=1", "--include-ignored"], [b""], tools, limits)
        except SandboxFailure as failure:
            return {c.key: tools.after_compiling(c, "unavailable", str(failure)) for c in self.candidates}, []
        passed = passed_by_module(completed.stdout.decode("utf-8", "replace"))
        verdicts: Verdicts = {}
        jobs: list[RunAppendedJob] = []
        for index, candidate in enumerate(self.candidates):
            total = candidate.tests.total
            if passed.get(index) == total + candidate.tests.own:
                share = completed.seconds / len(self.candidates)
                verdicts[candidate.key] = tools.tested(candidate, "valid", "", total, total, share)
            else:
                jobs.append(RunAppendedJob(candidate, index, True, self.program))
        return verdicts, jobs
