"""A table that a benchmark prints and writes into a page."""

from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Columns:
    """The first `left` columns hold words, the others numbers."""

    titles: tuple[str, ...]
    left: int
    rows: list[list[str]]

    def rich(self, title: str) -> Table:
        """For the terminal."""
        table = Table(title=title)
        for index, name in enumerate(self.titles):
            table.add_column(name, justify="left" if index < self.left else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a page."""
        rule = ["---" if index < self.left else "---:" for index in range(len(self.titles))]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (self.titles, rule, *self.rows))
