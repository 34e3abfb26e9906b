"""Problems from a file or the Hub, read row by row, so that a bad row is named, or left out."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
from datasets import load_dataset
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.utils import get_session

from evaluation.text_files import read_text

HUB_SECONDS = 5.0
HINT = "--skip-bad-rows leaves such rows out"


class Named(Protocol):
    """A problem with a name."""

    @property
    def name(self) -> str:
        """Unique in its suite."""
        ...


AnyProblem = TypeVar("AnyProblem", bound=Named)


class ProblemsMissing(ValueError):
    """There is nothing to read a suite's problems from: no file is given, and the Hub cannot be reached."""


@dataclass(frozen=True)
class HubDataset:
    """
    A dataset on the Hub.

    Attributes:
        repo: Such as "nuprl/MultiPL-E".
        config: Name of the configuration.
        split: Name of the split.
        revision: Commit to read; None for the newest.
        file: The file in the repository with the rows; None reads the split with `datasets`.
    """

    repo: str
    config: str
    split: str = "test"
    revision: str | None = None
    file: str | None = None

    def rows(self) -> list[str] | list[dict[str, Any]]:
        """
        Download the rows, as objects or as their JSON; with HF_HUB_OFFLINE=1 they are taken from the cache.

        Raises:
            OSError: The Hub cannot be reached.
        """
        if not constants.HF_HUB_OFFLINE and not _hub_answers():
            raise OSError("the Hub does not answer; HF_HUB_OFFLINE=1 uses what was downloaded before")
        if self.file is None:
            return list(load_dataset(self.repo, self.config, split=self.split, revision=self.revision))
        return read_lines(
            Path(hf_hub_download(self.repo, self.file, repo_type="dataset", revision=self.revision)),
        )


@cache
def _hub_answers() -> bool:
    """Whether the Hub answers within some seconds: the libraries would try again for minutes."""
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except httpx2.TransportError:
        return False
    return True


@dataclass(frozen=True)
class BadRow:
    """
    A row without a valid problem.

    Attributes:
        row: Its number in the file, from 1.
        name: The problem's name, as far as it has one.
        reason: What is wrong.
    """

    row: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.name}): {self.reason}"


def read_rows(path: Path | None, benchmark: str, suite: str, hub: HubDataset) -> list[str] | list[dict[str, Any]]:
    """
    Read the rows of a benchmark from `path`, else from `BENCHMARK.jsonl.gz` in the folder that NANOCHAT_DATA names,
    else from the Hub.

    Args:
        path: A .jsonl or .jsonl.gz file.
        benchmark: Name of the file in NANOCHAT_DATA.
        suite: Name of the suite, for messages.
        hub: Where the rows are published.

    Raises:
        ProblemsMissing: No file is given, and the Hub cannot be reached.
        ValueError: The file does not exist or cannot be read.
    """
    path = path or data_file(benchmark)
    if path is not None:
        if not path.is_file():
            raise ValueError(f"the problems of {suite} must be a .jsonl or .jsonl.gz file, got {path}")
        return read_lines(path)
    try:
        return hub.rows()
    except OSError as error:
        rows = f"its file {hub.file}" if hub.file else f"the rows of {hub.config} as JSON lines"
        raise ProblemsMissing(
            f"{suite} needs its problems: {hub.repo} on the Hub cannot be reached. Give {rows} with "
            f"--problems {suite}=FILE, or set NANOCHAT_DATA to a folder with {benchmark}.jsonl.gz"
        ) from error


def data_file(benchmark: str) -> Path | None:
    """Return the file of a benchmark in the folder that NANOCHAT_DATA names; None if it is not there."""
    folder = os.environ.get("NANOCHAT_DATA")
    path = Path(folder, f"{benchmark}.jsonl.gz") if folder else None
    return path if path is not None and path.is_file() else None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a .jsonl or .jsonl.gz file that are not blank. Raises `ValueError` if it cannot be read."""
    # Not `splitlines`, which also splits at characters that JSON leaves unescaped.
    return [line for line in read_text(path).split("\n") if line.strip()]


def problems_of(
    rows: Iterable[str | dict[str, Any]],
    make: Callable[[dict[str, Any]], AnyProblem],
    name: str | None,
    skip_bad_rows: bool,
) -> tuple[list[AnyProblem], list[BadRow]]:
    """
    Convert rows into problems.

    Args:
        rows: Objects, or their JSON.
        make: Converts one row; raises `ValueError` where it holds no valid problem.
        name: The column with the problem's name, which must be unique; None where `make` names the problems.
        skip_bad_rows: Leave out bad rows instead of raising.

    Returns:
        The problems, and the rows that were left out.

    Raises:
        ValueError: A row is bad and `skip_bad_rows` is false, or no row is good.
    """
    problems: list[AnyProblem] = []
    bad: list[BadRow] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        called = "without a name"
        try:
            row = json.loads(row) if isinstance(row, str) else row
            if not isinstance(row, dict):
                raise ValueError(f"it must be a JSON object, got {type(row).__name__}")
            called = str(row.get("id", called)) if name is None else text_in(row, name)
            problem = make(row)
            if name is None:
                called = problem.name
            if called in seen:
                raise ValueError("an earlier row has this name")
            problems.append(problem)
            seen.add(called)
        except ValueError as error:
            bad.append(BadRow(number, called, str(error)))
            if not skip_bad_rows:
                raise ValueError(f"{bad[0]}; {HINT}") from error
    if not problems:
        raise ValueError("no row is left" + (f": {bad[0]}" if bad else ", the file is empty"))
    return problems, bad


def text_in(row: dict[str, Any], column: str) -> str:
    """Return the text in a column. Raises `ValueError` where there is none."""
    if not isinstance(row.get(column), str):
        found = type(row[column]).__name__ if column in row else "no such column"
        raise ValueError(f"the column {column} must be a text, got {found}")
    return row[column]
