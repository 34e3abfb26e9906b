"""Files of verified rows that can be continued after an interruption.

Candidates come in an order that depends only on the settings, and each has an id. Verified candidates are written in
that order, so the existing rows tell where to continue, and the finished file is the same however often the work was
interrupted.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from evaluation.complete_files import named_in_errors

Candidate = TypeVar("Candidate")
# Maximum number of consecutive candidates that fail verification. If there are more between two rows of a file, the
# file was made with other settings.
MAX_FAILED = 500
BATCH = 512
ROW_START = b'{"id": "'


def check_output(path: Path) -> None:
    """Raise `ValueError` unless a file can be written at `path`."""
    if path.is_dir() or (path.parent.exists() and not path.parent.is_dir()):
        raise ValueError(f"output must be a file that can be written, got {path}")


def read_kept(path: Path) -> list[dict[str, Any]]:
    """
    Return the rows of a file of JSON lines, without a last line that was cut off.

    Raises:
        ValueError: Another line is not a row with an id.
    """
    return [row for row, _ in kept_rows(path)]


def kept_rows(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """
    Yield the complete rows of a file of JSON lines, each with the byte offset of its end; none if there is no file.

    Raises:
        ValueError: A line is neither a row with an id nor, at the end, the beginning of one.
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
    Write a row for each candidate that passes verification, with one batch of candidates in memory at a time.

    Args:
        path: File of JSON lines, new or from an earlier call with the same settings.
        candidates: Always in the same order.
        identify: Returns the id of a candidate's row.
        verify: Returns a row for each candidate, or None if it fails.
        count: Number of rows to write; None takes all candidates.
        batch: Number of candidates to verify together.
        advance: Called with the number of candidates that were just processed, or of rows if there is a `count`.

    Returns:
        Number of rows in the file.

    Raises:
        ValueError: The file holds rows of other candidates, or more than `count` rows.
        OSError: The file cannot be written, for example because the disk is full; names the file.
    """
    there = sum(1 for _ in kept_rows(path))
    if count is not None and there > count:
        raise ValueError(f"{path} holds {there} rows, more than the {count} wanted; choose another file")
    max_failed = math.inf if count is None else MAX_FAILED
    end = 0
    for row, row_end in kept_rows(path):
        passed, end = 0, row_end
        while (candidate := next(candidates, None)) is not None and identify(candidate) != row["id"]:
            passed += 1
            if passed > max_failed:
                break
        if candidate is None or passed > max_failed:
            raise ValueError(f"{path} holds rows of other settings; choose another file, or delete it")
        advance(1 if count is not None else passed + 1)
    kept = there
    path.parent.mkdir(parents=True, exist_ok=True)
    with named_in_errors(path), path.open("ab") as file:
        # Remove a last line that was cut off.
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
