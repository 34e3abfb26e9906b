"""Sampling of prompts that avoids zero-variance groups: prompts that are solved always or never."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

FORGETTING = 0.8
FORGETTING_OF_FAMILIES = 0.9
PRIOR_STRENGTH = 1.0
LEAST_WEIGHT = 0.05


@dataclass(frozen=True)
class Outcome:
    """Result of a prompt's group: `solved` of the `judged` completions succeeded."""

    prompt: int
    judged: int
    solved: int


class Curriculum:
    """
    Sample prompts in proportion to the probability that a group of n completions has both a success and a failure.

    For each prompt, successes and failures are counted with exponential forgetting (each visit multiplies the earlier
    counts by 0.8). With these counts a and b, plus the pass rate of the prompt's family with a weight of one
    completion, the pass rate p is distributed as Beta(a, b), and the probability is `1 - E[p^n] - E[(1 - p)^n]`. The
    completions of a family are counted in the same way (with 0.9), plus n with the pass rate of its tier. A family
    that is too hard is thus sampled less as a whole until it becomes solvable, also where most prompts are new. No
    weight falls below 0.05, so that unsolved prompts are tried again. With `compile_share`, prompts that only have to
    compile and prompts with tests are sampled apart, so that the share does not change as one kind becomes easier than
    the other.

    The prompts depend on the seed, the number of earlier calls and the outcomes, all of which are part of the state.

    Args:
        tiers: Tier of each prompt.
        num_generations: Completions per prompt, n.
        seed: Seed of the sampling.
        only_compile: Whether each prompt only has to compile; None for none of them.
        compile_share: Share of such prompts, over all calls; None leaves it to the weights.
        families: Family of each prompt, or None where it has none; None makes each tier one family.
    """

    def __init__(
        self,
        tiers: Sequence[int],
        num_generations: int,
        seed: int = 0,
        only_compile: Sequence[bool] | None = None,
        compile_share: float | None = None,
        families: Sequence[str | None] | None = None,
    ):
        self.tiers = np.asarray(tiers, dtype=np.int64)
        self.only_compile = np.zeros(len(self.tiers), dtype=bool) if only_compile is None else np.array(only_compile)
        assert len(self.only_compile) == len(self.tiers)
        self.compile_share = compile_share
        self.num_generations = num_generations
        self.seed = seed
        self.num_calls = 0
        self.solved = np.zeros(len(self.tiers))
        self.failed = np.zeros(len(self.tiers))
        # The same family in two tiers is two families.
        keys = list(zip(tiers, [None] * len(self.tiers) if families is None else families, strict=True))
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        self.family_of = np.array([numbers[key] for key in keys], dtype=np.int64)
        self.tier_of_family = np.array([tier for tier, _ in numbers], dtype=np.int64)
        self.of_families = np.zeros((len(numbers), 2))

    def weights(self) -> np.ndarray:
        """Weight of each prompt by its outcomes, from 0.05 to 1."""
        rates = self._family_rates()[self.family_of]
        a = self.solved + PRIOR_STRENGTH * rates
        b = self.failed + PRIOR_STRENGTH * (1 - rates)
        n = self.num_generations
        never = np.exp(log_beta(a, b + n) - log_beta(a, b))
        always = np.exp(log_beta(a + n, b) - log_beta(a, b))
        return np.clip(1 - never - always, LEAST_WEIGHT, 1)

    def _family_rates(self) -> np.ndarray:
        """Pass rate of each family; without completions it is that of its tier."""
        rates = np.ones(len(self.of_families))
        for tier in np.unique(self.tier_of_family):
            of_tier = self.tier_of_family == tier
            solved, failed = self.of_families[of_tier].sum(axis=0)
            rates[of_tier] = (solved + 1) / (solved + failed + 2)
        return (self.of_families[:, 0] + self.num_generations * rates) / (
            self.of_families.sum(axis=1) + self.num_generations
        )

    def sample(self, count: int) -> list[int]:
        """Sample `count` different prompts. Raises `ValueError` when there are fewer."""
        self.check(count)
        weights = self.weights()
        generator = np.random.default_rng((self.seed, self.num_calls))
        self.num_calls += 1
        if self.compile_share is None:
            return _choice(generator, np.arange(len(weights)), weights, count)
        # Rounded first, because 10 * 0.3 may be a bit less than 3.
        before, due = (
            math.floor(round(calls * count * self.compile_share, 6)) for calls in (self.num_calls - 1, self.num_calls)
        )
        kinds = (
            (np.flatnonzero(~self.only_compile), count - (due - before)),
            (np.flatnonzero(self.only_compile), due - before),
        )
        return [prompt for kind, part in kinds if part for prompt in _choice(generator, kind, weights, part)]

    def check(self, count: int) -> None:
        """Raise `ValueError` unless there are enough prompts for `count` at once."""
        if count > len(self.tiers):
            raise ValueError(f"there must be at least {count} prompts, the number per step, got {len(self.tiers)}")
        if self.compile_share is None:
            return
        compiled = int(self.only_compile.sum())
        kinds = (
            ("without hidden tests", self.compile_share, compiled),
            ("with hidden tests", 1 - self.compile_share, len(self.tiers) - compiled),
        )
        for kind, share, given in kinds:
            least = largest_part(count, share)
            if given < least:
                raise ValueError(
                    f"there must be at least {least} prompts {kind}, for "
                    f"compile_share={self.compile_share} of the {count} prompts per step, got {given}"
                )

    def update(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of the prompts sampled last."""
        for outcome in outcomes:
            if outcome.judged:
                failed = outcome.judged - outcome.solved
                self.solved[outcome.prompt] = FORGETTING * self.solved[outcome.prompt] + outcome.solved
                self.failed[outcome.prompt] = FORGETTING * self.failed[outcome.prompt] + failed
                of_family = self.of_families[self.family_of[outcome.prompt]]
                of_family[:] = FORGETTING_OF_FAMILIES * of_family + (outcome.solved, failed)

    def state(self) -> dict[str, Any]:
        """Return all that the next samples depend on, as JSON values."""
        return {
            "choices": self.num_calls,
            "solved": self.solved.tolist(),
            "failed": self.failed.tolist(),
            "families": self.of_families.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a result of `state`. Raises `ValueError` when it is about other prompts."""
        given = len(state["solved"]), len(state.get("families", self.of_families))
        if given != (len(self.tiers), len(self.of_families)):
            raise ValueError(
                f"the checkpoint must be for the same {len(self.tiers)} prompts of {len(self.of_families)} families, "
                f"got {given[0]} of {given[1]}"
            )
        self.num_calls = state["choices"]
        self.solved, self.failed = np.array(state["solved"]), np.array(state["failed"])
        if "families" in state:
            self.of_families = np.array(state["families"])
        else:
            # A checkpoint of an earlier version, which counted prompts alone.
            self.of_families[:] = 0
            np.add.at(self.of_families, self.family_of, np.stack([self.solved, self.failed], axis=1))


def _choice(generator: np.random.Generator, prompts: np.ndarray, weights: np.ndarray, count: int) -> list[int]:
    return generator.choice(prompts, count, replace=False, p=weights[prompts] / weights[prompts].sum()).tolist()


def largest_part(count: int, share: float) -> int:
    """Return the maximum number of prompts, of `count` at once, that are of a kind with a share."""
    return math.ceil(round(count * share, 6))


def log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Logarithm of the beta function."""
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    return (torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)).numpy()
