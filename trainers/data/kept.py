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

Candidate = TypeVar("Candidate")
# Candidates in a row that are not kept, where a number of rows is wanted; more, and the file was made in another way.
MOST_DROPPED = 500


def read_kept(path: Path) -> list[dict[str, Any]]:
    """
    The rows of a file of JSON lines; a last line that was cut off is removed from the file.

    Raises:
        ValueError: Another line is no row with an id.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    rows = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("id"), str):
            raise ValueError(f"{path} must hold rows with an id, one in a line; line {number} has none")
        rows.append(row)
    if whole != content:
        path.write_bytes(whole)
    return rows


def keep_verified(
    path: Path,
    candidates: Iterator[Candidate],
    identify: Callable[[Candidate], str],
    verify: Callable[[Sequence[Candidate]], Sequence[dict[str, Any] | None]],
    count: int | None = None,
    batch: int = 512,
    advance: Callable[[int], None] = lambda done: None,
) -> int:
    """
    Writes a row for each candidate that is verified.

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
    """
    there = read_kept(path)
    if count is not None and len(there) > count:
        raise ValueError(f"{path} holds {len(there)} rows, more than the {count} wanted; choose another file")
    most_dropped = math.inf if count is None else MOST_DROPPED
    for row in there:
        passed = 0
        while (candidate := next(candidates, None)) is not None and identify(candidate) != row["id"]:
            passed += 1
            if passed > most_dropped:
                break
        if candidate is None or passed > most_dropped:
            raise ValueError(f"{path} holds rows of other settings; choose another file, or delete it")
        advance(1 if count is not None else passed + 1)
    kept = len(there)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        while count is None or kept < count:
            chosen = list(islice(candidates, batch if count is None else min(batch, count - kept)))
            if not chosen:
                break
            rows = [row for row in verify(chosen) if row is not None]
            file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
            file.flush()
            kept += len(rows)
            advance(len(rows) if count is not None else len(chosen))
    return kept
