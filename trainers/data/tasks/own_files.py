"""
Files and data sets of the user's tasks.

A place is the path of a file of JSON lines, which may be compressed, or `hub:NAME` with options, such as
`hub:NAME,split=train,prompt=question`: those of the source `hub`, and columns by what they hold (`FIELDS`).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.complete_files import complete_file
from evaluation.own_task import FIELDS, OwnTask
from trainers.data.sources.hub import HubSource
from trainers.data.sources.json_lines import numbered_json_lines

HUB = "hub:"
HUB_OPTIONS = ("split", "config", "revision", "data_files")
MOST_TOLD = 10


@dataclass(frozen=True)
class FaultyRow:
    """
    A row that is no task.

    Attributes:
        where: File and line, or data set and number of the row.
        reason: The rule that it breaks.
        id: Its `id`; "" where it has none.
    """

    where: str
    reason: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


@dataclass(frozen=True)
class OwnRows:
    """
    The rows of a file or data set.

    Attributes:
        tasks: The tasks, by where they are.
        faulty: Rows that are none.
    """

    tasks: Mapping[str, OwnTask]
    faulty: Sequence[FaultyRow]


def read_rows(place: str) -> OwnRows:
    """
    Read the tasks of a place, and the faults of its other rows.

    Raises:
        ValueError: There is no such file or data set, a line is no JSON object, or there is no row.
    """
    tasks: dict[str, OwnTask] = {}
    faulty: list[FaultyRow] = []
    ids: dict[str, str] = {}
    for where, row in _numbered_rows(place):
        try:
            task = OwnTask.of_row(row)
            if task.id in ids:
                raise ValueError(f"id must be unique, {task.id!r} is also that of {ids[task.id]}")
        except ValueError as error:
            faulty.append(FaultyRow(where, str(error), "" if row.get("id") is None else str(row["id"])))
        else:
            ids[task.id] = where
            tasks[where] = task
    if not tasks and not faulty:
        raise ValueError(f"{place} must hold tasks, got none")
    return OwnRows(tasks, faulty)


def read_own_tasks(place: str) -> dict[str, OwnTask]:
    """Read the tasks of a place, by where they are. Raises `ValueError` with all faulty rows, up to `MOST_TOLD`."""
    rows = read_rows(place)
    if rows.faulty:
        told = "\n".join(map(str, rows.faulty[:MOST_TOLD]))
        more = len(rows.faulty) - MOST_TOLD
        raise ValueError(
            f"{place} must hold a task in each row, {len(rows.faulty)} rows do not:\n{told}"
            + (f"\nand {more} more" if more > 0 else "")
        )
    return dict(rows.tasks)


def split_own_tasks(tasks: Sequence[OwnTask]) -> tuple[list[OwnTask], list[OwnTask]]:
    """
    Return the tasks to train on and those that are held out: by a small hash of their ids, and at least one if there
    are two.
    """
    first = min(tasks, key=lambda task: task.place_in_split) if len(tasks) > 1 else None
    training: list[OwnTask] = []
    held_out: list[OwnTask] = []
    for task in tasks:
        (held_out if task.split == "held_out" or task is first else training).append(task)
    return training, held_out


def write_own_tasks(tasks: Sequence[OwnTask], path: Path) -> None:
    """Write tasks as JSON lines that `read_own_tasks` reads, each with its `split`, which the suite `tasks` reads."""
    held_out = {task.id for task in split_own_tasks(tasks)[1]}
    rows = [task.as_row() | {"split": "held_out" if task.id in held_out else "train"} for task in tasks]
    with complete_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _numbered_rows(place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if place.startswith(HUB):
        yield from _hub_rows(place)
        return
    path = Path(place).expanduser()
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"tasks must be a file of JSON lines, or {HUB}NAME, got {place}, which {state}")
    for number, row in numbered_json_lines(path):
        yield f"{place}, line {number}", row


def _hub_rows(place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    name, *rest = re.split(r",(?=\w+=)", place.removeprefix(HUB))
    options = dict(each.split("=", 1) for each in rest)
    wrong = sorted(set(options) - {*HUB_OPTIONS, *FIELDS})
    if wrong:
        allowed = ", ".join((*HUB_OPTIONS, *FIELDS))
        raise ValueError(f"{HUB}NAME has the options {allowed}, got {wrong[0]!r} in {place!r}")
    source = HubSource(
        name, options.get("split", "train"), options.get("config"), options.get("revision"), options.get("data_files")
    )
    columns = {holds: options[holds] for holds in FIELDS if holds in options}
    for number, row in enumerate(source.stream(), 1):
        lacks = [column for column in columns.values() if column not in row]
        if lacks:
            raise ValueError(f"{name} must have the column {lacks[0]!r}, it has {', '.join(row)}")
        yield f"{name}, row {number}", {holds: row.get(columns.get(holds, holds)) for holds in FIELDS}
