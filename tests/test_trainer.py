"""The Hugging Face Trainer with this model: right scaling under accumulation, evaluation, readable logs."""

import pytest
import torch
from tiny import VOCAB_SIZE, random_tokens, tiny_model
from transformers import Trainer

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


@pytest.mark.parametrize("form", ["expected", "final"])
def test_accumulating_four_rows_is_a_batch_of_four(tmp_path, form):
    states = []
    for batch_size, accumulation in ((4, 1), (1, 4)):
        trainer = make_trainer(
            tmp_path,
            model=tiny_model(loop_loss=form),
            optim="sgd",
            max_grad_norm=0,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        )
        before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        trainer.train()
        states.append(trainer.model.state_dict())
    assert not torch.equal(states[0]["lm_head.weight"], before["lm_head.weight"])
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("trainer_class", [Trainer, LoopLMTrainer])
def test_evaluate_gives_the_mean_loss_over_the_labels(tmp_path, trainer_class):
    trainer = make_trainer(tmp_path, trainer_class=trainer_class, per_device_eval_batch_size=4)
    batch = {name: torch.stack([row[name] for row in rows_with_unequal_labels()]) for name in ("input_ids", "labels")}
    with torch.no_grad():
        expected = trainer.model.eval()(**batch).loss.item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluate_hands_the_logits_alone_to_the_metrics(tmp_path):
    shapes = []
    trainer = make_trainer(tmp_path, trainer_class=Trainer)
    trainer.compute_metrics = lambda prediction: shapes.append(prediction.predictions.shape) or {}
    trainer.evaluate()
    assert shapes == [(4, 8, VOCAB_SIZE)]


def test_the_log_tells_the_loss_of_every_loop_and_the_exit_depth(tmp_path):
    trainer = make_trainer(tmp_path, per_device_train_batch_size=4, max_steps=2)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logs) == 2
    for entry in logs:
        assert {"loop_1_loss", "loop_2_loss", "loop_3_loss"} <= entry.keys()
        assert 1 <= entry["mean_exit_loop"] <= 3 and entry["entropy_penalty"] >= 0
    model = tiny_model()
    batch = {name: torch.stack([row[name] for row in rows_with_unequal_labels()]) for name in ("input_ids", "labels")}
    expected = model(**batch).loop_losses
    assert [logs[0][f"loop_{loop}_loss"] for loop in (1, 2, 3)] == pytest.approx(expected.tolist(), rel=1e-4)
