"""Runs of programs with tests: a process for each candidate, and what its end says."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust import harness
from evaluation.rust.candidate import Candidate, Tools, Verdicts
from evaluation.rust.sandbox import Command, Completed, Limits, SandboxFailure
from evaluation.rust.verdict import Status

PROGRAM = "program"


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
            (completed,) = _run(self.program, ["--test-threads=1", "--include-ignored"], [b""], tools, limits)
        except SandboxFailure as failure:
            return {c.key: tools.after_compiling(c, "unavailable", str(failure)) for c in self.candidates}, []
        passed = harness.passed_by_module(completed.stdout.decode("utf-8", "replace"))
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


def _run(
    program: bytes, arguments: Sequence[str], inputs: Sequence[bytes], tools: Tools, limits: Limits
) -> list[Completed]:
    """Runs the program once for each input, until one of them fails."""
    commands = [command(PROGRAM, arguments, stdin, tools) for stdin in inputs]
    return tools.compiler.sandbox.run({PROGRAM: program}, commands, limits)


def command(program: str, arguments: Sequence[str], stdin: bytes, tools: Tools) -> Command:
    return Command(["{directory}/" + program, *arguments], tools.compiler.toolchain.environment, stdin)


def ending(completed: Completed, limits: Limits) -> tuple[Status, str]:
    """How a program ended that did not come to the end of its tests."""
    if completed.ended_by == "output" or completed.status == -signal.SIGXFSZ:
        return "resource_limit", "printed too much"
    used_up = completed.cpu_seconds >= 0.9 * limits.cpu_seconds
    if completed.ended_by == "deadline" or completed.status == -signal.SIGXCPU or used_up:
        seconds = f"{completed.seconds:.1f} s, {completed.cpu_seconds:.1f} s of them at work"
        return "timeout", f"still running after {seconds}"
    how = f"signal {-completed.status}" if completed.ended_by == "signal" else f"status {completed.status}"
    said = first_line(completed.stderr)
    reason = f"ended with {how} before its tests did" + (f": {said}" if said else "")
    much = completed.status == -signal.SIGKILL and completed.peak_bytes > limits.memory_bytes / 4
    return "resource_limit" if much or b"memory allocation of" in completed.stderr else "tests_failed", reason


def first_line(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
