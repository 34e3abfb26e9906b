"""The HTML page of a report: tables, plots, and the samples of all runs to browse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.pages.html import data_uri, render, write_whole
from evaluation.pages.samples import PackedSamples
from evaluation.report.depths import DepthCurve, ExitHistogram
from evaluation.report.overview import Overview
from evaluation.report.runs import Run
from evaluation.results import Results
from evaluation.suites.registry import suite_of
from evaluation.tables import plain_rows

PAGE = "report.html"
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Report:
    """
    Everything a report shows.

    Attributes:
        title: Title of the report.
        runs: Runs with their results.
        overview: Their headline metrics.
        histograms: Exit loops of sampled tokens.
        curves: Metrics by depth.
        plots: Plots that compare runs, with a description each.
        own_plots: Plots of single results, by the run's name and the benchmark.
        samples: Samples to browse; None if there are none.
    """

    title: str
    runs: Sequence[Run]
    overview: Overview
    histograms: Sequence[ExitHistogram]
    curves: Sequence[DepthCurve]
    plots: Mapping[Path, str]
    own_plots: Mapping[tuple[str, str], Sequence[Path]]
    samples: PackedSamples | None


@dataclass(frozen=True)
class ResultsPart:
    """
    One suite of one run on the page.

    Attributes:
        anchor: Name to link to.
        run, benchmark: Names.
        how: Settings that the numbers depend on, in words.
        rows: Header and rows of the table.
        command: Command that makes the results again; may be empty.
        versions: Versions of compiler and libraries.
        seconds: Wall-clock time.
        plots: Images.
    """

    anchor: str
    run: str
    benchmark: str
    how: str
    rows: Sequence[Sequence[str]]
    command: str
    versions: str
    seconds: float
    plots: Sequence[str]

    @classmethod
    def of(cls, run: Run, results: Results, plots: Sequence[Path]) -> "ResultsPart":
        """Return the part of one suite's results."""
        suite = suite_of(results.benchmark)
        return cls(
            f"{run.name}/{results.benchmark}",
            run.name,
            results.benchmark,
            suite.how_measured(results),
            plain_rows(suite.table(results)),
            results.command,
            ", ".join(f"{name} {version}" for name, version in results.versions.items()),
            results.seconds,
            [image for path in plots if (image := data_uri(path)) is not None],
        )


def write_page(report: Report, folder: Path) -> Path:
    """Write `report.html`, one file that holds all it shows; return its path."""
    parts = [
        ResultsPart.of(run, results, report.own_plots.get((run.name, results.benchmark), ()))
        for run in report.runs
        for results in run.results
    ]
    page = render(
        "results.html",
        [TEMPLATES],
        samples=report.samples,
        title=report.title,
        overview=report.overview,
        parts=parts,
        heads=1 if report.overview.columns else 0,
        plots=[(data_uri(path), words) for path, words in report.plots.items()],
        histograms=report.histograms,
        loops=range(1, 1 + max((max(each.counts) for each in report.histograms), default=0)),
        curves=report.curves,
    )
    return write_whole(folder / PAGE, page)
