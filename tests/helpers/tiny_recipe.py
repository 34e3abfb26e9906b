"""A recipe that trains in a second, and the command line of a recipe in this process."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.program import main
from recipes.pipeline.schema import Recipe, TrainingSettings
from recipes.pipeline.stages.export import Export
from recipes.pipeline.stages.gate import TrainGate
from recipes.pipeline.stages.pretrain import Pretrain
from recipes.pipeline.stages.stage import Stage
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_config


def tiny_recipe(output_dir: Path, **settings) -> Recipe:
    """
    Args:
        output_dir: Parent of the run's folder.
        settings: Of the first stage, and of those that all stages share.
    """
    first: dict[str, Any] = dict(total_steps=6, warmup_steps=1, decay_steps=2, batch_size=4, peak_lr=1e-2)
    first |= {name: settings.pop(name) for name in (*first, "min_lr", "repeated_tokens") if name in settings}
    return Recipe(
        name="tiny",
        description="a recipe for tests",
        model=tiny_config(activation_bits=8, mhc_num_streams=1, vocab_size=300),
        data=DataSettings(data_dir=BUILTIN, seq_len=32, vocab_size=300, validation_fraction=0.1, decontaminate=False),
        training=TrainingSettings(**(dict(micro_batch_size=2, logging_steps=1, save_steps=2) | settings)),
        stages=(
            Pretrain(seq_len=32, **first),
            TrainGate(total_steps=0, batch_size=4, seq_len=32, peak_lr=0.01),
            Export(),
        ),
        output_dir=output_dir,
    )


def with_later(recipe: Recipe, *later: Stage) -> Recipe:
    """The recipe with other stages behind the first."""
    first, *_, gate, export = recipe.stages
    return replace(recipe, stages=(first, *later, gate, export))


def command(recipe: Recipe, options: list[str]) -> None:
    """Run a recipe as a program does, with options."""
    main(lambda: recipe, options)
