"""Rows of a benchmark's file: read one by one, so that a bad one is named, or left out."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evaluation.text_files import read_text

Problem = TypeVar("Problem")
HINT = "--skip-bad-rows leaves such rows out"


class ProblemsMissing(ValueError):
    """A benchmark has nothing to read its problems from: no file was named, and the Hub cannot be reached."""


@dataclass(frozen=True)
class BadRow:
    """
    A row without a problem.

    Attributes:
        row: Its number in the file, from 1.
        name: As far as it has one.
        reason: What is wrong.
    """

    row: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.name}): {self.reason}"


def read_lines(path: Path) -> list[str]:
    """The lines of a file (.jsonl or .jsonl.gz) that are not blank. Raises `ValueError` if it cannot be read."""
    # Not `splitlines`: JSON leaves some of the characters that it takes for ends of lines as they are.
    return [line for line in read_text(path).split("\n") if line.strip()]


def problems_of(
    rows: Iterable[str | dict[str, Any]], make: Callable[[dict[str, Any]], Problem], name: str, skip_bad_rows: bool
) -> tuple[list[Problem], list[BadRow]]:
    """
    The problem of each row, and the rows that were left out.

    Args:
        rows: Objects, or their JSON.
        make: The problem of a row; raises `ValueError` or `KeyError` where it has none.
        name: The column with the problem's name, which no two rows share.
        skip_bad_rows: Leave them out.

    Raises:
        ValueError: There are bad rows that are not to be left out, or no others.
    """
    problems: list[Problem] = []
    bad: list[BadRow] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        called = "without a name"
        try:
            row = json.loads(row) if isinstance(row, str) else row
            if not isinstance(row, dict):
                raise ValueError(f"it must be a JSON object, got {type(row).__name__}")
            called = text_in(row, name)
            if called in seen:
                raise ValueError("an earlier row has this name")
            problems.append(make(row))
            seen.add(called)
        except ValueError as error:
            bad.append(BadRow(number, called, str(error)))
            if not skip_bad_rows:
                raise ValueError(f"{bad[0]}; {HINT}") from error
    if not problems:
        raise ValueError("no row is left" + (f": {bad[0]}" if bad else ", the file is empty"))
    return problems, bad


def text_in(row: dict[str, Any], column: str) -> str:
    """The text in a column. Raises `ValueError` where there is none."""
    if not isinstance(row.get(column), str):
        found = type(row[column]).__name__ if column in row else "no such column"
        raise ValueError(f"the column {column} must be a text, got {found}")
    return row[column]
