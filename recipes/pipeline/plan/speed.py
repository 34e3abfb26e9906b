"""Tokens per second and days, from FLOPs and the peak of the GPUs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipes.pipeline.plan.activations import Checkpointing
from recipes.pipeline.plan.flops import TokenFlops, flops_per_token
from recipes.pipeline.plan.gpus import Gpu

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe
    from recipes.pipeline.stages.text import TextStage

UTILIZATIONS = (0.3, 0.4, 0.5)
"""Shares of the peak (MFU) for which speeds are computed."""
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class StageWork:
    """
    Work of a stage on text.

    Attributes:
        stage: Name of the stage.
        steps: Optimizer steps.
        tokens_per_step: Over all GPUs.
        seq_len: Tokens in a row.
        flops: Per token.
        trains_gate: Whether only the exit gate is trained, which needs no backward pass through the blocks.
        teacher_flops: FLOPs per token of the forward pass of a teacher, which count for MFU, too.
    """

    stage: str
    steps: int
    tokens_per_step: int
    seq_len: int
    flops: TokenFlops
    trains_gate: bool
    teacher_flops: int = 0

    @property
    def tokens(self) -> int:
        """Tokens of the stage, repetitions included."""
        return self.steps * self.tokens_per_step

    @property
    def model_flops(self) -> float:
        """FLOPs per token that count for MFU."""
        return self.flops.model / 3 if self.trains_gate else self.flops.model + self.teacher_flops

    @property
    def executed_flops(self) -> float:
        """FLOPs per token that the GPU computes."""
        if self.trains_gate:
            return self.flops.forward + self.flops.heads / 3
        return self.flops.executed + self.teacher_flops

    def tokens_per_second(self, gpu: Gpu, num_gpus: int, utilization: float) -> float:
        """Tokens per second over all GPUs at a share of their peak."""
        return utilization * gpu.peak_flops * num_gpus / self.model_flops

    def days(self, gpu: Gpu, num_gpus: int, utilization: float) -> float:
        """Days that the stage takes at a share of the peak."""
        return self.tokens / self.tokens_per_second(gpu, num_gpus, utilization) / SECONDS_PER_DAY


def work_of(recipe: "Recipe", stage: "TextStage", checkpointing: Checkpointing) -> StageWork:
    """Return the work of a stage with a kind of recomputation."""
    from recipes.pipeline.stages.gate import TrainGate

    compiled, trains_gate = recipe.training.compile_blocks, isinstance(stage, TrainGate)
    flops = flops_per_token(stage.planned_config(recipe.model), stage.seq_len, checkpointing, compiled)
    teacher = stage.teacher_size(recipe)
    return StageWork(
        stage.name,
        stage.total_steps,
        stage.tokens_per_step,
        stage.seq_len,
        flops,
        trains_gate,
        0 if teacher is None else teacher.flops,
    )
