"""The table of models and suites: the headline metrics of every suite, with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.runs import Run
from evaluation.results import Interval
from evaluation.suites.registry import suite_of

METRICS_PER_SUITE = 3


@dataclass(frozen=True)
class Cell:
    """
    A metric of one run.

    Attributes:
        interval: Value and limits.
        count: Number of problems, or of what the metric is measured over.
        unit: Name of what is counted.
        share: Whether the value is a share from 0 to 1.
    """

    interval: Interval
    count: int
    unit: str
    share: bool

    @property
    def value(self) -> str:
        """The value, in percent for a share."""
        return f"{self.interval.value:{self._format}}"

    @property
    def limits(self) -> str:
        """The interval and the number of problems."""
        known = self.interval.low is not None
        limits = f"{self.interval.limits(self._format)}, " if known else ""
        return f"{limits}{self.count:,} {self.unit if self.count > 1 else self.unit.removesuffix('s')}"

    @property
    def _format(self) -> str:
        return ".1%" if self.share else ".4g"


@dataclass(frozen=True)
class Overview:
    """
    Headline metrics of all runs.

    Attributes:
        columns: Benchmark and metric of each column.
        rows: For each run its name and the cells of the columns; None where it has no such metric.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Overview":
        """Return the overview of runs, with the suites in the order of their first run."""
        found: dict[tuple[str, str], dict[str, Cell]] = {}
        benchmarks: list[str] = []
        for run in runs:
            for results in run.results:
                suite = suite_of(results.benchmark)
                benchmarks += [results.benchmark] if results.benchmark not in benchmarks else []
                for name, interval in list(suite.index_metrics(results).items())[:METRICS_PER_SUITE]:
                    count = len(results.per_problem.get(name, ())) or results.num_problems
                    cell = Cell(interval, count, results.unit, suite.has_shares(results))
                    found.setdefault((results.benchmark, name), {})[run.name] = cell
        columns = tuple(sorted(found, key=lambda column: benchmarks.index(column[0])))
        return cls(columns, tuple((run.name, tuple(found[each].get(run.name) for each in columns)) for run in runs))

    @property
    def rows_by_metric(self) -> list[list[str]]:
        """Metrics as rows and runs as columns; for few runs this fits a page better. The first row is the header."""
        names = [name for name, _ in self.rows]
        lines = [["benchmark", "metric", *names]]
        for place, (benchmark, metric) in enumerate(self.columns):
            cells = [cells[place] for _, cells in self.rows]
            lines.append(
                [benchmark, metric, *("" if each is None else f"{each.value} ({each.limits})" for each in cells)]
            )
        return lines
