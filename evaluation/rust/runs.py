"""Runs of programs with tests: a process for each candidate, and what its end says."""

import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust import harness
from evaluation.rust.candidate import Candidate, Tools, Verdicts
from evaluation.rust.sandbox import Command, Completed, Limits, SandboxFailure
from evaluation.rust.verdict import Status, Verdict

PROGRAM = "program"
# As the standard library words what the system refuses.
LIMIT_SIGNS = {
    b"memory allocation of": "it needed more memory than it may have",
    b"failed to spawn thread: Os { code: 11": "it needed more threads than it may have",
    b"Os { code: 11, kind: WouldBlock": "it needed more threads than it may have",
    b"Os { code: 24,": "it needed more open files than it may have",
    b"Os { code: 27,": "it wrote a larger file than it may",
    b"Os { code: 28,": "it wrote more than its directory may hold",
}


@dataclass(frozen=True)
class RunHiddenJob:
    """The hidden tests of some candidates, each in a process of its own.

    They share an attempt of the sandbox: a process that can do nothing but compute leaves nothing behind for the next.
    """

    numbered: tuple[tuple[int, Candidate], ...]
    """Each with its number in the program."""
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunHiddenJob"]]:
        """Verdicts up to the first that did not come to its end, and a job for those behind it."""
        nonces = [secrets.token_hex(16) for _ in self.numbered]
        inputs = [f"{nonce} {number}".encode() for nonce, (number, _) in zip(nonces, self.numbered, strict=True)]
        try:
            results = run_program(self.program, [], inputs, tools, tools.run_limits)
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
            status, reason = ending(completed, tools.run_limits)
            if status == "tests_failed" and completed.status == -signal.SIGKILL:
                status, reason = "unavailable", "the program was killed from outside"  # it cannot do that to itself
        else:
            status, reason = _reported(report, completed)
            passed, total = report.passed, report.total
        return tools.tested(candidate, status, reason, passed, total, completed.seconds)


def _reported(report: harness.Report, completed: Completed) -> tuple[Status, str]:
    if not report.finished:
        return "tests_failed", f"panicked outside the cases: {first_line(completed.stderr)}"
    if report.passed < report.total:
        place = f"the first that does not is at line {report.first_failed_line} of the checker"
        return "tests_failed", f"{report.passed} of {report.total} cases hold; {place}"
    return ("valid", "") if report.total else ("tests_failed", "no case was run")


def run_program(
    program: bytes, arguments: Sequence[str], inputs: Sequence[bytes], tools: Tools, limits: Limits
) -> list[Completed]:
    """Runs the program once for each input, until one of them fails."""
    environment = tools.compiler.toolchain.environment
    commands = [Command(["{directory}/" + PROGRAM, *arguments], environment, stdin) for stdin in inputs]
    return tools.compiler.sandbox.run({PROGRAM: program}, commands, limits)


def limit_hit(output: bytes) -> str | None:
    """Which limit of the sandbox a program complains of; None if of none.

    A program could print that by itself: it would only choose between two ways to fail.
    """
    return next((limit for sign, limit in LIMIT_SIGNS.items() if sign in output), None)


def ending(completed: Completed, limits: Limits) -> tuple[Status, str]:
    """How a program ended that did not come to the end of its tests."""
    if completed.ended_by == "output":
        return "resource_limit", "printed too much"
    used_up = completed.cpu_seconds >= 0.9 * limits.cpu_seconds
    if completed.ended_by == "deadline" or completed.status == -signal.SIGXCPU or used_up:
        seconds = f"{completed.seconds:.1f} s, {completed.cpu_seconds:.1f} s of them at work"
        return "timeout", f"still running after {seconds}"
    how = f"signal {-completed.status}" if completed.ended_by == "signal" else f"status {completed.status}"
    said = first_line(completed.stderr)
    reason = f"ended with {how} before its tests did" + (f": {said}" if said else "")
    hit = limit_hit(completed.stdout + completed.stderr)
    if hit:
        return "resource_limit", f"{reason}; {hit}"
    much = completed.status == -signal.SIGKILL and completed.peak_bytes > limits.memory_bytes / 4
    return "resource_limit" if much else "tests_failed", reason


def first_line(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
