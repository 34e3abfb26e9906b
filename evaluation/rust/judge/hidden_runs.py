"""Runs of hidden tests, and verdicts from their reports."""

import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.harness import CHECKER
from evaluation.rust.judge.reports import Report, Request, Run, read_runs
from evaluation.rust.judge.runs import PROGRAM, command, ending, first_line, limit_hit, steady
from evaluation.rust.sandbox.runner import Completed, SandboxFailure
from evaluation.rust.verdict import Diagnostic, Status, Verdict

RUNS_PER_ATTEMPT = 8
OUR_PROCESSES = 2  # the process that reads requests, and its fork that runs the tests
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Numbered:
    """A candidate with its index and that of its tests in their programs."""

    candidate: Candidate
    number: int
    """Index of the candidate in its program."""
    tests: int
    """Index of its tests in their program."""


@dataclass(frozen=True)
class RunHiddenJob:
    """
    Run the hidden tests of some candidates, each in its own processes.

    They share an attempt of the sandbox, because processes that can only compute leave nothing for the next one.
    """

    numbered: tuple[Numbered, ...]
    program: bytes
    """Program with the candidates."""
    checker: bytes
    """Program with the tests; empty if `program` has them too. There is one candidate then, because it could see the
    requests for others.
    """

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunHiddenJob"]]:
        """Return verdicts up to the first run that did not finish, and a job for the candidates after it."""
        try:
            verdicts = self._verdicts(self.numbered, tools)
            passing = [number for number, verdict in enumerate(verdicts) if verdict.ok] if tools.runs > 1 else []
            for number in passing:
                one = self.numbered[number : number + 1]
                verdicts[number] = steady(verdicts[number], lambda one=one: self._verdicts(one, tools)[0], tools)
        except SandboxFailure as failure:
            return unavailable([each.candidate for each in self.numbered], str(failure), tools), []
        # The run at the deadline had only a part of the time, so it is repeated.
        rest = self.numbered[len(verdicts) :]
        reached = {each.candidate.key: verdict for each, verdict in zip(self.numbered, verdicts, strict=False)}
        return reached, [replace(self, numbered=rest)] if rest else []

    def _verdicts(self, numbered: Sequence[Numbered], tools: Tools) -> list[Verdict]:
        """Return verdicts up to the first run that did not finish."""
        requests = [Request() for _ in numbered]
        pairs = zip(requests, numbered, strict=True)
        lines = [request.encode(each.tests, each.number) for request, each in pairs]
        files = {PROGRAM: self.program} | ({CHECKER: self.checker} if self.checker else {})
        name, arguments = (CHECKER, ["{directory}/" + PROGRAM]) if self.checker else (PROGRAM, [])
        # Only messages are written to files, and our processes do not count as the candidate's threads.
        limits = tools.run_limits
        limits = replace(limits, file_bytes=limits.output_bytes, processes=limits.processes + OUR_PROCESSES)
        run = command(name, arguments, b"".join(lines), tools)
        (completed,) = tools.compiler.sandbox.run(files, [run], limits)
        runs = read_runs(requests, completed.stdout) or [Run(Report("none"), completed)]
        return [_judge(each.candidate, run, tools) for each, run in zip(numbered, runs, strict=False)]


def separate_runs(candidates: Sequence[Candidate], program: bytes, tools: Tools) -> list[RunHiddenJob]:
    """Return jobs for candidates whose tests are in other programs. Raises the errors of `Checkers.programs`."""
    checkers = tools.checkers.programs([candidate.hidden_tests for candidate in candidates])
    groups: dict[bytes, list[Numbered]] = {}
    for number, candidate in enumerate(candidates):
        checker = checkers[candidate.hidden_tests]
        groups.setdefault(checker.program, []).append(Numbered(candidate, number, checker.number))
    return [
        RunHiddenJob(tuple(group[start : start + RUNS_PER_ATTEMPT]), program, checker)
        for checker, group in groups.items()
        for start in range(0, len(group), RUNS_PER_ATTEMPT)
    ]


def shared_runs(candidates: Sequence[Candidate], program: bytes) -> list[RunHiddenJob]:
    """Return jobs for candidates in a program with their tests."""
    return [
        RunHiddenJob((Numbered(candidate, number, number),), program, b"")
        for number, candidate in enumerate(candidates)
    ]


def unavailable(candidates: Sequence[Candidate], reason: str, tools: Tools) -> Verdicts:
    """Return verdicts for candidates for which the compiler or the sandbox failed."""
    return {each.key: tools.after_compiling(each, "unavailable", reason) for each in candidates}


def _judge(candidate: Candidate, run: Run, tools: Tools) -> Verdict:
    report, completed = run.report, run.completed
    passed = total = 0
    if report.outcome == "unconfined":
        status, reason = "unavailable", f"the checker cannot confine itself: {report.reason}"
    elif report.outcome == "too_long":
        status, reason = "resource_limit", "a result, with the values behind `&mut`, is longer than 256 MiB"
    elif report.outcome == "forged":
        text = candidate.code.decode("utf-8", "replace")
        logger.warning("a candidate tried to forge the report of its tests: %s\n%s", report.reason, text)
        status, reason = "tests_failed", Diagnostic(None, "forgery", f"the report is forged: {report.reason}")
    elif report.outcome in ("died", "none"):
        if report.outcome == "died":
            ended_by = "signal" if report.status < 0 else "exit"
            completed = replace(completed, status=report.status, ended_by=ended_by)
        status, reason = ending(completed, tools.run_limits)
        if status == "tests_failed" and completed.status == -signal.SIGKILL:
            status, reason = "unavailable", "the program was killed from outside"  # it cannot kill itself
    else:
        status, reason = _reported(report, completed)
        passed, total = report.passed, report.total
    return tools.tested(candidate, status, reason, passed, total, completed.seconds)


def _reported(report: Report, completed: Completed) -> tuple[Status, str]:
    if report.outcome == "panicked":
        return "tests_failed", f"panicked outside the cases: {first_line(completed.stderr)}"
    hit = limit_hit(completed.stderr) if report.passed < report.total else None
    if hit:
        return "resource_limit", f"{report.passed} of {report.total} cases hold; {hit}"
    if report.passed < report.total:
        place = f"the first that does not is at line {report.first_failed_line} of the checker"
        return "tests_failed", f"{report.passed} of {report.total} cases hold; {place}"
    return ("valid", "") if report.total else ("tests_failed", "no case was run")
