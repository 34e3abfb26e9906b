"""Mixing of data sources by their share of the bytes."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from trainers.data.sources import Document

MAX_REPEATS = 4
"""
Maximum number of times that a small source is repeated; beyond that, the whole mix gets smaller. Up to four epochs are
about as good as new text (Muennighoff et al. 2023, arXiv 2305.16264).
"""


def check_shares(name: str, shares: Mapping[str, float] | None) -> None:
    """Raise `ValueError` unless `shares` is None or maps names of sources to positive numbers."""
    if shares is None:
        return
    is_number = isinstance(shares, Mapping) and all(
        isinstance(share, int | float) and 0 < share < math.inf for share in shares.values()
    )
    if not is_number or not shares:
        raise ValueError(f"{name} must be None or map names of sources to positive shares, got {shares!r}")


@dataclass(frozen=True)
class MixPlan:
    """
    How much is taken of each source, so that each has its share of the bytes.

    Attributes:
        sizes: Bytes of each source, read once.
        bytes: Bytes to take of each source, up to one document.
    """

    sizes: Mapping[str, int]
    bytes: Mapping[str, float]

    @property
    def total_bytes(self) -> float:
        """Bytes of the mix."""
        return sum(self.bytes.values())

    @property
    def epochs(self) -> dict[str, float]:
        """Number of times that the mix holds each source, which need not be whole."""
        return {name: wanted / self.sizes[name] for name, wanted in self.bytes.items()}


class Reading(NamedTuple):
    """Place of a document in a mix: its source, its row there, and the number of earlier readings of the source."""

    name: str
    row: int
    repetition: int


@dataclass(frozen=True)
class MixedDocument:
    """
    A document of a mix.

    Attributes:
        document: The document.
        mix: Part of the mix that it belongs to.
        repetition: Number of earlier readings of this document in the mix.
    """

    document: Document
    mix: str
    repetition: int = 0


def plan_mix(sizes: Mapping[str, int], shares: Mapping[str, float]) -> MixPlan:
    """
    Plan a mix in which each source has its share of the bytes.

    The mix has as many bytes as these sources together, or fewer if a source would have to be repeated more than
    `MAX_REPEATS` times.

    Args:
        sizes: Bytes by source. Sources without a share are left out.
        shares: Shares of the bytes by source; they do not have to sum to 1.

    Raises:
        ValueError: A source has no bytes, or a share is not a positive number.
    """
    check_shares("shares", shares)
    missing = [name for name in shares if not sizes.get(name)]
    if missing:
        there = sorted(name for name, size in sizes.items() if size)
        raise ValueError(f"a mix must name existing sources ({', '.join(there)}), got {', '.join(missing)}")
    whole = sum(shares.values())
    most = (MAX_REPEATS * sizes[name] * whole / shares[name] for name in shares)
    total = min(sum(sizes[name] for name in shares), *most)
    return MixPlan({name: sizes[name] for name in shares}, {name: total * shares[name] / whole for name in shares})


def mixed_order(
    plan: MixPlan, ids: Mapping[str, Iterable[str]], sizes: Mapping[str, Iterable[int]]
) -> Iterator[Reading]:
    """
    Yield the documents of a mix in the order of hashes of their ids, so that repetitions are spread out.

    About 50 bytes per reading are kept in memory.

    Args:
        plan: The plan of the mix.
        ids: Id of each document, by source; read once for each repetition. If only a part of a source is taken, it is
            the first one.
        sizes: Bytes of each document, by source.
    """
    import numpy as np  # Settings import this file, and their --help should not wait for NumPy.

    readings: list[np.ndarray] = []
    digests: list[np.ndarray] = []
    for number, (name, wanted) in enumerate(plan.bytes.items()):
        for repetition in count():
            if wanted <= 0:
                break
            keys = bytearray()
            taken = 0
            for identity, size in zip(ids[name], sizes[name], strict=True):
                if wanted <= 0:
                    break
                keys += hashlib.sha256(f"{repetition} {identity}".encode()).digest()
                taken += 1
                wanted -= size
            digests.append(np.frombuffer(bytes(keys), dtype=">u8").reshape(taken, 4))
            rows = np.arange(taken, dtype=np.uint32)
            numbers = np.full(taken, number, dtype=np.uint32)
            readings.append(np.stack([numbers, rows, np.full(taken, repetition, dtype=np.uint32)], axis=1))
    if not readings:
        return
    # The last key is the most significant one. The sort is stable.
    order = np.lexsort(np.concatenate(digests).T[::-1])
    names, chosen = list(plan.bytes), np.concatenate(readings)
    for index in order:
        number, row, repetition = chosen[index].tolist()
        yield Reading(names[number], row, repetition)


def mix_documents(
    rows: Sequence[Document], shares: Mapping[str, float], groups: Mapping[str, Sequence[Document]] | None = None
) -> list[Document]:
    """
    Return documents of the named sources so that each source has its share of the bytes, see [`plan_mix`]. The order
    depends only on the documents.

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
    sizes = {name: [len(row.code.encode()) for row in found] for name, found in by_source.items()}
    plan = plan_mix({name: sum(each) for name, each in sizes.items()}, shares)
    ids = {name: [row.id for row in by_source[name]] for name in shares}
    return [by_source[reading.name][reading.row] for reading in mixed_order(plan, ids, sizes)]
