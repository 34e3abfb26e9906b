"""Several GPUs: a copy of the model on each (DDP) against shared weights and states (FSDP2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.pipeline.plan.activations import BF16, FP32, Checkpointing
from recipes.pipeline.plan.counts import count_parameters
from recipes.pipeline.plan.fit import step_of
from recipes.pipeline.plan.gpus import Gpu
from recipes.pipeline.plan.memory import Memory, peak_memory
from recipes.pipeline.plan.speed import work_of

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe
    from recipes.pipeline.stages.text import TextStage

LINK_BYTES_PER_SECOND = 20e9
"""Speed of GPUs that exchange data over PCIe 4.0 x16 through the memory of the host; without NVLink."""
ASSUMED_UTILIZATION = 0.4


@dataclass(frozen=True)
class Parallelism:
    """
    One way to train with several GPUs.

    Attributes:
        name: DDP or FSDP2.
        checkpointing: Recomputation that it trains with.
        memory: Per GPU, at the peak.
        bytes_per_step: Bytes that each GPU sends in an optimizer step.
        share_of_step: Time of this over the time that the step computes at 40 % MFU, if nothing overlaps.
    """

    name: str
    checkpointing: Checkpointing
    memory: Memory
    bytes_per_step: float
    share_of_step: float


def parallelisms(recipe: "Recipe", stage: "TextStage", gpu: Gpu, num_gpus: int, limit: int) -> tuple[Parallelism, ...]:
    """Return the ways to train a stage with several GPUs that have `limit` bytes each; none for one GPU."""
    if num_gpus == 1:
        return ()
    unique = count_parameters(recipe.model).unique
    copies, shards = (step_of(recipe, stage, num_gpus, limit, shards) for shards in (1, num_gpus))
    work = work_of(recipe, stage, copies.checkpointing)
    seconds = work.tokens_per_step / work.tokens_per_second(gpu, num_gpus, ASSUMED_UTILIZATION)
    micro_batches = stage.tokens_per_step // (shards.tokens * num_gpus)
    others = (num_gpus - 1) / num_gpus
    # Gradients are summed in fp32 once per step: scattered, then gathered.
    replicated = 2 * others * FP32 * unique
    # Weights in bf16 are gathered in every forward pass (and stay for backward), gradients in bf16 scattered once.
    sharded = others * BF16 * unique * (micro_batches + 1)
    return tuple(
        Parallelism(name, step.checkpointing, peak_memory(step), sent, _share(sent, seconds))
        for name, step, sent in (("DDP", copies, replicated), ("FSDP2", shards, sharded))
    )


def _share(sent: float, seconds: float) -> float:
    return sent / LINK_BYTES_PER_SECOND / seconds
