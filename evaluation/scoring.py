"""From samples and tests to verdicts, for every benchmark that runs programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from evaluation.pass_at_k import pass_at_k
from evaluation.results import Results, share_interval
from evaluation.rust import HiddenTests, RustVerifier, Verdict
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS


class ScoringUnavailable(RuntimeError):
    """The tool failed for some programs; to count them as wrong would be a lie."""


class GoldFailed(RuntimeError):
    """
    A benchmark's own solution does not pass on this machine, so that no score would mean anything.

    Attributes:
        what: Is so where it should not be.
        wrong: The problems' names, and the verdicts on them.
        problems: Their names, and why.
    """

    def __init__(self, what: str, wrong: Mapping[str, str]):
        named = [f"{name} ({why})" for name, why in wrong.items()]
        first = ", ".join(named[:10]) + (f" and {len(named) - 10} more" if len(named) > 10 else "")
        super().__init__(f"nothing is scored: {what} on this machine: {first}")
        self.what, self.wrong = what, wrong
        self.problems = {name: f"{what}: {why}" for name, why in wrong.items()}


def verify_samples(
    verifier: RustVerifier,
    programs: Sequence[Sequence[str]],
    tests: Sequence[str | HiddenTests],
    *,
    rules: Literal["data", "reward"] = "data",
    trusted: bool = False,
    progress: bool = False,
) -> list[list[Verdict]]:
    """
    Verdicts for each problem's programs under the problem's tests.

    Args:
        verifier: Decides.
        programs: For each problem its programs.
        tests: For each problem the text to append, or what it must define and the cases that are hidden from it.
        rules: "reward" refuses what an honest solution does not need.
        trusted: The programs are known solutions: they may share a process, and what passes is run several times, so
            that what is flaky is found.
        progress: Show a progress bar.

    Raises:
        ValueError: There are not as many tests as problems, or no problems.
        ScoringUnavailable: The compiler or the sandbox failed.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    if not programs or len(programs) != len(tests):
        raise ValueError(f"there must be one test for each of the problems, got {len(tests)} for {len(programs)}")
    codes = [code for each in programs for code in each]
    appended = [test for each, test in zip(programs, tests, strict=True) for _ in each]
    runs = RUNS_OF_SOLUTIONS if trusted else 1
    verdicts = verifier.verify(codes, appended, rules=rules, trusted=trusted, progress=progress, runs=runs)
    failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise ScoringUnavailable(f"nothing was scored: the verifier failed for {len(failed)} programs ({reason})")
    remaining = iter(verdicts)
    return [[next(remaining) for _ in each] for each in programs]


def check_solutions(names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], passes: bool = True) -> None:
    """
    That known solutions, one per problem, pass; or, if not `passes`, that known faulty ones do not.

    Raises:
        GoldFailed: Names the problems where it is otherwise.
    """
    pairs = zip(names, verdicts, strict=True)
    wrong = {name: _told(verdict) for name, (verdict,) in pairs if verdict.ok != passes}
    if wrong:
        raise GoldFailed("known solutions fail" if passes else "known faulty solutions pass", wrong)


def _told(verdict: Verdict) -> str:
    """The status; of what passes only sometimes, how often it does."""
    first = verdict.diagnostics[0].message if verdict.diagnostics else ""
    return f"{verdict.status}, {first}" if first.startswith("flaky") else verdict.status


def results_of(
    benchmark: str, metric: str, names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], k: Sequence[int]
) -> Results:
    """
    `metric@k` for each k over problems of these names; of the results only what the verdicts say.

    Raises:
        ValueError: A problem has fewer samples than the largest k.
    """
    fewest = min(len(each) for each in verdicts)
    for size in k:
        if not 1 <= size <= fewest:
            raise ValueError(f"k must be from 1 to the number of samples per problem, {fewest}, got {size}")
    per_problem = {
        f"{metric}@{size}": {
            name: pass_at_k(len(each), sum(verdict.ok for verdict in each), size)
            for name, each in zip(names, verdicts, strict=True)
        }
        for size in k
    }
    metrics = {name: share_interval(list(values.values())) for name, values in per_problem.items()}
    counts = Counter(verdict.status for each in verdicts for verdict in each)
    return Results(benchmark, {}, metrics, per_problem, dict(counts.most_common()))
