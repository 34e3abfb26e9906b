"""The held-out part of the rows: decided by hashes, so that a row stays on its side when others are added."""

import numpy as np

from trainers.data.row_index import RowIndex


def split_rows(
    index: RowIndex, rows: np.ndarray, validation_fraction: float, least_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """
    Split rows into those to train on and those to hold out, each in the order of their ids.

    The first `validation_fraction` of all possible keys is held out, and further rows until there are `least_bytes`.
    The files of a crate have one key and stay together, unless all rows are of one crate.

    Args:
        index: The rows.
        rows: Row numbers to split.
        validation_fraction: From 0 to 1.
        least_bytes: Minimum number of bytes to hold out, and to train on.

    Raises:
        ValueError: Too little is left to train on.
    """
    too_little = (
        f"the data must hold several texts, so that at least {least_bytes:,} bytes can be held out and as many be "
        f"trained on, got {index.sizes[rows].sum():,} bytes in {len(rows)} texts"
    )
    if not len(rows):
        raise ValueError(too_little)
    keys = index.split_keys[rows]
    if len(np.unique(keys)) == 1:
        keys = np.array([int(each[:8], 16) for each in index.ids[rows]], dtype=np.uint32)
    by_key = np.lexsort((index.ids[rows], keys))
    keys, order = keys[by_key], rows[by_key]
    sizes = np.cumsum(index.sizes[order].astype(np.int64))
    within = int((keys < int(validation_fraction * 2**32)).sum())
    # The first row that makes it enough is held out as well.
    enough = int(np.searchsorted(sizes, least_bytes)) + 1
    held_out = min(max(within, enough), len(rows))
    held_out = int(np.searchsorted(keys, keys[held_out - 1], side="right"))
    training, validation = order[held_out:], order[:held_out]
    if index.sizes[training].sum() < least_bytes:
        raise ValueError(too_little)
    return index.in_order(training), index.in_order(validation)
