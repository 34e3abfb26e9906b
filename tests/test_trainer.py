"""The Hugging Face Trainer with this model: right scaling under accumulation, evaluation, readable logs."""

import shutil

import pytest
import torch
from tiny import VOCAB_SIZE, random_tokens, tiny_model
from transformers import Trainer

from evaluation import progress
from trainers.callbacks import EvaluateCallback, LoopProgressCallback, MetricsFileCallback
from trainers.plots import plot_metrics, read_metrics
from trainers.pretraining import LoopLMTrainer, last_complete_checkpoint, pretraining_arguments


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


def test_what_cannot_be_trained_on_is_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match="train_dataset must hold at least one row, got none"):
        make_trainer(tmp_path, rows=[])
    tokens = random_tokens(1, 9)[0]
    with pytest.raises(ValueError, match="rows of at most max_position_embeddings=8, got 9"):
        make_trainer(tmp_path, model=tiny_model(max_position_embeddings=8), rows=[{"input_ids": tokens}])


def test_a_checkpoint_of_another_shape_is_refused_by_name(tmp_path):
    make_trainer(tmp_path, save_steps=1).train()
    other = make_trainer(tmp_path / "other", model=tiny_model(intermediate_size=128))
    with pytest.raises(ValueError, match=r"mlp.down_proj.weight has the shape \[32, 64\] there and \[32, 128\] here"):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_full_disk_is_noticed_before_the_checkpoint(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, save_steps=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match="no checkpoint was written at step 1: it needs about .* GB are free"):
        trainer.train()
    assert not list(tmp_path.glob("checkpoint-*"))


class EvaluationFailed(RuntimeError):
    """Stands for whatever may happen in an evaluation."""


def test_an_evaluation_that_fails_leaves_the_checkpoint_and_is_made_up_for(tmp_path):
    metrics, evaluated = tmp_path / "metrics.jsonl", []

    def evaluate(model, step):
        assert not model.training and (tmp_path / f"checkpoint-{step}" / "trainer_state.json").exists()
        evaluated.append(step)
        if len(evaluated) == 2:
            raise EvaluationFailed
        return {"eval_loss": float(step)}

    def train():
        trainer = make_trainer(tmp_path, max_steps=6, save_steps=1)
        trainer.add_callback(MetricsFileCallback(metrics))
        trainer.add_callback(EvaluateCallback(evaluate, metrics, steps=2))
        checkpoint = last_complete_checkpoint(tmp_path)
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    with pytest.raises(EvaluationFailed):
        train()
    assert evaluated == [2, 4] and last_complete_checkpoint(tmp_path).name == "checkpoint-4"
    train()
    assert evaluated == [2, 4, 4, 6]
    logs, evaluations = read_metrics(tmp_path)
    assert [entry["step"] for entry in evaluations] == [2, 4, 6]
    assert [entry["step"] for entry in logs] == [1, 2, 3, 4, 5, 6]
    assert plot_metrics(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_a_training_in_a_pipe_tells_its_steps_in_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LEAST_SECONDS_BETWEEN_LINES", 0)
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.add_callback(LoopProgressCallback)
    trainer.train()
    shown = capsys.readouterr()
    assert "Training: 50% of 2 steps" in shown.err and "Training: 100% of 2 steps" in shown.err
    assert "step      2  objective" in shown.out and "\r" not in shown.out + shown.err
