"""Runs of hidden tests, and what their reports amount to."""

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
OUR_PROCESSES = 2  # the one that reads the requests, and its copy that runs the tests
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Numbered:
    """A candidate, and where it and its tests are in the programs."""

    candidate: Candidate
    number: int
    """Of the candidate in the program that holds it."""
    tests: int
    """Of its tests in the program that holds those."""


@dataclass(frozen=True)
class RunHiddenJob:
    """The hidden tests of some candidates, each in processes of its own.

    They share an attempt of the sandbox: a process that can do nothing but compute leaves nothing behind for the next.
    """

    numbered: tuple[Numbered, ...]
    program: bytes
    """Holds the candidates."""
    checker: bytes
    """Holds the tests; empty when `program` holds them too. There is one candidate then: it could see the requests."""

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunHiddenJob"]]:
        """Verdicts up to the first that did not come to its end, and a job for those behind it."""
        try:
            verdicts = self._verdicts(self.numbered, tools)
            passing = [number for number, verdict in enumerate(verdicts) if verdict.ok] if tools.runs > 1 else []
            for number in passing:
                one = self.numbered[number : number + 1]
                verdicts[number] = steady(verdicts[number], lambda one=one: self._verdicts(one, tools)[0], tools)
        except SandboxFailure as failure:
            return unavailable([each.candidate for each in self.numbered], str(failure), tools), []
        # The one that was running at the deadline had a part of the time: once more, from its own start.
        rest = self.numbered[len(verdicts) :]
        reached = {each.candidate.key: verdict for each, verdict in zip(self.numbered, verdicts, strict=False)}
        return reached, [replace(self, numbered=rest)] if rest else []

    def _verdicts(self, numbered: Sequence[Numbered], tools: Tools) -> list[Verdict]:
        """Of these candidates, up to the first that did not come to its end."""
        requests = [Request() for _ in numbered]
        pairs = zip(requests, numbered, strict=True)
        lines = [request.encode(each.tests, each.number) for request, each in pairs]
        files = {PROGRAM: self.program} | ({CHECKER: self.checker} if self.checker else {})
        name, arguments = (CHECKER, ["{directory}/" + PROGRAM]) if self.checker else (PROGRAM, [])
        # There are no files to write but messages, and the candidate's threads are not to pay for our processes.
        limits = tools.run_limits
        limits = replace(limits, file_bytes=limits.output_bytes, processes=limits.processes + OUR_PROCESSES)
        run = command(name, arguments, b"".join(lines), tools)
        (completed,) = tools.compiler.sandbox.run(files, [run], limits)
        runs = read_runs(requests, completed.stdout) or [Run(Report("none"), completed)]
        return [_judge(each.candidate, run, tools) for each, run in zip(numbered, runs, strict=False)]


def separate_runs(candidates: Sequence[Candidate], program: bytes, tools: Tools) -> list[RunHiddenJob]:
    """Of candidates that have a program, and tests that have others. Raises as `Checkers.programs` does."""
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
    """Of candidates that have a program together with their tests."""
    return [
        RunHiddenJob((Numbered(candidate, number, number),), program, b"")
        for number, candidate in enumerate(candidates)
    ]


def unavailable(candidates: Sequence[Candidate], reason: str, tools: Tools) -> Verdicts:
    """The tool failed for these."""
    return {each.key: tools.after_compiling(each, "unavailable", reason) for each in candidates}


def _judge(candidate: Candidate, run: Run, tools: Tools) -> Verdict:
    report, completed = run.report, run.completed
    passed = total = 0
    if report.outcome == "unconfined":
        status, reason = "unavailable", f"the checker cannot confine itself: {report.reason}"
    elif report.outcome == "too_long":
        status, reason = "resource_limit", "a result, with what is behind `&mut`, is longer than 256 MiB"
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
            status, reason = "unavailable", "the program was killed from outside"  # it cannot do that to itself
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
