"""A graded reward by the verdict, which is logged and not trained on."""

from dataclasses import dataclass, fields

from evaluation.rust import Verdict


@dataclass(frozen=True)
class GradedReward:
    """
    Graded reward, which is logged but not trained on: it can be raised without doing the task (dead branches raise the
    complexity, and an unclosed brace is a single error).

    Attributes:
        compile_success_reward: Reward for code that compiles.
        complexity_bonus: Bonus for each point of cyclomatic complexity.
        lifetime_bonus: Bonus for code that names lifetimes.
        max_unsafe_blocks: Number of `unsafe` blocks without a penalty.
        unsafe_penalty: Penalty for more `unsafe` blocks.
        partial_reward: Reward for code that does not compile, divided by one plus the number of errors.
    """

    compile_success_reward: float = 1.0
    complexity_bonus: float = 0.01
    lifetime_bonus: float = 0.1
    max_unsafe_blocks: int = 0
    unsafe_penalty: float = 0.5
    partial_reward: float = 0.2

    def __post_init__(self):
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"{field.name} must be at least 0 and finite, got {getattr(self, field.name)}")

    def __call__(self, verdict: Verdict | None) -> float:
        """Return the reward for a verdict, or 0 for None, an unfinished completion."""
        if verdict is None:
            return 0.0
        metadata = verdict.metadata
        if compiles(verdict) and metadata is not None:
            reward = self.compile_success_reward + self.complexity_bonus * metadata.complexity
            reward += self.lifetime_bonus * (metadata.lifetime_complexity > 0)
            return reward - self.unsafe_penalty * (metadata.unsafe_blocks > self.max_unsafe_blocks)
        if verdict.status in ("compilation_failed", "semantic_error"):
            return self.partial_reward / (1 + len(verdict.diagnostics))
        return 0.0

    def quality(self, verdict: Verdict | None) -> float:
        """Return the bonuses of code that compiles as a fraction of `compile_success_reward`, clipped to [0, 1]."""
        if verdict is None or not compiles(verdict) or not self.compile_success_reward:
            return 0.0
        return min(1.0, max(0.0, self(verdict) / self.compile_success_reward - 1))


def compiles(verdict: Verdict) -> bool:
    """Whether the compiler accepts the code, whether or not its tests pass."""
    return all(answer == "ok" for answer in verdict.checks.values())
