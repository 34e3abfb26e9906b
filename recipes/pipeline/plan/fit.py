"""Micro-batches that fit a GPU, and the cheapest recomputation with which one does."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from recipes.pipeline.plan.activations import MODES, Checkpointing
from recipes.pipeline.plan.memory import Memory, Step, peak_memory

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe
    from recipes.pipeline.stages.text import TextStage


@dataclass(frozen=True)
class Fit:
    """
    Memory of a stage with one kind of recomputation.

    Attributes:
        checkpointing: Recomputation.
        memory: At the peak, with the recipe's micro-batch.
        largest: Largest micro-batch that fits and divides the rows of a GPU; 0 if not even one row fits.
    """

    checkpointing: Checkpointing
    memory: Memory
    largest: int


@dataclass(frozen=True)
class StageMemory:
    """
    Memory of a stage that trains the whole model on text.

    Attributes:
        stage: Name of the stage.
        rows: Rows of the recipe's micro-batch.
        seq_len: Tokens in a row.
        limit: Bytes of the GPU that may be used.
        fits: By kind of recomputation, the cheapest first.
    """

    stage: str
    rows: int
    seq_len: int
    limit: int
    fits: tuple[Fit, ...]

    @property
    def cheapest(self) -> Fit | None:
        """The cheapest recomputation with which at least one row fits; None if none does."""
        return next((fit for fit in self.fits if fit.largest), None)

    def fit(self, checkpointing: str) -> Fit:
        """The memory with one kind of recomputation."""
        return next(fit for fit in self.fits if fit.checkpointing == checkpointing)


def step_of(recipe: "Recipe", stage: "TextStage", num_gpus: int, shards: int = 1) -> Step:
    """
    Return the training step of a stage with the recipe's own settings.

    Args:
        recipe: The recipe.
        stage: One of its stages on text.
        num_gpus: Number of GPUs.
        shards: Number of GPUs that share the weights; 1 for a copy of the model on each.

    Raises:
        ValueError: The GPUs cannot share the batch evenly.
    """
    training = recipe.training
    rows = stage.micro_batch_size(recipe, num_gpus)
    return Step(
        config=stage.model_config(recipe.model),
        tokens=rows * stage.seq_len,
        checkpointing=training.checkpointing,
        compiled=training.compile_blocks,
        optimizer=training.optimizer,
        lion=training.lion_impl if shards == 1 else "torch",
        accumulates=stage.batch_size > rows * num_gpus,
        shards=shards,
        has_buckets=num_gpus > 1 and shards == 1,
    )


def stage_memory(recipe: "Recipe", stage: "TextStage", num_gpus: int, limit: int) -> StageMemory:
    """Return the memory of a stage, by kind of recomputation. Raises `ValueError` as [`step_of`] does."""
    own = step_of(recipe, stage, num_gpus)
    rows = own.tokens // stage.seq_len
    share = stage.batch_size // num_gpus
    fits = tuple(
        Fit(mode, peak_memory(replace(own, checkpointing=mode)), _largest(own, mode, stage.seq_len, share, limit))
        for mode in MODES
    )
    return StageMemory(stage.name, rows, stage.seq_len, limit, fits)


def _largest(own: Step, mode: Checkpointing, seq_len: int, share: int, limit: int) -> int:
    """The largest micro-batch that divides the share of a GPU and fits; 0 if none does."""
    for rows in (rows for rows in range(share, 0, -1) if share % rows == 0):
        step = replace(own, checkpointing=mode, tokens=rows * seq_len, accumulates=share > rows)
        if peak_memory(step).total <= limit:
            return rows
    return 0
