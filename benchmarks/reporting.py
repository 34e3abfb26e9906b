"""Options, tables and files that benchmarks share; without PyTorch, so that `--help` answers at once."""

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from evaluation.machine import processor_name
from evaluation.options import CommandParser, HelpFormatter, add_former_name


def machine() -> str:
    """Name of the CPU, with its vector instructions."""
    information = Path("/proc/cpuinfo")
    words = set(information.read_text().split()) if information.exists() else set()
    features = [name for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "asimddp") if name in words]
    return f"{processor_name()} ({', '.join(features) or platform.machine()})"


def documented_command(script: str) -> str:
    """
    Return the command of this process for a page: the script with its arguments, in lines of 100 columns. Absolute
    paths, which are those of this machine, are cut to their last part.
    """
    lines = ["python"]
    arguments = (Path(word).name if word.startswith("/") else word for word in sys.argv[1:])
    for word in map(shlex.quote, [f"benchmarks/{script}", *arguments]):
        if len(lines[-1]) + 1 + len(word) <= 90:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return " \\\n    ".join(lines)


def new_parser(doc: str) -> argparse.ArgumentParser:
    """Make the parser of a benchmark whose module has the given docstring."""
    return CommandParser(description=doc.strip(), formatter_class=HelpFormatter)


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option `--output`, the JSON file to write."""
    output = parser.add_argument("--output", type=Path, default=Path(default), help="JSON file to write")
    add_former_name(parser, "--out", output)


def add_report(parser: argparse.ArgumentParser, example: str) -> None:
    """Add the option `--report`, a Markdown page to write besides."""
    parser.add_argument("--report", type=Path, help=f"Markdown page to write, such as {example} (default: none)")


def write_json(path: Path, content: Any) -> None:
    """Write the results as JSON, and print where they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    print(f"Written to {path}")


def replace_json(path: Path, content: Any) -> None:
    """Write results as JSON in one step, so that a kill leaves the old or the new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=2) + "\n")
    unfinished.replace(path)


def keep_results(folder: Path, patterns: Sequence[str], path: Path) -> None:
    """
    Write JSON files of a folder into one file that stands beside a page, by their names, and print its name.

    A line for each of them, with floats of six digits, so that many results stay small.
    """
    files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
    lines = [
        f"{json.dumps(str(file.relative_to(folder)))}: {json.dumps(_rounded(json.loads(file.read_text())))}"
        for file in files
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"Written to {path}")


def restore_results(path: Path, folder: Path, same: str | None = None) -> None:
    """
    Write the results of `keep_results` that a folder lacks into it, such as those of another machine.

    Args:
        path: The file beside the page; if there is none, nothing is done.
        folder: The folder.
        same: Name of a file of the folder that must be equal in both.

    Raises:
        ValueError: That file differs.
    """
    if not path.exists():
        return
    kept = json.loads(path.read_text())
    if same is not None and kept[same] != json.loads((folder / same).read_text()):
        raise ValueError(
            f"--report must be a new page, or one with results of the same {same}, got a page with {path}, which has "
            f"{kept[same]} instead of {(folder / same).read_text().strip()}: name another page"
        )
    for name, content in kept.items():
        if not (folder / name).exists():
            replace_json(folder / name, content)


def _rounded(content: Any) -> Any:
    """Content of a JSON file with floats of six significant digits."""
    if isinstance(content, dict):
        return {name: _rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content


def results_so_far(output: Path, header: dict[str, Any]) -> dict[str, Any]:
    """
    Return the results that an interrupted measurement has left, or those of a new one, without rows.

    Args:
        output: File of the results.
        header: Fields in which they must agree, such as the device and the version of PyTorch.

    Raises:
        ValueError: The results in the file are of something else.
    """
    if not output.exists():
        return header | {"rows": {}}
    found = json.loads(output.read_text())
    different = [name for name, value in header.items() if found.get(name) != value]
    if different:
        raise ValueError(
            f"--output must be a new file or hold results of the same {', '.join(header)}, got {output} with another "
            f"{', '.join(different)}: name another file or delete it"
        )
    return found


@dataclass(frozen=True)
class Columns:
    """
    A table, for the terminal and for a page.

    Attributes:
        titles: Titles of the columns.
        left: Number of columns, from the left, that hold words; the others hold numbers.
        rows: Cells by row.
    """

    titles: tuple[str, ...]
    left: int
    rows: list[list[str]]

    def rich(self, title: str) -> Table:
        """Return the table for the terminal."""
        table = Table(title=title)
        for index, name in enumerate(self.titles):
            table.add_column(name, justify="left" if index < self.left else "right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return the table in Markdown."""
        rule = ["---" if index < self.left else "---:" for index in range(len(self.titles))]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (self.titles, rule, *self.rows))
