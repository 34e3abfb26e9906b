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
        setting: The recipe's `training.checkpointing`.
        checkpointing: Recomputation that the stage trains with: the setting, or what "auto" takes.
        micro_batch: Rows that it trains with.
        memory: With these two, at the peak.
    """

    stage: str
    rows: int
    seq_len: int
    limit: int
    fits: tuple[Fit, ...]
    setting: str
    checkpointing: Checkpointing
    micro_batch: int
    memory: Memory

    @property
    def cheapest(self) -> Fit | None:
        """The cheapest recomputation with which at least one row fits; None if none does."""
        return next((fit for fit in self.fits if fit.largest), None)


def step_of(recipe: "Recipe", stage: "TextStage", num_gpus: int, limit: int | None, shards: int = 1) -> Step:
    """
    Return the training step of a stage with the recipe's own settings. `training.checkpointing="auto"` takes the
    cheapest recomputation with which a micro-batch fits that is at most the recipe's, and the largest such
    micro-batch. If none fits it takes the one that needs least; without a limit, none.

    Args:
        recipe: The recipe.
        stage: One of its stages on text.
        num_gpus: Number of GPUs.
        limit: Bytes of a GPU that may be used; None without a GPU.
        shards: Number of GPUs that share the weights; 1 for a copy of the model on each.

    Raises:
        ValueError: The GPUs cannot share the batch evenly.
    """
    training = recipe.training
    rows = stage.micro_batch_size(recipe, num_gpus)
    share = stage.batch_size // num_gpus
    setting = training.checkpointing if stage.recomputes else "none"
    step = Step(
        config=stage.planned_config(recipe.model),
        tokens=rows * stage.seq_len,
        checkpointing="none" if setting == "auto" else setting,
        compiled=training.compile_blocks,
        optimizer=stage.optimizer_of(training),
        lion=training.lion_impl if shards == 1 else "torch",
        accumulates=share > rows,
        shards=shards,
        has_buckets=num_gpus > 1 and shards == 1,
        teacher=stage.teacher_size(recipe),
    )
    if setting != "auto" or limit is None:
        return step
    for mode in MODES:
        largest = _largest(step, mode, stage.seq_len, share, limit, rows)
        if largest:
            return replace(step, checkpointing=mode, tokens=largest * stage.seq_len, accumulates=share > largest)
    return replace(step, checkpointing=MODES[-1], tokens=stage.seq_len, accumulates=share > 1)


def stage_memory(recipe: "Recipe", stage: "TextStage", num_gpus: int, limit: int) -> StageMemory:
    """Return the memory of a stage, by kind of recomputation. Raises `ValueError` as [`step_of`] does."""
    own = step_of(recipe, stage, num_gpus, limit)
    rows, share = stage.micro_batch_size(recipe, num_gpus), stage.batch_size // num_gpus
    given = replace(own, tokens=rows * stage.seq_len, accumulates=share > rows)
    largest = {mode: _largest(own, mode, stage.seq_len, share, limit, share) for mode in MODES}
    fits = tuple(Fit(mode, peak_memory(replace(given, checkpointing=mode)), largest[mode]) for mode in MODES)
    return StageMemory(
        stage=stage.name,
        rows=rows,
        seq_len=stage.seq_len,
        limit=limit,
        fits=fits,
        setting=recipe.training.checkpointing,
        checkpointing=own.checkpointing,
        micro_batch=own.tokens // stage.seq_len,
        memory=peak_memory(own),
    )


def _largest(own: Step, mode: Checkpointing, seq_len: int, share: int, limit: int, most: int) -> int:
    """The largest micro-batch of at most `most` rows that divides the share of a GPU and fits; 0 if none does."""
    for rows in (rows for rows in range(most, 0, -1) if share % rows == 0):
        step = replace(own, checkpointing=mode, tokens=rows * seq_len, accumulates=share > rows)
        if peak_memory(step).total <= limit:
            return rows
    return 0
