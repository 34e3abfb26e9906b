"""How much of each source a stage reads."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import count

from trainers.data.sources import Document

MOST_READINGS = 4
"""A scarce source is repeated at most so often; what is then still missing, all sources give up."""


def check_shares(name: str, shares: Mapping[str, float] | None) -> None:
    """Raises `ValueError` unless `shares` is None or holds positive numbers by the sources' names."""
    if shares is None:
        return
    is_number = isinstance(shares, Mapping) and all(
        isinstance(share, int | float) and 0 < share < math.inf for share in shares.values()
    )
    if not is_number or not shares:
        raise ValueError(f"{name} must be None or positive shares by the sources' names, got {shares!r}")


def mix_documents(
    rows: Sequence[Document], shares: Mapping[str, float], groups: Mapping[str, Sequence[Document]] | None = None
) -> list[Document]:
    """
    Rows of the named sources, so that each source holds its share of the bytes, up to one text.

    There are as many bytes as in these sources together, or fewer when a source would have to be read more than
    `MOST_READINGS` times. The order depends on the rows alone, and repetitions lie apart.

    Args:
        rows: Of any sources.
        shares: Of the bytes, by source or group; they need not sum to 1.
        groups: Rows of several sources under one name.

    Raises:
        ValueError: A source has no rows.
    """
    by_source: dict[str, list[Document]] = {source: [] for source in shares}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    # In the order of their hashes: a part of a group is then a part of each of its sources.
    by_source |= {name: sorted(group, key=lambda row: row.id) for name, group in (groups or {}).items()}
    missing = [source for source in shares if not by_source[source]]
    if missing:
        there = sorted(source for source, found in by_source.items() if found)
        raise ValueError(f"a mix must name sources that there are ({', '.join(there)}), got {', '.join(missing)}")
    sizes = {source: sum(_size(row) for row in by_source[source]) for source in shares}
    whole = sum(shares.values())
    total = min(sum(sizes.values()), *(MOST_READINGS * sizes[each] * whole / shares[each] for each in shares))
    chosen: list[tuple[str, Document]] = []
    for source, share in shares.items():
        missing_bytes = total * share / whole
        for reading in count():
            for row in by_source[source]:
                if missing_bytes <= 0:
                    break
                chosen.append((hashlib.sha256(f"{reading} {row.id}".encode()).hexdigest(), row))
                missing_bytes -= _size(row)
            if missing_bytes <= 0:
                break
    return [row for _, row in sorted(chosen, key=lambda pair: pair[0])]


def _size(row: Document) -> int:
    return len(row.code.encode())
