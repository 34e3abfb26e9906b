"""Runs of programs with tests, and the interpretation of how they end."""

import signal
from collections.abc import Callable, Sequence
from dataclasses import replace

from evaluation.rust.judge.candidate import Tools
from evaluation.rust.sandbox.runner import Command, Completed, Limits
from evaluation.rust.verdict import Diagnostic, Status, Verdict

PROGRAM = "program"
# Messages of Rust's standard library for limits of the system.
LIMIT_SIGNS = {
    b"memory allocation of": "it needed more memory than it may have",
    b"TryReserveError { kind: AllocError": "it needed more memory than it may have",
    b"failed to spawn thread: Os { code: 11": "it needed more threads than it may have",
    b"Os { code: 11, kind: WouldBlock": "it needed more threads than it may have",
    b"Os { code: 24,": "it needed more open files than it may have",
    b"Os { code: 27,": "it wrote a larger file than it may",
    b"Os { code: 28,": "it wrote more than its directory may hold",
}


def run_program(
    program: bytes, arguments: Sequence[str], inputs: Sequence[bytes], tools: Tools, limits: Limits
) -> list[Completed]:
    """Run a program once for each input, until a run fails."""
    commands = [command(PROGRAM, arguments, stdin, tools) for stdin in inputs]
    return tools.compiler.sandbox.run({PROGRAM: program}, commands, limits)


def command(program: str, arguments: Sequence[str], stdin: bytes, tools: Tools) -> Command:
    """Return the command that runs a program in the attempt's directory."""
    return Command(["{directory}/" + program, *arguments], tools.compiler.toolchain.environment, stdin)


def limit_hit(output: bytes) -> str | None:
    """
    Return the limit of the sandbox that a program's output mentions, or None.

    A program could print such a message itself, which would only change the status of its failure.
    """
    return next((limit for sign, limit in LIMIT_SIGNS.items() if sign in output), None)


def ending(completed: Completed, limits: Limits, early: str = " before its tests did") -> tuple[Status, str]:
    """
    Return the status and the reason for a program that ended before its tests.

    Args:
        completed: Its run.
        limits: Limits of the run.
        early: What is said behind the way it ended.
    """
    if completed.ended_by == "output" or completed.status == -signal.SIGXFSZ:
        return "resource_limit", "printed too much"
    if completed.ended_by == "disk":
        return "resource_limit", f"wrote more than {limits.disk_bytes >> 20} MiB"
    used_up = completed.cpu_seconds >= 0.9 * limits.cpu_seconds
    if completed.ended_by == "deadline" or completed.status == -signal.SIGXCPU or used_up:
        seconds = f"{completed.seconds:.1f} s, {completed.cpu_seconds:.1f} s of processor time"
        return "timeout", f"still running after {seconds}"
    how = f"signal {-completed.status}" if completed.ended_by == "signal" else f"status {completed.status}"
    said = first_line(completed.stderr)
    reason = f"ended with {how}{early}" + (f": {said}" if said else "")
    hit = limit_hit(completed.stdout + completed.stderr)
    if hit:
        return "resource_limit", f"{reason}; {hit}"
    much = completed.status == -signal.SIGKILL and completed.peak_bytes > limits.memory_bytes / 4
    return "resource_limit" if much else "tests_failed", reason


def first_line(stderr: bytes) -> str:
    """Return the first line that is not blank, shortened."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0][:200] if lines else ""


def steady(first: Verdict, again: Callable[[], Verdict], tools: Tools) -> Verdict:
    """
    Return a verdict that passes in every run, or the first one that does not, marked as flaky.

    Args:
        first: The verdict of the first run.
        again: Runs the tests again.
        tools: Its `runs` is the number of runs.
    """
    if not first.ok:
        return first
    for number in range(1, tools.runs):
        verdict = again()
        if verdict.status == "unavailable":
            return verdict
        if not verdict.ok:
            why = verdict.diagnostics[0].message if verdict.diagnostics else verdict.status
            reason = f"flaky: passed {number} of {number + 1} runs, then {verdict.status}: {why}"
            return replace(verdict, diagnostics=(Diagnostic(None, "tests", reason), *verdict.diagnostics))
    return first
