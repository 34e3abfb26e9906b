"""Stream of distinct samples of all families in turn, in an order that depends on the seed."""

import hashlib
import importlib
import pkgutil
import random
from collections.abc import Iterator, Sequence

from trainers.data.synthetic import families
from trainers.data.synthetic.family import FAMILIES, TIERS, Family, Undefined
from trainers.data.synthetic.sample import SyntheticSample, make_sample
from trainers.data.tasks.task import Split

MAX_MISSES = 80  # consecutive samples of a family that are not new; then the family is exhausted


def all_families() -> dict[str, Family]:
    """Return all families of all groups by name."""
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")
    return FAMILIES


def choose_families(names: Sequence[str] | None = None, tier: int | None = None) -> list[Family]:
    """
    Return the named families, or all families, of one tier or of any tier.

    Raises:
        ValueError: A family or tier does not exist, or no family matches.
    """
    there = all_families()
    unknown = [name for name in names or () if name not in there]
    if unknown:
        raise ValueError(f"families must be some of {', '.join(sorted(there))}; got {', '.join(unknown)}")
    if tier is not None and tier not in TIERS:
        raise ValueError(f"tier must be from {TIERS[0]} to {TIERS[-1]}, got {tier}")
    chosen = [there[name] for name in sorted(set(names or there)) if tier in (None, there[name].tier)]
    if not chosen:
        raise ValueError(f"families must have some of tier {tier}, got {', '.join(sorted(set(names or ())))}")
    return chosen


def draw_samples(families: Sequence[Family], seed: int, tasks: bool = False) -> Iterator[SyntheticSample]:
    """
    Yield samples of the families in turn until they are exhausted, with distinct tokens. With `tasks`, yield only
    functions, with distinct meanings.
    """
    order = list(families)
    random.Random(f"families {seed}").shuffle(order)
    attempts = dict.fromkeys((family.name for family in order), 0)
    seen: set[bytes] = set()
    while order:
        for family in list(order):
            sample = _next_sample(family, seed, attempts, seen, tasks)
            if sample is None:
                order.remove(family)
            else:
                yield sample


def _next_sample(
    family: Family, seed: int, attempts: dict[str, int], seen: set[bytes], tasks: bool
) -> SyntheticSample | None:
    for _ in range(MAX_MISSES):
        attempts[family.name] += 1
        try:
            sample = make_sample(family, f"{seed} {attempts[family.name]}")
        except Undefined:
            continue
        if tasks and sample.task is None:
            return None
        keys = {_digest(sample.canonical_tokens)} | ({_digest(sample.meaning)} if tasks else set())
        if keys.isdisjoint(seen):
            seen |= keys
            return sample
    return None


def _digest(parts: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\x00".join(parts).encode()).digest()[:16]


def split_of(sample: SyntheticSample) -> Split:
    """
    Return the split of a sample: about a tenth of the families are held out as a whole, and of the others about a
    twentieth of the meanings. The split depends only on the sample, so data sets with other seeds agree.
    """
    if _share(sample.family) < 0.1:
        return "held_out_family"
    return "held_out_parameters" if _share(" ".join(sample.meaning)) < 0.05 else "train"


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
