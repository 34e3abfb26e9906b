"""The result of a stage of reinforcement learning."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.results import Interval
from recipes.pipeline.stages.stage import Stage, StageResult


@dataclass(frozen=True, kw_only=True)
class Reinforced(StageResult):
    """
    Held-out tasks before and after the stage, with 95 % intervals over the tasks. A task is solved when all its hidden
    tests pass, whatever the stage rewards.

    Attributes:
        tasks: Number of tasks.
        samples: Completions of each, at temperature 1.
        solved: pass@1 before and after.
        solved_at_all: pass@samples before and after.
        compiles: Share of the completions that compile with the demanded signature, before and after.
    """

    tasks: int
    samples: int
    solved: tuple[Interval, Interval]
    solved_at_all: tuple[Interval, Interval]
    compiles: tuple[Interval, Interval]

    def __post_init__(self) -> None:
        # As they come out of JSON.
        for name in ("solved", "solved_at_all", "compiles"):
            shares = tuple(each if isinstance(each, Interval) else Interval(**each) for each in getattr(self, name))
            object.__setattr__(self, name, shares)

    def rows(self, stage: Stage) -> Iterator[tuple[str, str]]:
        measured = f"{self.tasks} held-out tasks x {self.samples}, {stage.name}"
        yield f"{measured}: completions that compile", _before_and_after(self.compiles)
        yield f"{measured}: that solve them", _before_and_after(self.solved)

    def add_to(self, report: dict[str, Any], stage: Stage) -> None:
        report.setdefault("reinforced", {})[stage.name] = asdict(self)


def _before_and_after(shares: tuple[Interval, Interval]) -> str:
    words = (f"{share.value:.1%} ({share.limits('.1%')})" for share in shares)
    return " before, ".join(words) + " after"
