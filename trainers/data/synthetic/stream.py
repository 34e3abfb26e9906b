"""Samples of all families in turn, none twice, in an order that the seed decides."""

import hashlib
import importlib
import pkgutil
import random
from collections.abc import Iterator, Sequence

from trainers.data.synthetic import families
from trainers.data.synthetic.family import FAMILIES, TIERS, Family, Undefined
from trainers.data.synthetic.sample import SyntheticSample, make_sample

MISSES = 80  # draws of a family that give nothing new: then it has nothing more to give


def all_families() -> dict[str, Family]:
    """Every family of every group, by name."""
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")
    return FAMILIES


def choose_families(names: Sequence[str] | None = None, tier: int | None = None) -> list[Family]:
    """
    The named families, or all, of one tier or of any.

    Raises:
        ValueError: There is no such family or tier, or none is left.
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
    Samples of the families in turn until they have nothing new, all different in their tokens; with `tasks` only
    functions, all different in what they are asked to do.
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
    for _ in range(MISSES):
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


def split_of(sample: SyntheticSample) -> str:
    """
    Where a task belongs: every tenth family or so is held out as a whole, of the others every twentieth meaning. It
    depends on the task alone, so sets made with other seeds agree.
    """
    if _share(sample.family) < 0.1:
        return "held_out_family"
    return "held_out_parameters" if _share(" ".join(sample.meaning)) < 0.05 else "train"


def _share(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
