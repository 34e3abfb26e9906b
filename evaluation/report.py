"""Results as tables and plots."""

from pathlib import Path

from rich.console import Console

from evaluation.results import Results
from evaluation.results_folder import read_results
from evaluation.suites.registry import suite_of
from evaluation.tables import print_table


def print_results(console: Console, results: Results, folder: Path) -> None:
    """Print the table of results, draw their plots into `folder`, and say where the files are."""
    suite = suite_of(results.benchmark)
    print_table(console, suite.table(results))
    console.print(f"Results in {folder / results.benchmark}.json", markup=False)
    for path in suite.plots(results, folder):
        console.print(f"Plot in {path}", markup=False)


def report_results(folder: Path, console: Console) -> list[Results]:
    """
    Print all results in a folder and draw their plots, without running anything.

    Raises:
        ValueError: The folder has no results files, or one of them cannot be read.
    """
    found = read_results(folder)
    for results in found:
        print_results(console, results, folder)
    return found
