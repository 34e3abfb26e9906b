"""`--schedule ouro`: the five stages in which Ouro was pretrained (arXiv 2510.25741), at the size of a recipe."""

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from recipes.pipeline.stages.pretrain import Pretrain, Schedule

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


class OuroStage(NamedTuple):
    """
    A row of the paper's table.

    Attributes:
        name: Of the stage.
        tokens: Tokens that it trains on, in billions.
        num_loops: Number of loops.
        seq_len: Tokens per block.
        batch_tokens: Tokens per optimizer step, in millions.
        peak_lr: Peak learning rate.
        exit_entropy_weight: Weight of the exit distribution's entropy.
        schedule: Of the learning rate.
    """

    name: str
    tokens: float
    num_loops: int
    seq_len: int
    batch_tokens: int
    peak_lr: float
    exit_entropy_weight: float
    schedule: Schedule = "constant"


OURO = (
    OuroStage("stage_1a", 3000, 8, 4096, 4, 3e-4, 0.1),
    OuroStage("stage_1b", 3000, 4, 4096, 8, 3e-4, 0.05),
    OuroStage("stage_2", 1400, 4, 16384, 8, 3e-5, 0.02),
    OuroStage("stage_3", 20, 4, 65536, 8, 1e-5, 0.01),
    OuroStage("stage_4", 300, 4, 32768, 8, 1e-5, 0.01, "cosine"),
)


def with_ouro_schedule(recipe: "Recipe") -> "Recipe":
    """
    The recipe with its first stage divided into Ouro's five.

    Its tokens, tokens per step, peak learning rate and block length are those of the table relative to the table's
    first stage: a recipe with blocks of 4,096 tokens gets the paper's lengths up to 65,536.

    Raises:
        ValueError: The recipe does not begin with pretraining.
    """
    first, *later = recipe.stages
    if not isinstance(first, Pretrain):
        raise ValueError(f"--schedule ouro divides a recipe's pretraining; its first stage is {first.name}")
    tokens = first.total_steps * first.tokens_per_step
    whole = sum(row.tokens for row in OURO)
    start = OURO[0]
    stages = []
    for row in OURO:
        seq_len = first.seq_len * row.seq_len // start.seq_len
        rows = first.tokens_per_step * row.batch_tokens // start.batch_tokens // seq_len
        # The recipe's GPUs share the rows evenly.
        batch_size = max(1, rows // recipe.num_gpus) * recipe.num_gpus
        total_steps = max(1, round(tokens * row.tokens / whole / (batch_size * seq_len)))
        stages.append(
            replace(
                first,
                name=row.name,
                total_steps=total_steps,
                batch_size=batch_size,
                seq_len=seq_len,
                peak_lr=first.peak_lr * row.peak_lr / start.peak_lr,
                min_lr=first.min_lr * row.peak_lr / start.peak_lr,
                warmup_steps=min(first.warmup_steps, total_steps) if row is start else 0,
                decay_steps=0,
                # Later stages go on with ternary weights.
                ternary_warmup=first.ternary_warmup if row is start else 0.0,
                dead_zone_residual=first.dead_zone_residual if row is start else 0.0,
                schedule=row.schedule,
                num_loops=row.num_loops,
                exit_entropy_weight=row.exit_entropy_weight,
            )
        )
    return replace(recipe, stages=(*stages, *later))
