"""Tables and lines for a terminal or a pipe, in which names and paths are never broken or cut."""

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


def plain_console(stderr: bool = False) -> Console:
    """Return a console that does not wrap lines itself, so that paths and commands stay whole in a pipe."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_table(console: Console, table: Table, prose: Collection[str] = ()) -> None:
    """
    Print a table whose cells stay whole.

    On a terminal the columns with a header in `prose` are folded between words to fit its width; a terminal that is
    still too narrow wraps the lines itself. In a pipe every row is one line. The title is a line above the table.
    """
    whole = console.options.update(max_width=1 << 20)
    for column in table.columns:
        cells = [column.header, *column.cells]
        sizes = [Measurement.get(console, whole, cell) for cell in cells]
        column.no_wrap = not console.is_terminal or column.header not in prose
        column.overflow = "fold"
        column.min_width = max(size.maximum if column.no_wrap else size.minimum for size in sizes)
    needed = Measurement.get(console, whole, table).minimum
    if table.title:
        console.print(Text(str(table.title)), soft_wrap=True, style="bold")
        table.title = None
    table.width = None if console.is_terminal and needed <= console.width else needed
    console.print(table, crop=False)


def plain_rows(table: Table) -> list[list[str]]:
    """Return the header and the rows of a table whose cells are plain text."""
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def markdown_rows(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return rows, of which the first is the header, in Markdown; `right` are the columns aligned at the right."""
    lines = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    rule = ["---:" if column in right else "---" for column in range(len(rows[0]))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [lines[0], rule, *lines[1:]])


def markdown_table(table: Table) -> str:
    """Return a table whose cells are plain text in Markdown, with its title above and its caption below."""
    right = [place for place, column in enumerate(table.columns) if column.justify == "right"]
    parts = [markdown_rows(plain_rows(table), right)]
    if table.title:
        parts.insert(0, f"**{table.title}**")
    if table.caption:
        parts.append(f"{table.caption}.")
    return "\n\n".join(parts)
