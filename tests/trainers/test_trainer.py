"""The Hugging Face Trainer with this model: right scaling under accumulation, evaluation, readable logs."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F
from transformers import Trainer

from evaluation import progress
from evaluation.training_curves import read_metrics
from tests.helpers.pretraining import make_trainer, rows_with_unequal_labels
from tests.helpers.tiny import VOCAB_SIZE, random_tokens, tiny_model
from trainers.callbacks import EvaluateCallback, LoopProgressCallback, MetricsFileCallback
from trainers.gate import GateTrainer
from trainers.plots import plot_metrics
from trainers.pretraining import LoopLMTrainer, checkpoint_bytes, last_complete_checkpoint, pretraining_arguments

LENGTHS = (8, 3, 5, 2)


def ragged_rows():
    rows = [tokens[:length] for tokens, length in zip(random_tokens(4, 8), LENGTHS, strict=True)]
    return [{"input_ids": row, "labels": row, "attention_mask": torch.ones_like(row)} for row in rows]


def padded(rows, side):
    """All of them by zeros to 8 tokens, their labels too."""
    missing = [8 - len(row["input_ids"]) for row in rows]
    pads = [(count, 0) if side == "left" else (0, count) for count in missing]
    return [{name: F.pad(value, pad) for name, value in row.items()} for row, pad in zip(rows, pads, strict=True)]


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


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("trainer_class, streams", [(LoopLMTrainer, 1), (GateTrainer, 2)])
def test_padding_changes_neither_the_step_nor_the_log(tmp_path, trainer_class, streams, side):
    weights, logs = [], []
    for rows, batch_size, accumulation in ((padded(ragged_rows(), side), 4, 1), (ragged_rows(), 1, 4)):
        trainer = make_trainer(
            tmp_path,
            model=tiny_model(mhc_num_streams=streams, activation_bits=8),
            trainer_class=trainer_class,
            rows=rows,
            optim="sgd",
            max_grad_norm=0,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        )
        trainer.train()
        weights.append(trainer.model.state_dict())
        logs.append(trainer.state.log_history[0])
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, atol=1e-6, rtol=1e-4)
    assert logs[0]["tokens_seen"] == logs[1]["tokens_seen"] == sum(LENGTHS)
    names = [name for name in logs[0] if "loop" in name or name.startswith("exit") or name in ("loss", "grad_norm")]
    assert {"loop_1_loss", "exit_3", "mean_exit_loop"} <= set(names)
    assert [logs[1][name] for name in names] == pytest.approx([logs[0][name] for name in names], rel=1e-4)


def test_the_tokens_seen_are_counted_and_go_on_after_a_checkpoint(tmp_path):
    rows = padded(ragged_rows(), "right")
    settings = dict(rows=rows, per_device_train_batch_size=4, save_steps=1, logging_steps=2)
    make_trainer(tmp_path, max_steps=1, **settings).train()
    trainer = make_trainer(tmp_path, max_steps=2, **settings)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    seen = [entry["tokens_seen"] for entry in trainer.state.log_history if "tokens_seen" in entry]
    assert seen == [2 * sum(LENGTHS)]


@pytest.mark.parametrize("trainer_class", [LoopLMTrainer, GateTrainer])
def test_another_loss_than_the_models_is_refused_by_name(tmp_path, trainer_class):
    with pytest.raises(ValueError, match=r"label_smoothing_factor must be left out, .* got 0.1"):
        make_trainer(tmp_path, trainer_class=trainer_class, label_smoothing_factor=0.1)
    arguments = pretraining_arguments(output_dir=str(tmp_path))
    with pytest.raises(ValueError, match="compute_loss_func must be left out"):
        trainer_class(model=tiny_model(), args=arguments, compute_loss_func=lambda *_, **__: None)


def test_a_plain_trainer_that_keeps_the_labels_back_is_told(tmp_path):
    trainers = [make_trainer(tmp_path, trainer_class=Trainer, label_smoothing_factor=0.1)]
    trainers += [make_trainer(tmp_path, trainer_class=Trainer)]
    trainers[1].compute_loss_func = lambda outputs, labels, num_items_in_batch: outputs.logits.sum()
    for trainer in trainers:
        for call in (trainer.train, trainer.evaluate):
            with pytest.raises(
                ValueError, match="labels must be given .* label_smoothing_factor and compute_loss_func"
            ):
                call()


def with_lora(model):
    return get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))


def test_what_is_asked_of_a_model_reaches_it_within_adapters(tmp_path):
    model = tiny_model()
    trainer = make_trainer(
        tmp_path, model=with_lora(model), activation_checkpointing=True, checkpoint_granularity="loop"
    )
    trainer.train()
    assert model.model.checkpoint_loops
    assert 0 < trainer.state.log_history[0]["zero_weights"] < 1
    GateTrainer(model=with_lora(tiny_model()), args=pretraining_arguments(output_dir=str(tmp_path)))


def test_with_selective_checkpointing_a_resumed_training_ends_with_the_weights_of_one_without_recomputation(tmp_path):
    plain = make_trainer(tmp_path / "plain", max_steps=2)
    plain.train()
    settings = dict(activation_checkpointing=True, checkpoint_granularity="selective", save_steps=1)
    make_trainer(tmp_path / "selective", max_steps=2, **settings).train()
    resumed = make_trainer(tmp_path / "selective", max_steps=2, **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "selective" / "checkpoint-1"))
    assert all(layer.selective and layer.gradient_checkpointing for layer in resumed.model.model.layers)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


def test_a_saved_model_uses_its_cache(tmp_path):
    for trainer_class in (Trainer, LoopLMTrainer):
        trainer = make_trainer(tmp_path, trainer_class=trainer_class, save_steps=1)
        trainer.train()
        assert json.loads((tmp_path / "checkpoint-1" / "config.json").read_text())["use_cache"] is True
        assert not trainer.model.config.use_cache


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
    with pytest.raises(
        ValueError, match=r"down_proj.weight has the shape \[32, 64\] in it and \[32, 128\] in the model"
    ):
        other.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))


def test_a_full_disk_is_noticed_before_the_checkpoint(tmp_path, monkeypatch):
    trainer = make_trainer(tmp_path, save_steps=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    with pytest.raises(OSError, match="no checkpoint was written at step 1: it needs about .* GB are free"):
        trainer.train()
    assert not list(tmp_path.glob("checkpoint-*"))


def test_an_adapters_checkpoint_needs_no_room_for_the_model(tmp_path):
    model = tiny_model()
    whole, adapted = checkpoint_bytes(model), checkpoint_bytes(with_lora(model))
    trained = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert adapted == 16 * trained < whole / 10
    model = tiny_model()
    model.requires_grad_(False)
    assert checkpoint_bytes(model) == sum(each.nbytes for each in model.parameters()), "frozen ones are saved as well"


def test_a_row_that_is_too_long_is_refused_wherever_it_is(tmp_path):
    model = tiny_model(max_position_embeddings=8)
    rows = [{"input_ids": row, "labels": row} for row in (random_tokens(1, 8)[0], random_tokens(1, 9)[0])]
    trainer = make_trainer(tmp_path, model=model, rows=rows, per_device_train_batch_size=1, max_steps=2)
    with pytest.raises(ValueError, match="rows of at most max_position_embeddings=8, got 9"):
        trainer.train()


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
    records = [json.loads(line) for line in (tmp_path / "evaluations.jsonl").open()]
    assert [(each["step"], each["timestamp"]) for each in records] == [
        (each["step"], each["timestamp"]) for each in evaluations
    ]
    assert plot_metrics(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_a_training_in_a_pipe_tells_its_steps_in_lines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LEAST_SECONDS_BETWEEN_LINES", 0)
    trainer = make_trainer(tmp_path, max_steps=2)
    trainer.add_callback(LoopProgressCallback)
    trainer.train()
    shown = capsys.readouterr()
    assert "Training: 50% of 2 steps" in shown.err and "Training: 100% of 2 steps" in shown.err
    assert "step      2  objective" in shown.out and "\r" not in shown.out + shown.err
