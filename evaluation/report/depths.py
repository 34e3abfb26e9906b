"""Results by depth: after which loop tokens leave, and metrics against the number of loops."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from evaluation.pages.samples import ShownSample
from evaluation.report.runs import DEPTH_SETTINGS, Run, mean_loops, model_name
from evaluation.results import Interval, Results
from evaluation.suites.registry import suite_of


@dataclass(frozen=True)
class ExitHistogram:
    """
    Tokens of a run's samples by the loop after which they left.

    Attributes:
        run, benchmark: Where the samples are.
        counts: Number of tokens by loop, without loops that no token left after.
    """

    run: str
    benchmark: str
    counts: Mapping[int, int]

    @property
    def total(self) -> int:
        """Number of tokens."""
        return sum(self.counts.values())


class ExitCounter:
    """Count the loops of tokens while samples are read, of those suites in which tokens left after different loops."""

    def __init__(self):
        self._counts: dict[tuple[str, str], Counter[int]] = {}

    def passing(self, samples: Iterable[ShownSample]) -> Iterator[ShownSample]:
        """Yield samples, and count them."""
        for sample in samples:
            if sample.token_loops:
                counts = self._counts.setdefault((sample.run, sample.suite), Counter())
                counts.update(loop for _, loop in sample.token_loops)
            yield sample

    @property
    def histograms(self) -> list[ExitHistogram]:
        """A histogram for each suite of each run, in the order in which they were read."""
        return [ExitHistogram(*names, dict(sorted(counts.items()))) for names, counts in self._counts.items()]


@dataclass(frozen=True)
class DepthCurve:
    """
    A metric against the number of loops.

    Attributes:
        title: Model and benchmark.
        metric: Name of the metric.
        share: Whether its values are shares from 0 to 1.
        points: Loops per token and the metric with its interval, in ascending order of the loops.
        source: Results that the points are from.
    """

    title: str
    metric: str
    share: bool
    points: tuple[tuple[float, Interval], ...]
    source: str


def depth_curves(runs: Sequence[Run]) -> list[DepthCurve]:
    """
    Return the curves that results hold: from `details["by_loop"]` of one file, with the metric after each loop under
    the empty name, and from runs of one model that differ in nothing but their depth.
    """
    groups: dict[str, list[tuple[Run, Results]]] = {}
    for run in runs:
        for results in run.results:
            groups.setdefault(_all_but_depth(results), []).append((run, results))
    curves = []
    for members in groups.values():
        between = list(_between(members))
        # Runs at several depths have the same points as the loops within each of them.
        curves += between or [curve for run, results in members for curve in _within(run, results)]
    return curves


def _within(run: Run, results: Results) -> Iterator[DepthCurve]:
    # Other names are parts of the problems, which the suite plots itself.
    by_loop = results.details.get("by_loop", {}).get("")
    if by_loop:
        points = tuple((float(loop), Interval(**each)) for loop, each in enumerate(by_loop, start=1))
        metric, share = next(iter(results.metrics)), suite_of(results.benchmark).has_shares(results)
        yield DepthCurve(f"{run.name}, {results.benchmark}", metric, share, points, run.name)


def _between(members: Sequence[tuple[Run, Results]]) -> Iterator[DepthCurve]:
    first = members[0][1]
    suite = suite_of(first.benchmark)
    for metric in suite.index_metrics(first):
        found = {mean_loops(each): each.metrics[metric] for _, each in members if metric in each.metrics}
        points = tuple(sorted((loops, interval) for loops, interval in found.items() if loops is not None))
        if len(points) > 1:
            title = f"{model_name(first)}, {first.benchmark}"
            names = ", ".join(run.name for run, _ in members)
            yield DepthCurve(title, metric, suite.has_shares(first), points, names)


def _all_but_depth(results: Results) -> str:
    """Return a key that is equal for results of one model which differ in nothing but their depth."""
    model, settings = (
        {name: value for name, value in values.items() if name not in DEPTH_SETTINGS}
        for values in (results.model, results.settings)
    )
    headline = suite_of(results.benchmark).index_metrics(results)
    problems = {name: sorted(results.per_problem.get(name, ())) for name in headline}
    return json.dumps([results.benchmark, model, settings, problems], sort_keys=True, default=str)
