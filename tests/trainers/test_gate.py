"""The gate's own stage: the paper's formula, and nothing but the gate moves."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.helpers.pretraining import make_trainer
from tests.helpers.tiny import random_tokens, tiny_model
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.gate import GateTrainer, freeze_all_but_gate, gate_loss
from trainers.pretraining import pretraining_arguments


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 99))
def test_the_loss_equals_its_formula_written_out(loops, tokens, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(tokens, loops, generator=generator, dtype=torch.float64)
    losses = torch.rand(loops, tokens, generator=generator, dtype=torch.float64) * 0.1
    valid = torch.rand(tokens, generator=generator) < 0.7
    terms = []
    for token in range(tokens):
        for loop in range(1, loops):
            improvement = max(0.0, float(losses[loop - 1, token] - losses[loop, token]))
            go_on = 1 / (1 + math.exp(-50 * (improvement - 0.005)))
            hazard = 1 / (1 + math.exp(-float(logits[token, loop])))
            if valid[token]:
                terms.append(-(go_on * math.log(1 - hazard) + (1 - go_on) * math.log(hazard)))
    expected = sum(terms) / max(1, len(terms))
    assert float(gate_loss(logits, losses, valid)) == pytest.approx(expected, abs=1e-9)


def test_descent_leaves_where_a_loop_does_not_help():
    losses = torch.tensor([[2.0], [1.0], [1.0], [1.0]])  # only the second loop helps
    logits = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        optimizer.zero_grad()
        gate_loss(logits, losses, torch.tensor([True])).backward()
        optimizer.step()
    assert logits[0, 1] < -2 and logits[0, 2] > 0 and logits[0, 3] > 0


def test_only_the_gate_learns(tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = make_trainer(tmp_path, model=model, trainer_class=GateTrainer, max_steps=3)
    trainer.train()
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["model.exit_gate.weight", "model.exit_gate.bias"]
    assert {"loop_3_loss", "mean_exit_loop", "exit_entropy"} <= trainer.state.log_history[0].keys()


def test_accumulated_batches_are_one_batch(tmp_path):
    tokens = random_tokens(4, 8)
    rows = [{"input_ids": row, "labels": row} for row in tokens]
    gates = []
    for size, accumulation in ((4, 1), (1, 4)):
        settings = dict(per_device_train_batch_size=size, gradient_accumulation_steps=accumulation, max_grad_norm=0)
        trainer = make_trainer(tmp_path, trainer_class=GateTrainer, rows=rows, optim="sgd", **settings)
        trainer.train()
        gates.append(trainer.model.model.exit_gate.weight.detach())
    torch.testing.assert_close(*gates, atol=1e-6, rtol=1e-4)


def test_a_single_loop_has_no_gate_to_train(tmp_path):
    arguments = pretraining_arguments(output_dir=str(tmp_path))
    with pytest.raises(ValueError, match="num_loops must be at least 2 to train the gate, got 1"):
        GateTrainer(model=tiny_model(num_loops=1), args=arguments)


def test_frozen_means_no_graph_but_the_gates():
    model = tiny_model().train()
    freeze_all_but_gate(model)
    outputs = model(random_tokens(1, 8), use_cache=False, output_loop_states=True, return_logits=False)
    assert outputs.gate_logits.requires_grad and not outputs.loop_hidden_states[-1].requires_grad


@pytest.mark.slow
def test_a_recipe_may_end_with_the_gates_stage(tmp_path, no_clean_process):
    recipe = tiny_recipe(tmp_path, total_steps=2, decay_steps=0, save_steps=1).changed(gate={"total_steps": 2})
    command(recipe, [])
    first, last = (
        AutoModelForCausalLM.from_pretrained(recipe.run_dir / name / "model") for name in ("pretrain", "gate")
    )
    assert torch.equal(first.lm_head.weight, last.lm_head.weight)
    assert not torch.equal(first.model.exit_gate.weight, last.model.exit_gate.weight)
