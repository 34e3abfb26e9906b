"""Muon and Lion behind one optimizer: every parameter in one part, each at its own rate, states that come back."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_trainer import make_trainer
from tiny import random_tokens, tiny_model
from torch.optim import Muon

from trainers.optimizers import CombinedOptimizer, Float32Muon, Lion, hidden_matrices, muon_and_lion
from trainers.pretraining import pretraining_arguments

LIONS = ["bitsandbytes", "bitsandbytes_8bit", "torch"]


def steps(model, optimizer, count, first=0):
    losses = []
    for step in range(first, first + count):
        tokens = random_tokens(2, 12, seed=step)
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def test_every_trainable_parameter_belongs_to_one_part():
    model = tiny_model(mhc_num_streams=4)
    model.freeze_gate()
    optimizer = muon_and_lion(model, 0.02, 1e-3, 0.0, "torch")
    given = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert {id(p) for p in optimizer.parts["muon"].param_groups[0]["params"]} == {
        id(p) for _, p in hidden_matrices(model)
    }
    assert all(
        name.rsplit(".", 2)[1] in "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"
        for name, _ in hidden_matrices(model)
    )


@pytest.mark.parametrize("lion", LIONS)
def test_a_saved_state_continues_to_the_same_weights(lion, tmp_path):
    undisturbed, interrupted = tiny_model().train(), tiny_model().train()
    optimizer = muon_and_lion(undisturbed, 0.02, 1e-3, 0.01, lion)
    steps(undisturbed, optimizer, 5)

    optimizer = muon_and_lion(interrupted, 0.02, 1e-3, 0.01, lion)
    steps(interrupted, optimizer, 2)
    torch.save((interrupted.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    weights, state = torch.load(tmp_path / "state.pt")
    again = tiny_model(seed=1).train()
    again.load_state_dict(weights)
    optimizer = muon_and_lion(again, 0.5, 0.5, 0.0, lion)
    optimizer.load_state_dict(state)
    steps(again, optimizer, 3, first=2)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_state_of_other_parts_is_refused():
    optimizer = muon_and_lion(tiny_model(), 0.02, 1e-3, 0.0, "torch")
    with pytest.raises(ValueError, match="must be one of muon, lion, got state, param_groups"):
        optimizer.load_state_dict(torch.optim.SGD([torch.zeros(1)], lr=1).state_dict())


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6), st.floats(0, 0.5), st.integers(1, 4))
def test_lion_moves_by_the_sign_of_the_interpolated_momentum(gradients, decay, count):
    parameter = torch.nn.Parameter(torch.ones(len(gradients)))
    optimizer = Lion([parameter], lr=0.125, betas=(0.75, 0.5), weight_decay=decay)
    expected, momentum = [1.0] * len(gradients), [0.0] * len(gradients)
    for _ in range(count):
        parameter.grad = torch.tensor(gradients)
        optimizer.step()
        for index, gradient in enumerate(gradients):
            direction = 0.75 * momentum[index] + 0.25 * gradient
            sign = math.copysign(1, direction) if abs(direction) > 1e-40 else 0
            expected[index] = expected[index] * (1 - 0.125 * decay) - 0.125 * sign
            momentum[index] = 0.5 * momentum[index] + 0.5 * gradient
    assert parameter.tolist() == pytest.approx(expected, abs=1e-5)


def test_our_lion_and_the_one_of_bitsandbytes_are_one():
    models = [tiny_model().train() for _ in range(2)]
    for model, lion in zip(models, ("torch", "bitsandbytes"), strict=True):
        steps(model, muon_and_lion(model, 0.02, 1e-3, 0.0, lion), 3)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_muon_moves_a_matrix_by_a_nearly_orthogonal_step(decay):
    model = tiny_model(num_shared_layers=1).train()
    optimizer = muon_and_lion(model, 0.02, 1e-3, decay, "torch")
    weight = model.model.layers[0].mlp.up_proj.weight  # (64, 32)
    before = weight.detach().clone()
    steps(model, optimizer, 1)
    step = (before * (1 - 0.02 * decay) - weight.detach()) / (0.02 * math.sqrt(64 / 32))
    assert 0.5 < torch.linalg.svdvals(step).min() and torch.linalg.svdvals(step).max() < 1.5


def test_the_trainer_trains_with_it_and_the_schedule_scales_every_part(tmp_path):
    settings = dict(optimizer="muon_lion", muon_lr=0.02, lion_lr=1e-3, max_steps=4, lr_scheduler_type="linear")
    trainer = make_trainer(tmp_path, **settings)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["muon_lr"] for entry in logs] == pytest.approx([0.02 * share for share in (1, 0.75, 0.5, 0.25)])
    assert [entry["lion_lr"] for entry in logs] == pytest.approx([1e-3 * share for share in (1, 0.75, 0.5, 0.25)])
    assert isinstance(trainer.optimizer.optimizer, CombinedOptimizer)


@pytest.mark.slow
def test_sharded_parameters_train_as_whole_ones():
    """FSDP2 on two processes; Muon's bf16 iteration rounds otherwise there, and ternary weights amplify that."""
    script = Path(__file__).with_name("sharded_process.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout)
    assert "fsdp needs GPUs" in found["trainer"]
    assert found["adamw"][0] == pytest.approx(found["adamw"][1], rel=1e-5)
    assert found["muon_lion"][0] == pytest.approx(found["muon_lion"][1], rel=1e-3)


def test_muon_in_fp32_is_torchs_muon_up_to_rounding():
    """Of well-conditioned gradients, where rounding to bf16 changes little."""
    torch.manual_seed(0)
    for shape in ((16, 32), (32, 16), (16, 16)):
        start, gradients = (
            torch.randn(shape),
            [torch.linalg.qr(torch.randn(32, 32))[0][: shape[0], : shape[1]] for _ in range(3)],
        )
        found = []
        for kind in (Muon, Float32Muon):
            weight = torch.nn.Parameter(start.clone())
            optimizer = kind([weight], lr=0.1, weight_decay=0.01, momentum=0.95, adjust_lr_fn="original")
            for gradient in gradients:
                weight.grad = gradient.clone()
                optimizer.step()
            found.append(weight.detach() - start)
        assert (found[0] - found[1]).norm() < 0.02 * found[0].norm()


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(optimizer="sgd"), "optimizer must be one of muon_lion, adamw, got 'sgd'"),
        (dict(lion_impl="jax"), "lion_impl must be one of"),
        (dict(checkpoint_granularity="token"), "checkpoint_granularity must be one of layer, loop"),
        (dict(muon_lr=0.0), "muon_lr must be above 0 and finite, got 0.0"),
        (dict(lion_lr=float("nan")), "lion_lr must be above 0 and finite, got nan"),
        (dict(learning_rate=-1.0), "learning_rate must be above 0 and finite"),
        (dict(min_lr_ratio=1.5), "min_lr_ratio must be from 0 to 1"),
        (dict(exit_entropy_weight=-0.1), "exit_entropy_weight must be at least 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        pretraining_arguments(output_dir=str(tmp_path), **settings)
