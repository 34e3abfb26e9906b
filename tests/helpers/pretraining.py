"""A trainer of a tiny model for a step or a few."""

from tests.helpers.tiny import random_tokens, tiny_model
from trainers.pretraining import LoopLMTrainer, pretraining_arguments


def rows_with_unequal_labels(num_rows=4, length=8):
    """Row i predicts from position 2 i on, so that a mean of means is not the mean."""
    tokens = random_tokens(num_rows, length)
    labels = tokens.clone()
    for index in range(num_rows):
        labels[index, : 2 * index] = -100
    return [{"input_ids": row, "labels": row_labels} for row, row_labels in zip(tokens, labels, strict=True)]


def make_trainer(folder, model=None, trainer_class=LoopLMTrainer, rows=None, **settings):
    settings = dict(max_steps=1, learning_rate=0.1, logging_steps=1, disable_tqdm=True, bf16=False) | settings
    model = tiny_model() if model is None else model
    rows = rows_with_unequal_labels() if rows is None else rows
    arguments = pretraining_arguments(output_dir=str(folder), **settings)
    return trainer_class(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
