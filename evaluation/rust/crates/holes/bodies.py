"""Bodies that wait for a verdict, and which of them are compiled together."""

from dataclasses import dataclass

from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.verdict import CodeMetadata

BATCH_BODIES = 128


@dataclass(frozen=True)
class Body:
    """A candidate body without a verdict yet."""

    key: bytes
    """Its key in the cache."""
    text: str
    """With its braces."""
    tests: HoleTests
    metadata: CodeMetadata


def batches(waiting: dict[str, list[Body]], workers: int) -> list[list[Body]]:
    """Return batches of bodies for one crate each, at least one for each worker if there are enough bodies."""
    found = []
    for bodies in waiting.values():
        least = -(-workers // len(waiting))  # batches of each crate that keep all workers busy
        count = max(-(-len(bodies) // BATCH_BODIES), min(least, len(bodies)))
        # A stride spreads the bodies of one function, which are alike, over the batches.
        found += [bodies[start::count] for start in range(count)]
    return found
