"""The plan of a recipe: everything that its settings say about a run before it starts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modeling_nanochat import LoopLMConfig
from recipes.pipeline.plan.counts import ParameterCounts, count_parameters
from recipes.pipeline.plan.fit import StageMemory, stage_memory, step_of
from recipes.pipeline.plan.gpus import Gpu, gpu_of, local_gpu
from recipes.pipeline.plan.parallel import Parallelism, parallelisms
from recipes.pipeline.plan.speed import StageWork, work_of
from recipes.pipeline.stages.export import Export
from recipes.pipeline.stages.gate import TrainGate
from recipes.pipeline.stages.text import TextStage

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe

KEPT_CHECKPOINTS = 2
"""Checkpoints that a stage keeps (`save_total_limit`); the next one is written before the oldest is deleted."""
STATE_BYTES = {"adamw": 8, "muon_lion": 4}
"""Bytes of optimizer state per parameter in a checkpoint."""


@dataclass(frozen=True)
class Plan:
    """
    The plan of a recipe.

    Attributes:
        recipe: The recipe.
        gpu: GPU that it is planned for.
        is_assumed_gpu: Whether neither the user nor the recipe named it, and this machine has none.
        num_gpus: Number of these GPUs.
        counts: Parameters of the model.
        works: Work of the stages on text.
        limit: Bytes of a GPU that a process may use, by the recipe's `gpu_memory_fraction`.
        memories: Memory of the stages that train the whole model on text.
        parallel: Ways to train the first stage with several GPUs.
        disk: Bytes of checkpoints and saved models.
        export: Sentence about files for llama.cpp.
    """

    recipe: "Recipe"
    gpu: Gpu
    is_assumed_gpu: bool
    num_gpus: int
    counts: ParameterCounts
    works: tuple[StageWork, ...]
    limit: int
    memories: tuple[StageMemory, ...]
    parallel: tuple[Parallelism, ...]
    disk: int
    export: str

    @property
    def loops(self) -> int:
        """Number of loops of the model."""
        return self.recipe.model.num_loops


def make_plan(recipe: "Recipe", gpu_name: str | None = None, num_gpus: int | None = None) -> Plan:
    """
    Make the plan of a recipe.

    Args:
        recipe: The recipe.
        gpu_name: GPU to plan for; None for the recipe's, else this machine's, else an RTX 4090.
        num_gpus: Number of GPUs; None for the recipe's.

    Raises:
        ValueError: The GPU is unknown, there is none, or the GPUs cannot share the rows of a step evenly.
    """
    gpu = gpu_of(recipe, gpu_name)
    if num_gpus is not None and num_gpus < 1:
        raise ValueError(f"--num-gpus must be at least 1, got {num_gpus}")
    num_gpus = recipe.num_gpus if num_gpus is None else num_gpus
    text = [stage for stage in recipe.active_stages if isinstance(stage, TextStage)]
    trained = [stage for stage in text if not isinstance(stage, TrainGate)]
    counts = count_parameters(recipe.model)
    limit = int(gpu.memory * recipe.hardware.gpu_memory_fraction)
    steps = {stage.name: step_of(recipe, stage, num_gpus, limit) for stage in text}
    return Plan(
        recipe=recipe,
        gpu=gpu,
        is_assumed_gpu=gpu_name is None and recipe.gpu is None and local_gpu() is None,
        num_gpus=num_gpus,
        counts=counts,
        works=tuple(work_of(recipe, stage, steps[stage.name].checkpointing) for stage in text),
        limit=limit,
        memories=tuple(stage_memory(recipe, stage, num_gpus, limit) for stage in trained),
        parallel=parallelisms(recipe, trained[0], gpu, num_gpus, limit),
        disk=_disk(recipe, counts),
        export=_export(recipe.model, recipe),
    )


def _disk(recipe: "Recipe", counts: ParameterCounts) -> int:
    """Bytes of all checkpoints with the model of every stage, in fp32, while the last checkpoint is written."""
    weights = 4 * counts.unique
    stages = [stage for stage in recipe.active_stages if not stage.closes_run]
    total = largest = 0
    for stage in stages:
        optimizer = stage.optimizer_of(recipe.training) if isinstance(stage, TextStage) else "adamw"
        trained = 0 if isinstance(stage, TrainGate) else counts.unique
        checkpoint = weights + STATE_BYTES[optimizer] * trained
        total += weights + KEPT_CHECKPOINTS * checkpoint
        largest = max(largest, checkpoint)
    return total + largest


def _export(model: LoopLMConfig, recipe: "Recipe") -> str:
    from recipes.pipeline.export import export_plan

    stage = next((stage for stage in recipe.active_stages if isinstance(stage, Export)), None)
    return "The recipe has no export" if stage is None else export_plan(model, stage)
