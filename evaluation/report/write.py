"""Reports of results: tables in the terminal, plots, Markdown and an HTML page."""

from itertools import chain
from pathlib import Path

from rich.console import Console

from evaluation.pages.samples import pack
from evaluation.report.depths import ExitCounter, depth_curves
from evaluation.report.markdown import write_markdown
from evaluation.report.overview import Overview
from evaluation.report.page import Report, write_page
from evaluation.report.plots import plot_depth_curves, plot_exit_loops, plot_overview
from evaluation.report.runs import Run, read_runs
from evaluation.report.samples import shown_samples
from evaluation.results import Results
from evaluation.suites.registry import suite_of
from evaluation.tables import print_table


def print_results(console: Console, results: Results, folder: Path) -> list[Path]:
    """Print the table of results, plot them into `folder`, say where the files are, and return the plots."""
    suite = suite_of(results.benchmark)
    print_table(console, suite.table(results))
    console.print(f"Results in {folder / results.benchmark}.json", markup=False)
    plots = suite.plots(results, folder)
    for path in plots:
        console.print(f"Plot in {path}", markup=False)
    return plots


def report_results(folder: Path, console: Console) -> list[Run]:
    """
    Print all results in a folder and its subfolders, plot them, and write `report.md` and `report.html`, without
    running anything. Memory grows with the compressed samples.

    Raises:
        ValueError: The folder has no results files, or a file cannot be read.
    """
    runs = read_runs(folder)
    own_plots = {
        (run.name, results.benchmark): print_results(console, results, run.path)
        for run in runs
        for results in run.results
    }
    counter = ExitCounter()
    samples = pack(
        counter.passing(chain.from_iterable(shown_samples(run, results) for run in runs for results in run.results))
    )
    overview, curves, histograms = Overview.of(runs), depth_curves(runs), counter.histograms
    plots = {
        plot_overview(overview, folder): "Headline metrics with 95 % intervals",
        plot_exit_loops(histograms, folder): "Share of the sampled tokens that left after each loop",
        plot_depth_curves(curves, folder): "Metrics by depth, with 95 % intervals",
    }
    report = Report(
        title=f"Evaluation: {folder.resolve().name}",
        runs=runs,
        overview=overview,
        histograms=histograms,
        curves=curves,
        plots={path: words for path, words in plots.items() if path is not None},
        own_plots=own_plots,
        samples=samples if samples.total else None,
    )
    for path in (*report.plots, write_markdown(report, folder), write_page(report, folder)):
        console.print(f"Report in {path}", markup=False)
    return runs
