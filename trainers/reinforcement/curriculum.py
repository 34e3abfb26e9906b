"""Which prompts are worth a group of completions now: those that are solved always or never teach nothing."""

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
    """What a prompt's group of completions came to: `solved` of `judged` succeeded."""

    prompt: int
    judged: int
    solved: int


class Curriculum:
    """
    Chooses prompts by the chance that a group of n completions holds both a success and a failure.

    For each prompt successes and failures are counted, older ones less (each visit leaves 0.8 of them). With the
    counts a and b, to which the mean of the prompt's tier is added as if seen once, the pass rate has the
    distribution Beta(a, b), and the chance is `1 - E[p^n] - E[(1 - p)^n]`. So a tier that is too hard is visited less
    as a whole until it becomes solvable. No prompt's weight falls below 0.05: what was out of reach is tried again.

    What it chooses depends on the seed, on how often it has chosen and on the outcomes, all of which are in its state.

    Args:
        tiers: Of each prompt.
        num_generations: n.
        seed: Of the choice.
    """

    def __init__(self, tiers: Sequence[int], num_generations: int, seed: int = 0):
        self.tiers = np.asarray(tiers, dtype=np.int64)
        self.num_generations = num_generations
        self.seed = seed
        self.choices = 0
        self.solved = np.zeros(len(self.tiers))
        self.failed = np.zeros(len(self.tiers))

    def weights(self) -> np.ndarray:
        """Of each prompt, from 0.05 to 1."""
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

    def choose(self, count: int) -> list[int]:
        """So many different prompts. Raises `ValueError` when there are not so many."""
        if count > len(self.tiers):
            raise ValueError(f"there must be at least {count} prompts, those of one step, got {len(self.tiers)}")
        weights = self.weights()
        generator = np.random.default_rng((self.seed, self.choices))
        self.choices += 1
        return generator.choice(len(weights), count, replace=False, p=weights / weights.sum()).tolist()

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Takes the outcomes of the prompts chosen last."""
        for outcome in outcomes:
            if outcome.judged:
                self.solved[outcome.prompt] = FORGETTING * self.solved[outcome.prompt] + outcome.solved
                failed = outcome.judged - outcome.solved
                self.failed[outcome.prompt] = FORGETTING * self.failed[outcome.prompt] + failed

    def state(self) -> dict[str, Any]:
        """All that its next choices depend on, as values of JSON."""
        return {"choices": self.choices, "solved": self.solved.tolist(), "failed": self.failed.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from what `state` gave. Raises `ValueError` when it is of other prompts."""
        if len(state["solved"]) != len(self.tiers):
            raise ValueError(
                f"the checkpoint must be of the same {len(self.tiers)} prompts, got {len(state['solved'])}"
            )
        self.choices = state["choices"]
        self.solved, self.failed = np.array(state["solved"]), np.array(state["failed"])


def log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The logarithm of the beta function."""
    first, second = torch.from_numpy(a), torch.from_numpy(b)
    return (torch.lgamma(first) + torch.lgamma(second) - torch.lgamma(first + second)).numpy()
