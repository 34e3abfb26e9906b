"""The smallest recipe that goes through the whole pipeline."""

from pathlib import Path

from recipes.pipeline.schema import DataRecipe, Recipe, TrainingRecipe
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_config


def tiny_recipe(output_dir: Path, **training) -> Recipe:
    training = (
        dict(
            total_steps=6,
            warmup_steps=1,
            decay_steps=2,
            batch_size=4,
            micro_batch_size=2,
            peak_lr=1e-2,
            logging_steps=1,
            save_steps=2,
        )
        | training
    )
    return Recipe(
        name="tiny",
        description="a recipe for tests",
        model=tiny_config(activation_bits=8, mhc_num_streams=1, vocab_size=300),
        data=DataRecipe(data_dir=BUILTIN, seq_len=32, vocab_size=300, validation_fraction=0.1),
        training=TrainingRecipe(**training),
        output_dir=output_dir,
    )
