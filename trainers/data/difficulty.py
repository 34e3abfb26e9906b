"""
A target distribution of the difficulty: the shares of the bytes that are easy, medium and hard.

Rows are read twice. The first pass adds up the bytes of each level in 65,536 ranges of a hash of the row's id. These
sums tell up to which range the rows of a level are kept, so memory is constant, and a share is missed by less than one
range, or by one row if that is larger. The second pass asks about each row. Whether a row is kept depends only on its
id, its level and the sums: not on the order of the rows, and not on the process that asks.
"""

import hashlib
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from rich.table import Table

from evaluation.rust.syntax.analysis import Level

LEVELS: tuple[Level, ...] = get_args(Level)
DEFAULT_TARGET: Mapping[str, float] = {"easy": 0.3, "medium": 0.5, "hard": 0.2}
RANGES = 1 << 16
WARN_BELOW = 0.5
"""A warning says which level is too small if less than this share of the bytes can be kept."""


@dataclass(frozen=True)
class DifficultySelection:
    """
    The rows to keep for a target distribution.

    Attributes:
        seed: Of the choice among rows of one level.
        target: Share of the bytes by level; the shares sum to 1.
        available: Bytes by level before the selection.
        kept: Bytes by level after it.
        limits: By level, the first hash that is not kept, from 0 to 65,536.
    """

    seed: int
    target: Mapping[Level, float]
    available: Mapping[Level, int]
    kept: Mapping[Level, int]
    limits: Mapping[Level, int]

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is kept; see `target_distribution` for its columns."""
        return _range_of(row["id"], self.seed) < self.limits[_level_of(row)]

    @property
    def achieved(self) -> dict[Level, float]:
        """Share of the kept bytes by level."""
        total = sum(self.kept.values())
        return {level: size / total for level, size in self.kept.items()}

    @property
    def scarcest(self) -> Level:
        """The level that limits how much can be kept."""
        return min(
            (level for level in LEVELS if self.target[level]),
            key=lambda level: self.available[level] / self.target[level],
        )

    def table(self) -> Table:
        """Return bytes and shares by level, before and after."""
        total = sum(self.available.values())
        table = Table("level", "before", "share", "kept", "share", "target", title="Difficulty, in bytes of code")
        for level in LEVELS:
            table.add_row(
                level,
                f"{self.available[level]:,}",
                f"{self.available[level] / total:.1%}",
                f"{self.kept[level]:,}",
                f"{self.achieved[level]:.1%}",
                f"{self.target[level]:.1%}",
            )
        return table


def target_distribution(
    rows: Iterable[Mapping[str, Any]], target: Mapping[str, float] = DEFAULT_TARGET, seed: int = 0
) -> DifficultySelection:
    """
    Choose rows so that the bytes of their code have the target distribution, and as many as possible.

    Args:
        rows: Rows with the columns `id`, `code` and `level`; read once.
        target: Share of the bytes by level. A level that is not named is left out; shares that do not sum to 1 are
            divided by their sum.
        seed: Of the choice among rows of one level.

    Returns:
        The selection, whose `keeps` is asked about each row.

    Raises:
        ValueError: The target is not valid, a row has another level, or a level of the target has no rows.
    """
    shares = _checked(target)
    sizes = {level: np.zeros(RANGES, np.int64) for level in LEVELS}
    for row in rows:
        sizes[_level_of(row)][_range_of(row["id"], seed)] += len(row["code"].encode("utf-8", "surrogatepass"))
    available = {level: int(sizes[level].sum()) for level in LEVELS}
    empty = [level for level in LEVELS if shares[level] and not available[level]]
    if empty:
        raise ValueError(
            f"a target of the difficulty must name levels that rows have; there is no row that is {', '.join(empty)}"
        )
    total = min(available[level] / shares[level] for level in LEVELS if shares[level])
    # The last range of the scarcest level is kept in spite of rounding.
    sums = {level: np.cumsum(sizes[level]) for level in LEVELS}
    limits = {
        level: int(np.searchsorted(sums[level], shares[level] * total * (1 + 1e-12), side="right"))
        if shares[level]
        else 0
        for level in LEVELS
    }
    kept = {level: int(sums[level][limits[level] - 1]) if limits[level] else 0 for level in LEVELS}
    found = DifficultySelection(seed, shares, available, kept, limits)
    share = sum(kept.values()) / sum(available.values())
    if share < WARN_BELOW:
        scarcest = found.scarcest
        warnings.warn(
            f"the target of {shares[scarcest]:.0%} {scarcest} keeps only {share:.1%} of the bytes, because only "
            f"{available[scarcest]:,} bytes are {scarcest}",
            stacklevel=2,
        )
    return found


def check_target(name: str, target: Mapping[str, float]) -> None:
    """Raise `ValueError`, which begins with `name`, unless the target maps levels to shares, one of them above 0."""
    valid = target and all(
        level in LEVELS and isinstance(share, int | float) and 0 <= share < math.inf for level, share in target.items()
    )
    if not valid or not sum(target.values()):
        raise ValueError(f"{name} must map {', '.join(LEVELS)} to shares that are not negative, got {dict(target)!r}")


def _checked(target: Mapping[str, float]) -> dict[Level, float]:
    check_target("target", target)
    whole = sum(target.values())
    return {level: target.get(level, 0) / whole for level in LEVELS}


def _level_of(row: Mapping[str, Any]) -> Level:
    if row["level"] not in LEVELS:
        raise ValueError(f"level must be one of {', '.join(LEVELS)}, got {row['level']!r} in row {row['id']}")
    return row["level"]


def _range_of(id: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {id}".encode(), digest_size=2).digest(), "little")
