"""The checklist of a publication, as a table with the commands that fill its gaps."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evaluation.tables import print_table
from model_cards.checklist.items import DONE, MISSING, NOT_POSSIBLE, WRONG, Finding, Item, Subject, check_items

STYLES = {DONE: "green", MISSING: "yellow", WRONG: "bold red", NOT_POSSIBLE: "dim"}


def show_checklist(console: Console, folder: Path, results: Sequence[Path], gguf: bool = True) -> bool:
    """
    Print what a model has, lacks, or has wrongly for a publication, and the steps that fill the gaps. Nothing is
    written or sent.

    Args:
        console: To print to.
        folder: Where the model is saved.
        results: Results files of the model, or folders with results files.
        gguf: Whether GGUF files are to be published.

    Returns:
        Whether everything that is possible is done.

    Raises:
        ValueError: There is no model at `folder`.
        FileNotFoundError: A folder of results does not exist.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"model must be the folder of a saved model, got {folder}, which has no config.json")
    for place in results:
        if not place.exists():
            raise FileNotFoundError(f"results must be folders of results files, got {place}, which does not exist")
    found = check_items(Subject(folder, tuple(results), gguf))
    print_table(console, _table(found, folder))
    gaps: dict[str, list[str]] = {}
    for item, finding in found:
        if finding.command:
            gaps.setdefault(finding.command, []).append(item.name)
    for command, names in gaps.items():
        console.print(f"To get {', '.join(names)}:\n    {command}", markup=False, soft_wrap=True)
    return all(finding.status in (DONE, NOT_POSSIBLE) for _, finding in found)


def _table(found: Sequence[tuple[Item, Finding]], folder: Path) -> Table:
    counts = [f"{count} {status}" for status in STYLES if (count := sum(each.status == status for _, each in found))]
    table = Table(title=f"Publication of {folder}: {', '.join(counts)}", title_justify="left")
    for column in ("part", "item", "", "details"):
        table.add_column(column)
    for group, items in groupby(found, key=lambda each: each[0].group):
        for number, (item, finding) in enumerate(items):
            status = Text(finding.status, STYLES[finding.status])
            table.add_row(group if number == 0 else "", item.name, status, Text(finding.note))
        table.add_section()
    return table
