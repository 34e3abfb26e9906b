"""A report in Markdown, made of the results only: each number with the command that measures it."""

from collections.abc import Iterator
from pathlib import Path

from evaluation.pages.html import write_whole
from evaluation.report.page import Report
from evaluation.suites.registry import suite_of
from evaluation.tables import markdown_rows, markdown_table

MARKDOWN = "report.md"


def write_markdown(report: Report, folder: Path) -> Path:
    """Write `report.md`, which shows the plots beside it; return its path."""
    return write_whole(folder / MARKDOWN, "\n\n".join(_parts(report, folder)) + "\n")


def _parts(report: Report, folder: Path) -> Iterator[str]:
    yield f"# {report.title}"
    yield "Headline metrics, with 95 % intervals over the problems and the number of problems."
    yield markdown_rows(report.overview.rows_by_metric)
    for path, words in report.plots.items():
        yield _image(path, words, folder)
    if report.histograms:
        yield "## Loops after which tokens left"
        depth = max(max(each.counts) for each in report.histograms)
        loops = range(1, depth + 1)
        rows = [["results", "benchmark", "tokens", *(f"loop {loop}" for loop in loops)]]
        for each in report.histograms:
            shares = [f"{each.counts.get(loop, 0) / each.total:.1%}" for loop in loops]
            rows.append([each.run, each.benchmark, f"{each.total:,}", *shares])
        yield markdown_rows(rows)
    if report.curves:
        yield "## Metrics by depth"
        rows = [["model", "metric", "loops per token", "value"]]
        for curve in report.curves:
            for loops_per_token, interval in curve.points:
                rows.append([curve.title, curve.metric, f"{loops_per_token:.4g}", str(interval)])
        yield markdown_rows(rows)
    for run in report.runs:
        yield f"## {run.name}"
        for results in run.results:
            suite = suite_of(results.benchmark)
            yield f"### {run.name}: {results.benchmark}"
            yield f"{suite.how_measured(results)}."
            yield markdown_table(suite.table(results))
            for path in report.own_plots.get((run.name, results.benchmark), ()):
                yield _image(path, f"{results.benchmark} of {run.name}", folder)
            if results.command:
                yield f"Measured in {results.seconds:,.0f} s by"
                yield f"```bash\n{results.command}\n```"


def _image(path: Path, words: str, folder: Path) -> str:
    return f"![{words}]({path.relative_to(folder).as_posix().replace(' ', '%20')})"
