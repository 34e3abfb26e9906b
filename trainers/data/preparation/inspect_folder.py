"""Packed blocks and rows of a prepared data set, for people who look at it."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from evaluation.tables import markdown_table
from trainers.data.manifest import MANIFEST_FILE, check_manifest
from trainers.data.preparation.report import Report, benchmark_lines, read_command
from trainers.data.preparation.shards import read_rows, shard_paths

ROWS = "rows"


def block_table(folder: Path) -> Table:
    """
    Return a table of the packed blocks below a folder, after checking each against its manifest.

    Raises:
        ValueError: A file is damaged or missing.
    """
    table = Table(title="Packed blocks")
    for column in ("folder", "blocks", "tokens per block", "tokens", "documents", "MB of text", "fim rate", "masked"):
        table.add_column(column, justify="left" if column == "folder" else "right")
    for path in sorted(folder.rglob(MANIFEST_FILE)):
        manifest = check_manifest(path.parent)
        total, settings = manifest.total, manifest.settings
        table.add_row(
            path.parent.relative_to(folder).as_posix(),
            f"{manifest.blocks:,}",
            f"{settings.seq_len:,}",
            f"{total.tokens:,}",
            f"{total.documents:,}",
            f"{total.bytes / 1e6:,.2f}",
            f"{settings.fim_rate:g}",
            "yes" if settings.document_masking else "no",
        )
    return table


def inspection_page(corpus: Path, report: Report, tables: Sequence[Table]) -> str:
    """Return the tables of a prepared data set as a page in Markdown, with the command that made it."""
    lines = "\n".join(f"- {line}" for line in benchmark_lines(report))
    parts = [
        "# A prepared data set",
        f"Made by\n\n```bash\n{read_command(corpus)}\n```\n\nand shown by `nanochat-ternary data inspect`.",
        *(markdown_table(table) for table in tables if table.row_count),
        f"**Benchmarks**\n\n{lines}",
    ]
    return "\n\n".join(parts) + "\n"


def sample_rows(corpus: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """Return some rows, chosen at random but always the same ones, without holding all rows in memory."""
    choice = random.Random(seed)
    chosen: list[dict[str, Any]] = []
    rows = (row for shard in shard_paths(corpus / ROWS) for row in read_rows(shard))
    for number, row in enumerate(rows):
        if number < count:
            chosen.append(row)
        elif (place := choice.randrange(number + 1)) < count:
            chosen[place] = row
    return chosen
