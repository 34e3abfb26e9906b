"""Verdicts on sampled programs, and results from verdicts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from evaluation.pass_at_k import pass_at_k
from evaluation.results import Results, share_interval
from evaluation.rust import RustVerifier, Verdict
from evaluation.rust.judge.batching import Tests
from evaluation.rust.verdict import NOT_REACHED, Diagnostic
from evaluation.rust.verifier import RUNS_OF_SOLUTIONS


class ScoringUnavailable(RuntimeError):
    """The compiler or the sandbox failed for some programs, which must not count as wrong."""


UNFINISHED = Verdict(
    "unfinished",
    NOT_REACHED,
    (Diagnostic(None, "unfinished", "the completion reached its token limit before its end"),),
)
"""Verdict on a completion that stopped at its maximum number of tokens, or at the end of the context."""


class GoldFailed(RuntimeError):
    """
    A suite's own solution does not pass on this machine, so that scores would be meaningless.

    Attributes:
        reason: What is wrong with the problems, such as "known solutions fail".
        verdicts: Verdicts by the problem's name.
        problems: Reason and verdict by the problem's name.
    """

    def __init__(self, reason: str, verdicts: Mapping[str, str]):
        named = [f"{name} ({why})" for name, why in verdicts.items()]
        first = ", ".join(named[:10]) + (f" and {len(named) - 10} more" if len(named) > 10 else "")
        super().__init__(f"nothing is scored: {reason} on this machine: {first}")
        self.reason, self.verdicts = reason, verdicts
        self.problems = {name: f"{reason}: {verdict}" for name, verdict in verdicts.items()}


def verify_samples(
    verifier: RustVerifier,
    programs: Sequence[Sequence[str | None]],
    tests: Sequence[Tests],
    *,
    rules: Literal["data", "reward"] = "data",
    trusted: bool = False,
    progress: bool = False,
) -> list[list[Verdict]]:
    """
    Return the verdicts on each problem's programs with the problem's tests.

    Args:
        verifier: Compiles and runs the programs.
        programs: Programs of each problem; None for an unfinished one, which fails without being compiled.
        tests: For each problem its tests, as in `RustVerifier.verify`; None if it only has to compile.
        rules: "reward" refuses what an honest solution does not need.
        trusted: The programs are known solutions: they may share a process, and those that pass are run several times
            to find flaky ones.
        progress: Show a progress bar.

    Raises:
        ValueError: There are no problems, or not one test for each.
        ScoringUnavailable: The compiler or the sandbox failed.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    if not programs or len(programs) != len(tests):
        raise ValueError(f"there must be one test for each of the problems, got {len(tests)} for {len(programs)}")
    pairs = [(program, test) for each, test in zip(programs, tests, strict=True) for program in each]
    finished = [(program, test) for program, test in pairs if program is not None]
    flat, appended = [program for program, _ in finished], [test for _, test in finished]
    runs = RUNS_OF_SOLUTIONS if trusted else 1
    verdicts = verifier.verify(flat, appended, rules=rules, trusted=trusted, progress=progress, runs=runs)
    failed = [verdict for verdict in verdicts if verdict.status == "unavailable"]
    if failed:
        reason = failed[0].diagnostics[0].message if failed[0].diagnostics else "no reason was given"
        raise ScoringUnavailable(f"nothing was scored: the verifier failed for {len(failed)} programs ({reason})")
    remaining = iter(verdicts)
    return [[UNFINISHED if program is None else next(remaining) for program in each] for each in programs]


def check_solutions(names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], passes: bool = True) -> None:
    """
    Check that known solutions, one per problem, pass; or, if not `passes`, that known faulty ones fail.

    Raises:
        GoldFailed: Names the problems where that is not so.
    """
    pairs = zip(names, verdicts, strict=True)
    wrong = {name: _words(verdict) for name, (verdict,) in pairs if verdict.ok != passes}
    if wrong:
        raise GoldFailed("known solutions fail" if passes else "known faulty solutions pass", wrong)


def _words(verdict: Verdict) -> str:
    """Return the status; for a flaky solution, with how often it passes."""
    first = verdict.diagnostics[0].message if verdict.diagnostics else ""
    return f"{verdict.status}, {first}" if first.startswith("flaky") else verdict.status


def results_of(
    benchmark: str, metric: str, names: Sequence[str], verdicts: Sequence[Sequence[Verdict]], k: Sequence[int]
) -> Results:
    """
    Return results with `metric@k` for each k and the counts of verdicts; without settings and details.

    Args:
        benchmark: Name of the results.
        metric: Name of the metric, without "@k".
        names: Names of the problems.
        verdicts: For each problem the verdicts on its samples.
        k: Values of k.

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
