"""The data of a training run: sources, licenses, attributions and verdicts, as its preparation recorded them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.tables import markdown_rows
from model_cards.card.run_record import RunRecord
from model_cards.card.training_record import NOT_RECORDED, data_lines
from model_cards.checkpoint import read_json

CORPUS, REPORT, ROWS = "corpus", "report.json", "rows"
VERDICTS = ("compiled", "failed_compile", "invalid", "not_judged")
FIRST_SOURCE = "00-"
"""Beginning of the names of the files with rows of the first source."""


OWN = "own folder (not published)"


def data_parts(run: RunRecord) -> Iterator[str]:
    """Yield the paragraphs and tables about the data of a run; parts of the user's own folder are not named."""
    data, corpus = run.recipe["data"], run.prepared / CORPUS
    lines = data_lines(data, run.prepared)
    yield markdown_rows([["", ""], *([title, words] for title, words in lines.items())])
    if not (corpus / REPORT).is_file():
        yield f"Texts, licenses and attributions by source: {NOT_RECORDED}."
        return
    report = read_json(corpus / REPORT)
    origins = read_origins(corpus, has_own=data.get("data_dir") is not None)
    yield (
        f"The preparation kept {report['rows']:,} texts with {report['bytes'] / 1e6:,.2f} MB. Texts by source, and "
        "the compiler's verdicts. The verdicts also count texts that were left out because of them. A text is not "
        "judged if it needs other files or crates, or if the preparation compiled nothing."
    )
    yield _sources(report, origins.own)
    yield "Texts by license:"
    licenses = _by_size(report["by_license"])
    rows = [[name, f"{part['rows']:,}", f"{part['bytes'] / 1e6:,.2f}"] for name, part in licenses]
    yield markdown_rows([["license", "texts", "MB"], *rows], right=(1, 2))
    yield from _left_out(report)
    listed = "\n".join(origins.lines) or NOT_RECORDED
    yield f"<details><summary>Attributions: every origin with its licenses</summary>\n\n{listed}\n\n</details>"


def _by_size(parts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, Mapping[str, int]]]:
    return sorted(parts.items(), key=lambda pair: (-pair[1]["bytes"], pair[0]))


def _sources(report: Mapping[str, Any], own: Set[str]) -> str:
    rows: dict[str, list[int]] = {}
    for name, part in _by_size(report["by_source"]):
        stats = report["verification"].get(name, dict.fromkeys(VERDICTS, 0))
        rejected = stats["failed_compile"] + stats["invalid"]
        counts = (part["rows"], part["bytes"], stats["compiled"], rejected, stats["not_judged"])
        row = rows.setdefault(OWN if name in own else name, [0] * len(counts))
        row[:] = [before + count for before, count in zip(row, counts, strict=True)]
    lines = [["source", "texts", "MB", "compile", "rejected", "not judged"]]
    for name, (texts, nbytes, *verdicts) in rows.items():
        lines.append([name, f"{texts:,}", f"{nbytes / 1e6:,.2f}", *(f"{count:,}" for count in verdicts)])
    return markdown_rows(lines, right=range(1, 6))


def _left_out(report: Mapping[str, Any]) -> Iterator[str]:
    counts: dict[str, int] = defaultdict(int)
    for source in report["read"].values():
        for reason, count in source["left_out"].items():
            counts[reason] += count
    for reason, count in report["dropped"].items():
        counts[reason] += count
    if counts:
        yield "Texts that were left out:"
        ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        yield markdown_rows([["reason", "texts"], *([reason, f"{count:,}"] for reason, count in ordered)], right=(1,))


@dataclass(frozen=True)
class Origins:
    """
    Where prepared texts come from.

    Attributes:
        lines: Every origin (a crate, or else a source) with its licenses, as a list in Markdown.
        own: Names of the sources in the user's own folder.
    """

    lines: tuple[str, ...]
    own: frozenset[str]


def read_origins(corpus: Path, has_own: bool) -> Origins:
    """
    Read the origins of prepared texts from their rows.

    Args:
        corpus: Folder of the preparation.
        has_own: Whether the first source is the user's own folder, whose parts are not named.
    """
    licenses: dict[str, set[str]] = defaultdict(set)
    texts: dict[str, int] = defaultdict(int)
    own: set[str] = set()
    for shard in sorted((corpus / ROWS).glob("[0-9]*.jsonl")):
        is_own = has_own and shard.name.startswith(FIRST_SOURCE)
        # Not `splitlines`: code may contain other line separators, such as U+2028.
        with shard.open("rb") as file:
            for row in map(json.loads, file):
                origin = OWN if is_own else row["crate"] or row["source"]
                own |= {row["source"]} if is_own else set()
                licenses[origin].add(row["license"])
                texts[origin] += 1
    lines = (f"- {name}: {', '.join(sorted(licenses[name]))} ({texts[name]:,} texts)" for name in sorted(licenses))
    return Origins(tuple(lines), frozenset(own))
