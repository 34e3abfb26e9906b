"""Training on a teacher: a student that is the teacher stays, another one learns, however the batches are divided."""

import json
import os
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model

from tests.helpers.distillation import distilled, make_distillation_trainer
from tests.helpers.paths import HELPERS
from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.distillation.loss import DistillationWeights


def logged(trainer, name: str) -> list[float]:
    return [entry[name] for entry in trainer.state.log_history if name in entry]


def test_a_student_that_is_the_teacher_has_no_divergence_and_stays(tmp_path):
    student = tiny_model()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    trainer = make_distillation_trainer(tmp_path, tiny_model(), student, DistillationWeights(2.0), max_steps=3)
    trainer.train()
    assert logged(trainer, "teacher_kl") == logged(trainer, "loss") == [0, 0, 0]
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())


def test_a_student_learns_a_fixed_random_teacher(tmp_path):
    rows = [{"input_ids": row, "labels": row} for row in random_tokens(8, 8)]
    weights = DistillationWeights(self_distillation_weight=0.5)
    settings = dict(max_steps=30, learning_rate=1e-2, lr_scheduler_type="constant")
    trainer = make_distillation_trainer(tmp_path, tiny_llama(), tiny_model(seed=1), weights, rows, **settings)
    trainer.train()
    divergences = logged(trainer, "teacher_kl")
    assert len(divergences) == 30 and divergences[-1] < divergences[0] / 2
    depth = logged(trainer, "depth_kl")
    assert depth[-1] < depth[0]


def test_padding_and_ignored_labels_change_nothing(tmp_path):
    weights = DistillationWeights(hard_weight=1.0, self_distillation_weight=1.0)
    row = random_tokens(1, 8)[0]
    masked = torch.cat([torch.tensor([7, 7, 7]), row])
    padded = {"input_ids": masked, "labels": masked, "attention_mask": torch.tensor([0] * 3 + [1] * 8)}
    plain, with_padding = (
        distilled(tmp_path, weights, [each]) for each in ({"input_ids": row, "labels": row}, padded)
    )
    for name, value in plain.items():
        torch.testing.assert_close(with_padding[name], value, atol=2e-5, rtol=1e-3)


def test_accumulated_batches_are_one_batch(tmp_path):
    weights = DistillationWeights(2.0, 1.0, 1.0, 1.0)
    one = distilled(tmp_path, weights, per_device_train_batch_size=4)
    four = distilled(tmp_path, weights, per_device_train_batch_size=1, gradient_accumulation_steps=4)
    for name, value in one.items():
        torch.testing.assert_close(four[name], value, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize(("depth_weight", "codas"), [(0.0, 1), (1.0, 3)])
def test_the_coda_of_a_student_follows_the_loops_that_the_loss_compares(tmp_path, depth_weight, codas):
    student = tiny_model(num_coda_layers=1, num_loops=3, loop_update="scaled")
    calls = []
    student.model.layers[-1].register_forward_hook(lambda *_: calls.append(None))
    weights = DistillationWeights(self_distillation_weight=depth_weight)
    trainer = make_distillation_trainer(tmp_path, tiny_llama(), student, weights, save_strategy="no")
    trainer.train()
    assert len(calls) == codas and trainer.counted_config().predicted_loops == codas
    losses = [name for name in trainer.state.log_history[0] if name.endswith("_loss")]
    assert losses == [f"loop_{loop}_loss" for loop in range(4 - codas, 4)]


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    script = HELPERS / "distillation_process.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["processes"] == 2 and found["largest difference"] < 1e-4 and found["of the relations"] < 1e-4


def test_a_head_with_an_adapter_is_refused(tmp_path):
    student = get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["lm_head"]))
    with pytest.raises(ValueError, match="the student's head must be a linear layer without bias or adapter, got"):
        make_distillation_trainer(tmp_path, tiny_llama(), student, DistillationWeights())
