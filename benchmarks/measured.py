"""
Fill the tables of README.md and docs/ with the numbers of the reports about runs, docs/report/*.json.

    python benchmarks/measured.py

A table stands between `<!-- measured: docs/report/NAME.json -->` and `<!-- end -->`. A test fails while it differs
from its report.
"""

import json
import re
from pathlib import Path

from reporting import Columns, new_parser

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- measured: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
METRICS = {
    ("compilation_success_rate", "compiles@1"): "completions that compile, of {count} prompts",
    ("tasks, greedy", "pass@1"): "held-out tasks solved, decoded greedily, of {count}",
    ("tasks, greedy", "pass@1, tier 0"): "the same, tasks of one line, of {count}",
    ("tasks, greedy", "pass@1, held_out_family"): "the same, families of no training task, of {count}",
    ("tasks", "pass@1"): "held-out tasks solved, sampled at temperature 1, of {count}",
    ("tasks", "pass@1, tier 0"): "the same, tasks of one line, of {count}",
    ("humaneval_rust", "pass@1"): "HumanEval-Rust solved, of {count}",
    ("humaneval_rust, sampled", "pass@20"): "the same, by some of 20 samples at temperature 0.6",
    ("perplexity", "bits_per_byte"): "bits per byte of held-out text",
}
"""Metrics of the table, by suite and name, with their words."""


def measured_table(report: Path) -> str:
    """Return the table of a report: a row for each metric, a column for each model of the run."""
    overview = json.loads(report.read_text())["overview"]
    found = {(suite, metric): (count, cells) for suite, metric, count, *cells in overview["rows"]}
    rows = [[words.format(count=found[name][0]), *found[name][1]] for name, words in METRICS.items() if name in found]
    return Columns(("", *overview["titles"][3:]), 1, rows).markdown()


def filled(text: str, root: Path = ROOT) -> str:
    """Return a page with the tables of its reports."""
    return BLOCK.sub(lambda found: found[1] + "\n" + measured_table(root / found[2]) + "\n\n" + found[3], text)


def pages() -> list[Path]:
    """Return the pages that have a table of a report."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [page for page in found if BLOCK.search(page.read_text())]


if __name__ == "__main__":
    new_parser(__doc__).parse_args()
    for page in pages():
        page.write_text(filled(page.read_text()))
        print(f"Written to {page}")
