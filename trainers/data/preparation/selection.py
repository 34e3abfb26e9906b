"""Selection of rows by their difficulty, for a mix with a target distribution."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from trainers.data.difficulty import target_distribution
from trainers.data.preparation.shards import Row, read_rows


def select_by_difficulty(
    shards: Sequence[Path], target: Mapping[str, float], seed: int = 0
) -> tuple[np.ndarray, Table]:
    """
    Choose rows so that the bytes of their code have the target distribution, and as many as possible.

    Args:
        shards: Files of rows with the columns `id`, `code` and `level`.
        target: Share of the bytes by level ("easy", "medium", "hard").
        seed: Of the choice among rows of one level.

    Returns:
        For each row, in the order of the files, whether it is kept; and a table of the shares before and after.

    Raises:
        ValueError: The target is not valid, or one of its levels has no rows.
    """
    selection = target_distribution(_rows(shards), target, seed)
    return np.array([selection.keeps(row) for row in _rows(shards)], dtype=bool), selection.table()


def _rows(shards: Sequence[Path]) -> Iterator[Row]:
    return (row for shard in shards for row in read_rows(shard))
