"""
Runs of stdin tests: one process of the program for each case, all in one attempt of the sandbox.

The program gets nothing but the input of its case. Expected outputs never enter the sandbox: outputs are compared
here. The directory is read-only, and every process of a case is killed before the next case begins, so that no run can
leave anything for another one.
"""

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.runs import PROGRAM, command, ending, steady
from evaluation.rust.sandbox.runner import Completed, Limits, SandboxFailure
from evaluation.rust.verdict import Status, Verdict

SPARE_BYTES = 64 << 10  # output beyond twice the expected one: an endless output ends early
SECONDS_TO_START = 0.5  # of each case, which are not the program's own, for the limit on all cases together


@dataclass(frozen=True)
class RunStdinJob:
    """Run the stdin tests of one candidate."""

    candidate: Candidate
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunStdinJob"]]:
        """Return the verdict, and no further jobs."""
        try:
            verdict = steady(self._verdict(tools), lambda: self._verdict(tools), tools)
        except SandboxFailure as failure:
            verdict = tools.after_compiling(self.candidate, "unavailable", str(failure))
        return {self.candidate.key: verdict}, []

    def _verdict(self, tools: Tools) -> Verdict:
        cases = self.candidate.stdin_tests.cases
        each = tools.run_limits
        longest = max(len(case.expected.encode()) for case in cases)
        limits = replace(
            each,
            wall_seconds=len(cases) * (each.wall_seconds + SECONDS_TO_START),
            output_bytes=min(each.output_bytes, 2 * longest + SPARE_BYTES),
        )
        runs = [
            replace(command(PROGRAM, [], case.stdin.encode(), tools), wall_seconds=each.wall_seconds, may_fail=True)
            for case in cases
        ]
        completed = tools.compiler.sandbox.run({PROGRAM: self.program}, runs, limits, read_only=True)
        return self._judge(completed, limits, tools)

    def _judge(self, runs: Sequence[Completed], limits: Limits, tools: Tools) -> Verdict:
        tests = self.candidate.stdin_tests
        passed, first = 0, ""
        status: Status = "valid"
        # After a case that reached a limit the others were not run.
        for number, (case, completed) in enumerate(zip(tests.cases, runs, strict=False), 1):
            ended = completed.ended_by == "exit" and completed.status == 0
            if ended and case.holds(completed.stdout, tests.comparison):
                passed += 1
            elif not first:
                status, why = ("tests_failed", "printed something else") if ended else _ending(completed, limits)
                first = f"the first that does not is case {number}: {why}"
        seconds = sum(completed.seconds for completed in runs)
        total = len(tests.cases)
        reason = f"{passed} of {total} cases pass; {first}" if first else ""
        return tools.tested(self.candidate, status, reason, passed, total, seconds)


def _ending(completed: Completed, limits: Limits) -> tuple[Status, str]:
    status, why = ending(completed, limits, "")
    if status == "tests_failed" and completed.status == -signal.SIGKILL:
        return "unavailable", "was killed from outside"  # under reward rules it cannot kill itself
    return status, why
