"""Mixing of data sources by their share of the bytes."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from itertools import count

from trainers.data.sources import Document

MAX_REPEATS = 4
"""Maximum number of times that a small source is repeated; beyond that, the whole mix gets smaller."""


def check_shares(name: str, shares: Mapping[str, float] | None) -> None:
    """Raise `ValueError` unless `shares` is None or maps names of sources to positive numbers."""
    if shares is None:
        return
    is_number = isinstance(shares, Mapping) and all(
        isinstance(share, int | float) and 0 < share < math.inf for share in shares.values()
    )
    if not is_number or not shares:
        raise ValueError(f"{name} must be None or map names of sources to positive shares, got {shares!r}")


def mix_documents(
    rows: Sequence[Document], shares: Mapping[str, float], groups: Mapping[str, Sequence[Document]] | None = None
) -> list[Document]:
    """
    Return documents of the named sources so that each source has its share of the bytes, up to one document.

    The result has as many bytes as these sources together, or fewer if a source would have to be repeated more than
    `MAX_REPEATS` times. The order depends only on the documents, and repetitions are spread out.

    Args:
        rows: Documents of any sources.
        shares: Shares of the bytes by source or group; they do not have to sum to 1.
        groups: Documents of several sources under one name.

    Raises:
        ValueError: A source has no documents.
    """
    by_source: dict[str, list[Document]] = {source: [] for source in shares}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    # In the order of their hashes, so that a part of a group contains a part of each of its sources.
    by_source |= {name: sorted(group, key=lambda row: row.id) for name, group in (groups or {}).items()}
    missing = [source for source in shares if not by_source[source]]
    if missing:
        there = sorted(source for source, found in by_source.items() if found)
        raise ValueError(f"a mix must name existing sources ({', '.join(there)}), got {', '.join(missing)}")
    sizes = {source: sum(_size(row) for row in by_source[source]) for source in shares}
    whole = sum(shares.values())
    total = min(sum(sizes.values()), *(MAX_REPEATS * sizes[each] * whole / shares[each] for each in shares))
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
