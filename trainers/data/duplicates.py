"""
Near-duplicates: programs that mostly consist of the same sequences of tokens.

The similarity of two programs is the Jaccard index of their sets of shingles, which are five consecutive tokens.
Layout and comments do not count. It is estimated from MinHash signatures (Broder, 1997), and locality-sensitive
hashing finds the few earlier signatures to compare with. Only signatures are kept, so memory grows by about 3 KB for
each document without a duplicate, whatever its size.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from rensa import RMinHash  # ty: ignore[missing-module-member]

from trainers.data.code_tokens import TOKEN, token_hashes, window_hashes

NUM_PERMUTATIONS = 128
SHINGLE = 5
SEED = 1
BANDS, ROWS = 21, 6
"""Documents are compared if all values of one of the bands are equal: 99.8 % of the pairs with a similarity of 0.8."""
SIGNATURE_BYTES = 4 * NUM_PERMUTATIONS


def shingles(code: str) -> np.ndarray:
    """Return the hashes of a program's shingles; of all its tokens together if there are fewer than five."""
    hashes = token_hashes(TOKEN.findall(code))
    hashes = hashes[hashes != 0]
    return window_hashes(hashes, min(SHINGLE, max(len(hashes), 1)))


def signatures(codes: Sequence[str]) -> np.ndarray:
    """
    Return the MinHash signatures of programs.

    Equal programs have equal signatures in every process. Programs that differ in comments and layout only do, too.

    Args:
        codes: Rust programs; they do not have to be complete.

    Returns:
        Array of 32-bit integers, shape `(programs, 128)`. A row is all zero if the program has no tokens.
    """
    found = np.zeros((len(codes), NUM_PERMUTATIONS), np.uint32)
    sets = [shingles(code) for code in codes]
    filled = [index for index, each in enumerate(sets) if len(each)]
    if filled:
        flat = np.concatenate([sets[index] for index in filled])
        ends = list(chain([0], np.cumsum([len(sets[index]) for index in filled]).tolist()))
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(flat, ends, NUM_PERMUTATIONS, SEED)
        found[filled] = matrix.to_rows()
    return found


class NearDuplicates:
    """
    The documents so far, among which those similar to a new one are found.

    Of similar documents the first is kept. The others are not remembered: a document is a duplicate only if it is
    similar to one that was kept.

    Args:
        threshold: Estimated similarity from which documents are duplicates. The standard error is at most 0.044.

    Raises:
        ValueError: The threshold is out of range.
    """

    def __init__(self, threshold: float = 0.8):
        if not 0.5 <= threshold <= 1:
            raise ValueError(f"threshold must be from 0.5 to 1, got {threshold}")
        self.threshold = threshold
        self._ids: list[str] = []
        self._signatures = np.zeros((1024, NUM_PERMUTATIONS), np.uint32)
        # A position, or a list of several.
        self._bands: dict[int, int | list[int]] = {}

    def __len__(self) -> int:
        """Number of documents that were kept."""
        return len(self._ids)

    def find(self, signature: np.ndarray, id: str) -> str | None:
        """
        Return the id of the most similar earlier document if the new one is its duplicate. Otherwise remember the new
        one and return None. A program without tokens is never a duplicate.

        Args:
            signature: Row of `signatures`, shape `(128,)`.
            id: Id of the new document.
        """
        if not signature.any():
            return None
        keys = band_keys(signature)
        candidates: set[int] = set()
        for key in keys:
            there = self._bands.get(key)
            if there is not None:
                candidates.update((there,) if isinstance(there, int) else there)
        if candidates:
            # Sorted, so that of equally similar documents the first is found.
            positions = np.array(sorted(candidates))
            equal = (self._signatures[positions] == signature).mean(axis=1)
            best = int(equal.argmax())
            if equal[best] >= self.threshold:
                return self._ids[positions[best]]
        self._remember(signature, id, keys)
        return None

    def _remember(self, signature: np.ndarray, id: str, keys: list[int]) -> None:
        position = len(self._ids)
        if position == len(self._signatures):
            self._signatures = np.concatenate([self._signatures, np.zeros_like(self._signatures)])
        self._signatures[position] = signature
        self._ids.append(id)
        for key in keys:
            there = self._bands.setdefault(key, position)
            if isinstance(there, list):
                there.append(position)
            elif there != position:
                self._bands[key] = [there, position]


def band_keys(signature: np.ndarray) -> list[int]:
    """Return a hash of each band of a signature."""
    bands = signature[: BANDS * ROWS].astype(np.uint64).reshape(BANDS, ROWS)
    keys = np.arange(BANDS, dtype=np.uint64)
    for row in range(ROWS):
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += bands[:, row]
        keys ^= keys >> np.uint64(29)
    return keys.tolist()
