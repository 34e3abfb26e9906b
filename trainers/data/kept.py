"""A file of verified rows that grows candidate by candidate, and after a kill goes on where it ended.

Candidates come in an order that depends on the settings alone, and each has its id. What is verified is written in
that order, so the rows that are there tell where to go on, and the finished file is the same however often the work
was interrupted.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evaluation.complete_files import named_in_errors

Candidate = TypeVar("Candidate")
# Candidates in a row that are not kept, where a number of rows is wanted; more, and the file was made in another way.
MOST_DROPPED = 500
BATCH = 512
ROW_START = b'{"id": "'


def read_kept(path: Path) -> list[dict[str, Any]]:
    """
    The rows of a file of JSON lines, without a last line that was cut off.

    Raises:
        ValueError: Another line is no row with an id.
    """
    return [row for row, _ in kept_rows(path)]


def kept_rows(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """
    The whole rows of a file of JSON lines, each with the number of bytes up to its end; none where there is no file.

    Raises:
        ValueError: A line is no row with an id, nor the beginning of one that was cut off.
    """
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            whole = line.endswith(b"\n")
            if not whole and line[: len(ROW_START)] == ROW_START[: len(line)]:
                return
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not whole or not isinstance(row, dict) or not isinstance(row.get("id"), str):
                raise ValueError(f"{path} must hold rows with an id, one in a line; line {number} has none")
            end += len(line)
            yield row, end


def keep_verified(
    path: Path,
    candidates: Iterator[Candidate],
    identify: Callable[[Candidate], str],
    verify: Callable[[Sequence[Candidate]], Sequence[dict[str, Any] | None]],
    count: int | None = None,
    batch: int = BATCH,
    advance: Callable[[int], None] = lambda done: None,
) -> int:
    """
    Writes a row for each candidate that is verified; holds one batch of them in memory.

    Args:
        path: A file of JSON lines, new or of an earlier call with the same settings.
        candidates: In an order of their own.
        identify: The id of a candidate's row.
        verify: A row for each, or None for what is not to be kept.
        count: Rows wanted; None takes all candidates.
        batch: Candidates verified together.
        advance: Is told how many candidates, or rows if there is a `count`, were done.

    Returns:
        How many rows the file has.

    Raises:
        ValueError: The file holds other rows than these candidates', or more than are wanted.
        OSError: The file cannot be written, for example for want of room; names it.
    """
    there = sum(1 for _ in kept_rows(path))
    if count is not None and there > count:
        raise ValueError(f"{path} holds {there} rows, more than the {count} wanted; choose another file")
    most_dropped = math.inf if count is None else MOST_DROPPED
    end = 0
    for row, row_end in kept_rows(path):
        passed, end = 0, row_end
        while (candidate := next(candidates, None)) is not None and identify(candidate) != row["id"]:
            passed += 1
            if passed > most_dropped:
                break
        if candidate is None or passed > most_dropped:
            raise ValueError(f"{path} holds rows of other settings; choose another file, or delete it")
        advance(1 if count is not None else passed + 1)
    kept = there
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_in_errors(path), path.open("ab") as file:
        # A line that was cut off.
        file.truncate(end)
    while count is None or kept < count:
        chosen = list(islice(candidates, batch if count is None else min(batch, count - kept)))
        if not chosen:
            break
        rows = [row for row in verify(chosen) if row is not None]
        with named_in_errors(path), path.open("ab") as file:
            file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
        kept += len(rows)
        advance(len(rows) if count is not None else len(chosen))
    return kept
