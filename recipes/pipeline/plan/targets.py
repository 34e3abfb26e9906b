"""Targets of the design document's tables of expected results, each with what the plan says about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from recipes.pipeline.plan.memory import GIB
from recipes.pipeline.plan.speed import SECONDS_PER_DAY

if TYPE_CHECKING:
    from recipes.pipeline.plan.plan import Plan

REACHED = 0.5
"""Share of the peak that well-tuned training in bf16 reaches on one of these GPUs; little reaches more."""


@dataclass(frozen=True)
class Expected:
    """
    Expected results of a configuration in the design document.

    Attributes:
        parameters: Of the model's name, in billions.
        tokens_per_second: Over all GPUs.
        loss: Of training, in nats per token.
        compile_rate: Share of the completions that compile.
        gpu_memory: Of each GPU, in GB.
        cpu_memory: Of the machine, in GB; None without a target.
        days: Of the whole training.
        steps: Optimizer steps of all stages in these days.
    """

    parameters: float
    tokens_per_second: float
    loss: float
    compile_rate: float
    gpu_memory: float
    cpu_memory: float | None
    days: float
    steps: int


EXPECTED = {
    "config_a": Expected(7, 5000, 2.5, 0.90, 80, 800, 7, 170_000),
    "config_b": Expected(3, 8000, 2.8, 0.88, 22, None, 5, 225_000),
    "config_c": Expected(5, 6000, 2.6, 0.87, 22, 700, 6, 180_000),
}
"""By recipe."""


class Verdict(NamedTuple):
    """A target, and what the plan says about it."""

    target: str
    finding: str


def verdicts(plan: "Plan") -> Iterator[Verdict]:
    """Judge the targets of a recipe; none for a recipe that the design document does not have."""
    expected = EXPECTED.get(plan.recipe.name)
    if expected is None:
        return
    yield _size(plan, expected)
    yield _speed(plan, expected)
    yield _days(plan, expected)
    yield _memory(plan, expected)
    if expected.cpu_memory is not None:
        yield Verdict(
            f"about {expected.cpu_memory:g} GB of CPU memory",
            "not planned: training needs a few GB per process, the preparation of data as much as it is given",
        )
    yield Verdict(f"final loss below {expected.loss:g}", "only training can tell")
    yield Verdict(f"over {expected.compile_rate:.0%} of the programs compile", "only training can tell")


def _size(plan: "Plan", expected: Expected) -> Verdict:
    unique, applied = plan.counts.unique / 1e9, plan.counts.applied / 1e9
    finding = f"{unique:.2f} B parameters; {applied:.2f} B are applied to each token in {plan.loops} loops"
    return Verdict(f"{expected.parameters:g}B in the model's name", finding)


def _speed(plan: "Plan", expected: Expected) -> Verdict:
    work = plan.works[0]
    peak = plan.gpu.peak_flops * plan.num_gpus
    needed = expected.tokens_per_second * work.model_flops / peak
    computed = expected.tokens_per_second * work.executed_flops / peak
    also = f" ({computed:.0%} with the recipe's recomputation)" if work.flops.recomputed else ""
    finding = f"needs {needed:.0%} of {_cards(plan)} peak{also}: {_judged(computed)}"
    return Verdict(f"about {expected.tokens_per_second:,.0f} tokens/s", finding)


def _cards(plan: "Plan") -> str:
    return "the card's" if plan.num_gpus == 1 else f"the {plan.num_gpus} cards'"


def _judged(share: float) -> str:
    if share > 1:
        return "not reachable"
    if share > REACHED:
        return "not likely"
    return "possible, if a step is well tuned"


def _days(plan: "Plan", expected: Expected) -> Verdict:
    work = sum(work.tokens * work.model_flops for work in plan.works)
    at_target = sum(work.tokens for work in plan.works) / expected.tokens_per_second / SECONDS_PER_DAY
    at_40 = sum(work.days(plan.gpu, plan.num_gpus, 0.4) for work in plan.works)
    needed = work / (expected.days * SECONDS_PER_DAY * plan.gpu.peak_flops * plan.num_gpus)
    computed = needed * plan.works[0].executed_flops / plan.works[0].model_flops
    finding = (
        f"stages on text alone: {at_target:.0f} days at {expected.tokens_per_second:,.0f} tokens/s, {at_40:.0f} days "
        f"at 40% MFU; {expected.days:g} days need {needed:.0%} of the peak: {_judged(computed)}. "
        "Reinforcement learning comes on top"
    )
    return Verdict(f"about {expected.days:g} days for {expected.steps:,} steps", finding)


def _memory(plan: "Plan", expected: Expected) -> Verdict:
    memory = plan.memories[0]
    own = memory.memory.total
    finding = f"{own / GIB:.1f} GiB with the recipe's settings in stage {memory.stage}, of {plan.limit / GIB:.1f}"
    finding += ": fits" if own <= memory.limit else ": does not fit"
    where = " per GPU" if plan.num_gpus > 1 else " of GPU memory"
    return Verdict(f"about {expected.gpu_memory:g} GB{where}", finding)
