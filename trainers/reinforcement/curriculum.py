"""Sampling of prompts that avoids zero-variance groups: prompts that are solved always or never."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

FORGETTING = 0.8
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
    counts by 0.8). With these counts a and b, plus the mean pass rate of the prompt's tier with a weight of one
    completion, the pass rate p is distributed as Beta(a, b), and the probability is `1 - E[p^n] - E[(1 - p)^n]`. A
    tier that is too hard is thus sampled less as a whole until it becomes solvable. No weight falls below 0.05, so
    that unsolved prompts are tried again. A prompt's own weight multiplies this one.

    The prompts depend on the seed, the number of earlier calls and the outcomes, all of which are part of the state.

    Args:
        tiers: Tier of each prompt.
        num_generations: Completions per prompt, n.
        seed: Seed of the sampling.
        own_weights: Positive weight of each prompt; None for equal ones.
    """

    def __init__(
        self, tiers: Sequence[int], num_generations: int, seed: int = 0, own_weights: Sequence[float] | None = None
    ):
        self.tiers = np.asarray(tiers, dtype=np.int64)
        given = [1.0] * len(self.tiers) if own_weights is None else list(own_weights)
        if len(given) != len(self.tiers) or not all(isinstance(each, int | float) and each > 0 for each in given):
            raise ValueError("weight must be a positive number in each row of the prompts")
        self.own_weights = np.array(given)
        self.num_generations = num_generations
        self.seed = seed
        self.num_calls = 0
        self.solved = np.zeros(len(self.tiers))
        self.failed = np.zeros(len(self.tiers))

    def weights(self) -> np.ndarray:
        """Weight of each prompt by its outcomes, from 0.05 to 1."""
        rates = np.ones(len(self.tiers))
        for tier in np.unique(self.tiers):
            of_tier = self.tiers == tier
            solved, failed = self.solved[of_tier].sum(), self.failed[of_tier].sum()
            rates[of_tier] = (solved + 1) / (solved + failed + 2)
        a = self.solved + PRIOR_STRENGTH * rates
        b = self.failed + PRIOR_STRENGTH * (1 - rates)
        n = self.num_generations
        never = np.exp(log_beta(a, b + n) - log_beta(a, b))
        always = np.exp(log_beta(a + n, b) - log_beta(a, b))
        return np.clip(1 - never - always, LEAST_WEIGHT, 1)

    def sample(self, count: int) -> list[int]:
        """Sample `count` different prompts. Raises `ValueError` when there are fewer."""
        if count > len(self.tiers):
            raise ValueError(f"there must be at least {count} prompts, the number per step, got {len(self.tiers)}")
        weights = self.weights() * self.own_weights
        generator = np.random.default_rng((self.seed, self.num_calls))
        self.num_calls += 1
        return generator.choice(len(weights), count, replace=False, p=weights / weights.sum()).tolist()

    def update(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of the prompts sampled last."""
        for outcome in outcomes:
            if outcome.judged:
                self.solved[outcome.prompt] = FORGETTING * self.solved[outcome.prompt] + outcome.solved
                failed = outcome.judged - outcome.solved
                self.failed[outcome.prompt] = FORGETTING * self.failed[outcome.prompt] + failed

    def state(self) -> dict[str, Any]:
        """Return all that the next samples depend on, as JSON values."""
        return {"choices": self.num_calls, "solved": self.solved.tolist(), "failed": self.failed.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a result of `state`. Raises `ValueError` when it is about another number of prompts."""
        if len(state["solved"]) != len(self.tiers):
            raise ValueError(
                f"the checkpoint must be for the same {len(self.tiers)} prompts, got {len(state['solved'])}"
            )
        self.num_calls = state["choices"]
        self.solved, self.failed = np.array(state["solved"]), np.array(state["failed"])


def log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Logarithm of the beta function."""
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    return (torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)).numpy()
