"""Tables and lines for a terminal or a pipe, in which names and paths are never broken or cut."""

from collections.abc import Collection

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


def markdown_table(table: Table) -> str:
    """Return a table whose cells are plain text in Markdown, with its title above and its caption below."""
    columns = [[str(cell).replace("|", "\\|") for cell in column.cells] for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    rows = [[str(column.header) for column in table.columns], rules, *zip(*columns, strict=True)]
    parts = ["\n".join("| " + " | ".join(row) + " |" for row in rows)]
    if table.title:
        parts.insert(0, f"**{table.title}**")
    if table.caption:
        parts.append(f"{table.caption}.")
    return "\n\n".join(parts)
