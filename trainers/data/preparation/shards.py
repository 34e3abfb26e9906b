"""
Shards: files of JSON lines with about the same number of bytes each, so that workers can share the work.

A shard is written whole or not at all. Equal rows give equal bytes.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evaluation.complete_files import complete_file

Row = dict[str, Any]
SHARD_BYTES = 2_000_000
"""Bytes of code after which a shard ends: some hundred files, which the compiler checks in a minute or less."""


def shard_path(folder: Path, index: int) -> Path:
    """Return the path of a shard by its number."""
    return folder / f"{index:05}.jsonl"


def shard_paths(folder: Path) -> list[Path]:
    """Return the shards of a folder in their order."""
    return sorted(folder.glob("[0-9]*.jsonl"))


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a file of JSON lines, whole or not at all. Raises `OSError`, which names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of JSON lines. Raises `ValueError`, which names the line, if the file is damaged."""
    # Not `splitlines`: code may contain other line separators, such as U+2028.
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            yield _parsed(line, f"{path}, line {number}")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file. Raises `ValueError`, which names the file, if it is damaged."""
    return _parsed(path.read_bytes(), str(path))


def _parsed(text: bytes, place: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"{place} is damaged, prepare the data again: it must hold JSON, got {text[:60]!r}"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all. Raises `OSError`, which names the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shards_of(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of at least `SHARD_BYTES` of code each, except for the last one."""
    shard: list[Row] = []
    size = 0
    for row in rows:
        shard.append(row)
        size += len(row["code"].encode())
        if size >= SHARD_BYTES:
            yield shard
            shard, size = [], 0
    if shard:
        yield shard
