"""Runs of appended tests: each candidate in its own process, or many known solutions in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.rust.judge.appended import listed_tests, of_module, passed_by_name, passed_of_libtest
from evaluation.rust.judge.candidate import Candidate, Tools, Verdicts
from evaluation.rust.judge.runs import ending, limit_hit, run_program, steady
from evaluation.rust.rustc.compiler import MODULE
from evaluation.rust.sandbox.runner import Completed, SandboxFailure
from evaluation.rust.verdict import Verdict

LIST = ["--list", "--format=terse"]
RUN = ["--test-threads=1", "--include-ignored"]


@dataclass(frozen=True)
class RunAppendedJob:
    """Run the appended tests of one candidate, in its own process and attempt."""

    candidate: Candidate
    index: int
    """Index of the candidate's module in the program."""
    together: bool
    """Whether the program has several candidates."""
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunAppendedJob"]]:
        """Return the verdict, and no further jobs."""
        try:
            verdict = steady(self._verdict(tools), lambda: self._verdict(tools), tools)
        except SandboxFailure as failure:
            verdict = tools.after_compiling(self.candidate, "unavailable", str(failure))
        return {self.candidate.key: verdict}, []

    def _verdict(self, tools: Tools) -> Verdict:
        return self._run_main(tools) if self.candidate.appended_tests.has_main else self._run_listed(tools)

    def _run_main(self, tools: Tools) -> Verdict:
        (completed,) = run_program(self.program, [], [b""], tools, tools.run_limits)
        if completed.status == 0:
            return tools.tested(self.candidate, "valid", "", 1, 1, completed.seconds)
        status, reason = ending(completed, tools.run_limits)
        return tools.tested(self.candidate, status, reason, 0, 1, completed.seconds)

    def _run_listed(self, tools: Tools) -> Verdict:
        candidate, tests = self.candidate, self.candidate.appended_tests
        prefix = f"{MODULE}{self.index}::" if self.together else ""
        names: Sequence[str] = tests.names
        missing: Sequence[str] = ()
        if tests.must_be_listed:
            (completed,) = run_program(self.program, LIST, [b""], tools, tools.run_limits)
            if completed.status != 0:
                status, reason = ending(completed, tools.run_limits)
                return tools.tested(candidate, status, reason, 0, len(names), completed.seconds)
            listed = listed_tests(_text(completed))
            names, missing = tests.published(of_module(listed, prefix) if prefix else listed)
        total = len(names) + len(missing)
        if not names:
            reason = f"the program has none of the tests: {', '.join(missing[:3]) or 'the macros make none'}"
            return tools.tested(candidate, "tests_failed", reason, 0, total, completed.seconds)
        arguments = [*RUN, "--exact", *(prefix + name for name in names)]
        (completed,) = run_program(self.program, arguments, [b""], tools, tools.run_limits)
        passed = passed_of_libtest(_text(completed))
        if passed is None:
            status, reason = ending(completed, tools.run_limits)
        elif completed.status == 0 and passed == total:
            status, reason = "valid", ""
        else:
            hit = limit_hit(completed.stdout + completed.stderr)
            status, reason = ("resource_limit" if hit else "tests_failed"), f"{passed} of {total} tests pass"
            reason += f"; {hit}" if hit else ""
        return tools.tested(candidate, status, reason, min(passed or 0, total), total, completed.seconds)


@dataclass(frozen=True)
class TrustedRunJob:
    """Run the appended tests of many trusted candidates in one process."""

    candidates: tuple[Candidate, ...]
    program: bytes

    def run(self, tools: Tools) -> tuple[Verdicts, list["RunAppendedJob"]]:
        """Return verdicts for candidates whose tests all pass, and a job for each of the others."""
        limits = replace(
            tools.run_limits,
            wall_seconds=tools.run_limits.wall_seconds + len(self.candidates),
            cpu_seconds=tools.run_limits.cpu_seconds + len(self.candidates),
        )
        try:
            (listing,) = run_program(self.program, LIST, [b""], tools, limits)
            runs = [run_program(self.program, RUN, [b""], tools, limits)[0] for _ in range(tools.runs)]
        except SandboxFailure as failure:
            return {c.key: tools.after_compiling(c, "unavailable", str(failure)) for c in self.candidates}, []
        listed = listed_tests(_text(listing))
        passed = [passed_by_name(_text(completed)) for completed in runs]
        verdicts: Verdicts = {}
        jobs: list[RunAppendedJob] = []
        for index, candidate in enumerate(self.candidates):
            names, missing = candidate.appended_tests.published(of_module(listed, f"{MODULE}{index}::"))
            wanted, total = {f"{MODULE}{index}::{name}" for name in names}, len(names)
            times = sum(wanted <= each for each in passed) if names and not missing else 0
            share = runs[0].seconds / len(self.candidates)
            if times == tools.runs:
                verdicts[candidate.key] = tools.tested(candidate, "valid", "", total, total, share)
            elif times:
                reason = f"flaky: passed {times} of {tools.runs} runs"
                verdicts[candidate.key] = tools.tested(candidate, "tests_failed", reason, 0, total, share)
            else:
                jobs.append(RunAppendedJob(candidate, index, True, self.program))
        return verdicts, jobs


def _text(completed: Completed) -> str:
    return completed.stdout.decode("utf-8", "replace")
