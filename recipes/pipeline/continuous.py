"""The evaluation in the middle of a stage."""

from typing import TYPE_CHECKING

from rich.console import Console
from transformers import PreTrainedModel

from evaluation.continuous import ContinuousEvaluation, training_suites
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.processes import process_state
from recipes.pipeline.schema import Recipe

if TYPE_CHECKING:
    from recipes.pipeline.stages.stage import Stage

console = Console(highlight=False)
# Held-out blocks of an evaluation in the middle of training; at the end of a stage all are taken.
EVALUATED_BLOCKS = 32


def continuous_evaluation(
    recipe: Recipe, stage: "Stage", prepared: Prepared, model: PreTrainedModel
) -> ContinuousEvaluation:
    """Return the evaluation that runs after every `eval_steps` steps of a stage, for `training.eval_seconds`."""
    suites, skipped = training_suites(model, prepared.tokenizer) if recipe.training.eval_seconds else ([], {})
    for name, reason in skipped.items():
        console.print(f"{name} is not evaluated in training: {reason}", markup=False)
    return ContinuousEvaluation(
        tokenizer=prepared.tokenizer,
        blocks=prepared.validation.select(range(min(EVALUATED_BLOCKS, len(prepared.validation)))),
        suites=suites,
        folder=recipe.run_dir / "evaluation" / f"{stage.name}_process_{process_state().process_index}",
        seconds=recipe.training.eval_seconds,
    )
