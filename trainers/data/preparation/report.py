"""The report of a preparation as tables: rows by step, by source, by crate status, and by column."""

import json
import resource
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from trainers.data.preparation.inputs import INPUTS
from trainers.data.preparation.shards import read_json, write_json
from trainers.data.preparation.statistics import SourceStats

REPORT, USAGE = "report.json", "usage.json"
CORPUS = "corpus"
COMMAND = "command.txt"
Report = Mapping[str, Any]


def find_corpus(folder: Path) -> Path:
    """
    Return the folder of the rows in the folder of a prepared data set, or of a run.

    Raises:
        ValueError: There is none, or its preparation is not finished.
    """
    for place in (folder / "prepare" / CORPUS, folder / CORPUS, folder):
        # A trained run has a file of the same name, which is the report of the training.
        if (place / REPORT).is_file() and (place / INPUTS).is_file():
            return place
    started = (folder / "next" / "prepare" / CORPUS, folder / "prepare" / CORPUS, folder / CORPUS, folder)
    if any((place / INPUTS).is_file() for place in started):
        raise ValueError(f"{folder} holds a preparation that is not finished; continue it with --resume")
    raise ValueError(f"DIR must be the folder of a prepared data set or of a run, got {folder}, which has no {REPORT}")


def read_report(folder: Path) -> Report:
    """
    Read the report of a finished preparation.

    Raises:
        ValueError: The folder has none.
    """
    path = folder / REPORT
    if not path.is_file():
        raise ValueError(f"{folder} holds no finished preparation: {REPORT} is missing")
    return read_json(path)


def keep_command(folder: Path) -> None:
    """Keep the command of this process in the folder of a new preparation, for its card."""
    program = Path(sys.argv[0])
    name = [program.name] if program.name != "__main__.py" else ["python", "-m", program.parent.name]
    (folder / COMMAND).write_text(shlex.join([*name, *sys.argv[1:]]) + "\n", encoding="utf-8")


def read_command(folder: Path) -> str:
    """Return the command that made a preparation."""
    path = folder / COMMAND
    return path.read_text(encoding="utf-8").strip() if path.is_file() else "# the command was not recorded"


@dataclass
class Usage:
    """
    Time and memory that a preparation took, summed over all calls that worked on it.

    Attributes:
        seconds: Seconds by step; "in rustc" is the time of all compilers during the step "verify".
        peak_bytes: Largest memory of a process, of this one or of a worker.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0

    @classmethod
    def read(cls, folder: Path) -> "Usage":
        """Return the usage that was kept in a folder; nothing if it is not known."""
        path = folder / USAGE
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else cls()

    def add(self, step: str, seconds: float) -> None:
        """Add seconds to a step."""
        self.seconds[step] = round(self.seconds.get(step, 0.0) + seconds, 2)

    def write(self, folder: Path) -> None:
        """Keep the usage in a folder."""
        # The unit of ru_maxrss is KiB on Linux.
        peaks = [resource.getrusage(who).ru_maxrss << 10 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        self.peak_bytes = max(self.peak_bytes, *peaks)
        write_json(folder / USAGE, vars(self))


def report_tables(report: Report, usage: Usage) -> list[Table]:
    """Return the tables of a report, in the order in which they are read."""
    return [
        steps_table(report, usage),
        reading_table(report),
        verification_table(report),
        counts_table("Crates that were checked as a whole, by status", report["crates"]),
        *(shares_table(f"Rows by {name}", report[f"by_{name}"]) for name in ("mix", "level", "license", "source")),
    ]


def steps_table(report: Report, usage: Usage) -> Table:
    """Return rows in and out of each step, with its time."""
    seconds = usage.seconds
    documents = sum(each["documents"] for each in report["read"].values())
    left_out = sum(sum(each["left_out"].values()) for each in report["read"].values())
    dropped = sum(report["dropped"].values())
    steps = (
        ("read", documents + left_out, documents),
        ("inspect", documents, documents - dropped),
        ("check crates", sum(report["crates"].values()), report["crates"].get("valid", 0)),
        ("verify", documents - dropped, report["rows"]),
    )
    table = _table("Steps", "step", "rows in", "rows out", "seconds", "rows per second")
    for name, rows_in, rows_out in steps:
        took = seconds.get(name, 0.0)
        speed = f"{rows_in / took:,.1f}" if took else "-"
        _add(table, name, f"{rows_in:,}", f"{rows_out:,}", f"{took:,.1f}", speed)
    if seconds.get("verify") and "in rustc" in seconds:
        share = seconds["in rustc"] / seconds["verify"]
        table.caption = (
            f"rustc took {seconds['in rustc']:,.0f} s of the step verify, {share:.2f} compilers at a time; the "
            f"largest process had {usage.peak_bytes / 1e9:.2f} GB of memory"
        )
    return table


def reading_table(report: Report) -> Table:
    """Return the documents of each source, and what was left out."""
    table = _table("Sources", "source", "documents", "MB", "left out")
    for name, each in report["read"].items():
        left_out = ", ".join(f"{count:,} {reason}" for reason, count in _by_count(each["left_out"]))
        _add(table, name, f"{each['documents']:,}", f"{each['bytes'] / 1e6:,.2f}", left_out or "-")
    for what, count in report["dropped"].items():
        _add(table, "", f"-{count:,}", "", what)
    return table


def verification_table(report: Report) -> Table:
    """Return the outcomes of verification by source."""
    columns = ("source", "rows", "verified", "by crate", "rejected", "unparsable", "not judged", "compile rate")
    table = _table("Verification", *columns, "most frequent reasons")
    for source, each in report["verification"].items():
        stats = SourceStats.from_json(each)
        counts = (stats.total, stats.compiled, stats.by_crate, stats.failed_compile, stats.invalid, stats.not_judged)
        rate = "-" if stats.compile_rate is None else f"{stats.compile_rate:.1%}"
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in stats.reasons.most_common(3))
        _add(table, source, *(f"{count:,}" for count in counts), rate, reasons)
    table.caption = (
        f"{report['negatives']:,} rejected rows are kept with the compiler's messages, {report['negatives_fixed']:,} "
        "of them with a fixed version"
    )
    return table


def benchmark_lines(report: Report) -> list[str]:
    """Return which benchmarks were searched for, what was found, and how well the search works, as lines."""
    benchmarks = report["benchmarks"]
    documents = sum(each["documents"] for each in report["read"].values())
    dropped = sum(count for what, count in report["dropped"].items() if what.startswith("benchmark "))
    found = [f"{name}: in {count:,} documents" for name, count in _by_count(benchmarks["matches"])]
    found.append(f"left out: {dropped:,} of {documents:,} documents ({dropped / documents:.2%})")
    return [*benchmarks["coverage"], *benchmarks["controls"], *found]


def counts_table(title: str, counts: Mapping[str, int]) -> Table:
    """Return counts, the largest first."""
    table = _table(title, "status", "count")
    for name, count in _by_count(counts):
        _add(table, name, f"{count:,}")
    return table


def shares_table(title: str, parts: Mapping[str, Mapping[str, int]], most: int = 20) -> Table:
    """Return rows and bytes by a column, the largest first."""
    table = _table(title, "value", "rows", "MB", "share")
    whole = sum(part["bytes"] for part in parts.values())
    ordered = sorted(parts.items(), key=lambda pair: (-pair[1]["bytes"], pair[0]))
    for name, part in ordered[:most]:
        share = part["bytes"] / whole if whole else 0.0
        _add(table, name, f"{part['rows']:,}", f"{part['bytes'] / 1e6:,.2f}", f"{share:.1%}")
    if len(ordered) > most:
        table.caption = f"and {len(ordered) - most:,} more"
    return table


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _add(table: Table, *cells: str) -> None:
    # Not as text with markup: names of folders may have brackets.
    table.add_row(*map(Text, cells))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    words = {"step", "source", "status", "value", "left out", "most frequent reasons"}
    for column in columns:
        table.add_column(column, justify="left" if column in words else "right")
    return table
