"""Muon and Lion in one optimizer: every parameter in one group, each at its own rate, states that come back."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.helpers.pretraining import make_trainer
from tests.helpers.tiny import random_tokens, tiny_model
from trainers import optimizers
from trainers.optimizers import MuonAndLion, hidden_matrices, muon_and_lion
from trainers.pretraining import pretraining_arguments

LIONS = ["bitsandbytes", "bitsandbytes_8bit", "torch"]
LARGE = dict(vocab_size=160)  # embedding and head are large enough for a state in 8 bits


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


def test_every_trainable_parameter_belongs_to_one_group():
    model = tiny_model(mhc_num_streams=4)
    model.freeze_gate()
    optimizer = muon_and_lion(model, 0.02, 1e-3, 0.0, "torch")
    given = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    muon, lion = optimizer.param_groups
    assert (muon["kind"], lion["kind"]) == ("muon", "lion")
    assert [id(p) for p in muon["params"]] == [id(p) for _, p in hidden_matrices(model)]
    assert all(
        name.rsplit(".", 2)[1] in "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"
        for name, _ in hidden_matrices(model)
    )


def by_its_state(model, optimizer, folder):
    torch.save((model.state_dict(), optimizer.state_dict()), folder / "state.pt")
    weights, state = torch.load(folder / "state.pt")
    again = tiny_model(seed=1, **LARGE).train()
    again.load_state_dict(weights)
    optimizer = muon_and_lion(again, 0.5, 0.5, 0.0, "torch")
    optimizer.load_state_dict(state)
    return again, optimizer


def by_names(model, optimizer, folder):
    """As sharded checkpoints are written."""
    state = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    again = copy.deepcopy(model)
    optimizer = muon_and_lion(again, 0.5, 0.5, 0.0, "torch")
    set_optimizer_state_dict(again, optimizer, state)
    return again, optimizer


def by_pickling(model, optimizer, folder):
    return pickle.loads(pickle.dumps((model, optimizer)))


def by_copying(model, optimizer, folder):
    return copy.deepcopy((model, optimizer))


@pytest.mark.slow
@pytest.mark.parametrize("saved_and_loaded", [by_its_state, by_names, by_pickling, by_copying])
@pytest.mark.parametrize("lion", LIONS)
def test_a_saved_state_continues_to_the_same_weights(lion, saved_and_loaded, tmp_path):
    undisturbed, interrupted = tiny_model(**LARGE).train(), tiny_model(**LARGE).train()
    steps(undisturbed, muon_and_lion(undisturbed, 0.02, 1e-3, 0.01, lion), 4)

    optimizer = muon_and_lion(interrupted, 0.02, 1e-3, 0.01, lion)
    steps(interrupted, optimizer, 2)
    state = optimizer.state[interrupted.lm_head.weight]
    assert (state["momentum_buffer"].dtype == torch.uint8) == ("absmax" in state) == (lion == "bitsandbytes_8bit")
    again, optimizer = saved_and_loaded(interrupted, optimizer, tmp_path)
    steps(again, optimizer, 2, first=2)
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_the_state_has_the_form_of_every_optimizers():
    model = tiny_model().train()
    optimizer = muon_and_lion(model, 0.02, 1e-3, 0.01, "torch")
    steps(model, optimizer, 1)
    state = optimizer.state_dict()
    count = len(list(model.parameters()))
    assert [index for group in state["param_groups"] for index in group["params"]] == list(range(count))
    assert state["state"].keys() == set(range(count))
    assert all(found.keys() == {"momentum_buffer"} for found in state["state"].values())


def test_a_momentum_in_fp32_of_weights_in_bf16_comes_back_in_fp32():
    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = MuonAndLion([{"kind": "lion", "params": [parameter], "implementation": "bitsandbytes"}])
    parameter.grad = torch.tensor([1, 1 / 3, -0.1], dtype=torch.bfloat16)
    optimizer.step()
    before = optimizer.state[parameter]["momentum_buffer"].clone()
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert torch.equal(optimizer.state[parameter]["momentum_buffer"], before) and before.dtype == torch.float32


def test_hooks_are_called_once_a_step_whatever_the_kinds():
    model = tiny_model().train()
    optimizer = muon_and_lion(model, 0.02, 1e-3, 0.0, "bitsandbytes")
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    handle = register_optimizer_step_post_hook(lambda *_: called.append("after any"))
    steps(model, optimizer, 1)
    handle.remove()
    optimizer.register_state_dict_post_hook(lambda _, state: state | {"note": "saved"})
    optimizer.register_load_state_dict_pre_hook(lambda _, state: called.append(state.pop("note")))
    optimizer.register_load_state_dict_post_hook(lambda _: called.append("loaded"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert called == ["before", "after", "after any", "saved", "loaded"]


@pytest.mark.parametrize(
    "state, message",
    [
        ({"muon": {}, "lion": {}}, "must hold state and param_groups, got muon, lion; from a checkpoint"),
        ({"state": {}, "param_groups": [{"params": [0]}, {"params": [1]}]}, r"kinds \['muon', 'lion'\], got \[None"),
    ],
)
def test_a_state_of_another_optimizer_is_refused(state, message):
    optimizer = muon_and_lion(tiny_model(), 0.02, 1e-3, 0.0, "torch")
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert [group["kind"] for group in optimizer.param_groups] == ["muon", "lion"]


def test_a_group_that_is_added_trains_and_one_of_no_kind_is_refused():
    weight, bias = torch.nn.Parameter(torch.ones(4, 4)), torch.nn.Parameter(torch.ones(4))
    optimizer = MuonAndLion([{"kind": "lion", "params": [bias], "lr": 0.25}])
    for group, message in (
        ({"params": [weight]}, "must be one of muon, lion, got None"),
        ({"kind": "lion", "params": [weight], "implementation": "jax"}, "implementation must be one of .* got 'jax'"),
        ({"kind": "muon", "params": [torch.nn.Parameter(torch.ones(2))]}, r"matrices only, got the shapes \[\(2,\)\]"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group(group)
    optimizer.add_param_group({"kind": "muon", "params": [weight]})
    weight.grad, bias.grad = torch.eye(4), torch.ones(4)
    optimizer.step()
    assert bias.tolist() == [0.75] * 4 and not torch.equal(weight, torch.ones(4, 4))


@given(st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=6), st.floats(0, 0.5), st.integers(1, 4))
def test_lion_moves_by_the_sign_of_the_interpolated_momentum(gradients, decay, count):
    parameter = torch.nn.Parameter(torch.ones(len(gradients)))
    group = {"kind": "lion", "params": [parameter], "lr": 0.125, "betas": (0.75, 0.5), "weight_decay": decay}
    optimizer = MuonAndLion([group])
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


def test_the_trainer_trains_with_it_and_the_schedule_scales_every_group(tmp_path):
    settings = dict(optimizer="muon_lion", muon_lr=0.02, lion_lr=1e-3, max_steps=4, lr_scheduler_type="linear")
    trainer = make_trainer(tmp_path, **settings)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["muon_lr"] for entry in logs] == pytest.approx([0.02 * share for share in (1, 0.75, 0.5, 0.25)])
    assert [entry["lion_lr"] for entry in logs] == pytest.approx([1e-3 * share for share in (1, 0.75, 0.5, 0.25)])


@pytest.mark.parametrize("in_bf16", [True, False])
def test_muon_is_torchs_muon_to_the_bit_in_bf16_and_up_to_rounding_in_fp32(in_bf16, monkeypatch):
    """Of well-conditioned gradients, where rounding to bf16 changes little."""
    monkeypatch.setattr(optimizers, "has_fast_bf16", lambda: in_bf16)
    torch.manual_seed(0)
    for shape in ((16, 32), (32, 16), (16, 16)):
        start = torch.randn(shape)
        gradients = [torch.linalg.qr(torch.randn(32, 32))[0][: shape[0], : shape[1]] for _ in range(3)]
        found = []
        for ours in (True, False):
            weight = torch.nn.Parameter(start.clone())
            if ours:
                optimizer = MuonAndLion([{"kind": "muon", "params": [weight], "lr": 0.1, "weight_decay": 0.01}])
            else:
                optimizer = torch.optim.Muon([weight], lr=0.1, weight_decay=0.01, adjust_lr_fn="original")
            for gradient in gradients:
                weight.grad = gradient.clone()
                optimizer.step()
            found.append(weight.detach() - start)
        if in_bf16:
            assert torch.equal(*found)
        assert (found[0] - found[1]).norm() < 0.02 * found[0].norm()


@pytest.mark.parametrize("in_bf16, tolerance", [(True, 2e-2), (False, 1e-5)])
def test_muon_moves_stacked_matrices_as_it_moves_each_alone(in_bf16, tolerance, monkeypatch):
    monkeypatch.setattr(optimizers, "has_fast_bf16", lambda: in_bf16)
    torch.manual_seed(0)
    # Of one shape with two in a stack and one left over, tall, and wide.
    start = [torch.randn(shape) for shape in [(16, 32)] * 3 + [(32, 16)] * 2]
    gradients = [torch.linalg.qr(torch.randn(32, 32))[0][: each.shape[0], : each.shape[1]] for each in start]
    gradients[1] *= 1e4  # each matrix has a norm of its own
    steps, sizes = [], []
    for stacked in (False, True):
        weights: list[torch.Tensor] = [torch.nn.Parameter(each.clone()) for each in start]
        optimizer = MuonAndLion([{"kind": "muon", "params": weights, "lr": 0.1, "weight_decay": 0.01}])
        monkeypatch.setattr(optimizers, "is_stacked", lambda matrix, stacked=stacked: stacked)
        monkeypatch.setattr(optimizers, "STACK_NUMBERS", 2 * 16 * 32)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        optimizer.step()
        steps.append([weight.detach() - before for weight, before in zip(weights, start, strict=True)])
        sizes.append([len(stack) for stack in optimizers._stacks(weights)])
    assert sizes == [[1] * 5, [2, 1, 2]]
    for alone, together in zip(*steps, strict=True):
        assert (alone - together).norm() < tolerance * alone.norm()


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(optimizer="sgd"), "optimizer must be one of muon_lion, adamw, got 'sgd'"),
        (dict(lion_impl="jax"), "lion_impl must be one of"),
        (dict(checkpoint_granularity="token"), "checkpoint_granularity must be one of layer, loop, group, selective"),
        (dict(muon_lr=0.0), "muon_lr must be above 0 and finite, got 0.0"),
        (dict(lion_lr=float("nan")), "lion_lr must be above 0 and finite, got nan"),
        (dict(learning_rate=-1.0), "learning_rate must be above 0 and finite"),
        (dict(loop_scale_lr_multiplier=0.0), "loop_scale_lr_multiplier must be above 0 and finite, got 0.0"),
        (dict(min_lr_ratio=1.5), "min_lr_ratio must be from 0 to 1"),
        (dict(exit_entropy_weight=-0.1), "exit_entropy_weight must be at least 0"),
    ],
)
def test_impossible_settings_are_refused_by_name(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        pretraining_arguments(output_dir=str(tmp_path), **settings)


def test_adamw_decays_no_scale_of_loops_and_every_matrix(tmp_path):
    trainer = make_trainer(tmp_path, tiny_model(loop_update="scaled"), optimizer="adamw", weight_decay=0.1)
    decayed, others = trainer.create_optimizer().param_groups
    model = trainer.model
    assert any(parameter is model.model.loop_scale for parameter in others["params"])
    assert {id(matrix) for _, matrix in hidden_matrices(model)} <= {id(each) for each in decayed["params"]}


@pytest.mark.parametrize(
    "settings", [dict(optimizer="adamw"), dict(optimizer="muon_lion", lion_impl="torch")], ids=str
)
def test_the_loop_scale_has_its_own_learning_rate_also_after_a_checkpoint(tmp_path, settings):
    def trained(folder, multiplier, checkpoint=None, steps=2):
        model = tiny_model(loop_update="scaled")
        scale = model.get_parameter("model.loop_scale")
        before = scale.detach().clone()
        chosen = settings | dict(max_steps=steps, save_steps=1, lr_scheduler_type="linear", learning_rate=1e-3)
        trainer = make_trainer(folder, model, loop_scale_lr_multiplier=multiplier, **chosen)
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer, (scale.detach() - before).abs().mean()

    (_, once), (fast, moved) = trained(tmp_path / "1", 1.0, steps=1), trained(tmp_path / "10", 10.0, steps=1)
    assert moved.item() == pytest.approx(10 * once.item(), rel=1e-3)
    whole, moved = trained(tmp_path / "whole", 10.0)
    resumed, again = trained(tmp_path / "resumed", 10.0, str(tmp_path / "whole" / "checkpoint-1"))
    assert moved == again
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    rates = [entry for entry in whole.state.log_history if "loss" in entry]
    base = "learning_rate" if settings["optimizer"] == "adamw" else "lion_lr"
    assert [entry["loop_scale_lr"] for entry in rates] == pytest.approx([10 * entry[base] for entry in rates])
    assert len(fast.optimizer.param_groups) == 3


def test_a_model_without_a_loop_scale_refuses_a_learning_rate_for_it(tmp_path):
    with pytest.raises(
        ValueError, match="loop_scale_lr_multiplier must be 1 for a model without a loop scale .* got 2"
    ):
        make_trainer(tmp_path, tiny_model(), loop_scale_lr_multiplier=2.0)
