"""Schedules: every learning rate in closed form, by the Trainer's own scheduler."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.optimization import get_scheduler

from recipes.__main__ import all_recipes
from recipes.pipeline.stages.maxrl import MaxRL
from recipes.pipeline.stages.pretrain import Pretrain


def stage_of(total_steps: int, **settings) -> Pretrain:
    return Pretrain(name="s", total_steps=total_steps, batch_size=1, seq_len=8, **settings)


def rates(stage: Pretrain | MaxRL, peak: float):
    """The learning rate of every step, by the Trainer's own schedule."""
    optimizer = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak}])
    arguments = stage.schedule_arguments()
    scheduler = get_scheduler(
        arguments["lr_scheduler_type"],
        optimizer,
        num_warmup_steps=arguments["warmup_steps"],
        num_training_steps=stage.total_steps,
        scheduler_specific_kwargs=arguments.get("lr_scheduler_kwargs"),
    )
    found = []
    for _ in range(stage.total_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@settings(max_examples=60)
@given(st.integers(0, 20), st.integers(0, 30), st.integers(0, 20), st.floats(0, 0.9))
def test_warmup_stable_decay_equals_its_closed_form(warmup, stable, decay, ratio):
    total = max(1, warmup + stable + decay)
    stage = stage_of(total, peak_lr=2.0, min_lr=2.0 * ratio, warmup_steps=warmup, decay_steps=decay)

    def closed_form(step):
        if step < warmup:
            return 2.0 * (ratio + (1 - ratio) * step / warmup)
        if step < total - decay:
            return 2.0
        return 2.0 * (ratio + (1 - ratio) * (1 - (step - (total - decay)) / decay))

    assert rates(stage, 2.0) == pytest.approx([closed_form(step) for step in range(total)])


def test_cosine_and_constant_start_at_the_peak_and_cosine_ends_low():
    cosine = rates(stage_of(100, peak_lr=1.0, min_lr=0.1, warmup_steps=10, schedule="cosine"), 1.0)
    assert cosine[0] == 0 and cosine[10] == 1 and cosine[-1] == pytest.approx(0.1, abs=1e-3)
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert rates(stage_of(20, peak_lr=1.0, warmup_steps=4, schedule="constant"), 1.0)[4:] == [1.0] * 16


def test_reinforcement_learning_ends_with_a_linear_decay_to_zero_or_none():
    decayed = rates(MaxRL(total_steps=10, warmup_steps=2, decay_steps=4, learning_rate=2.0), 2.0)
    assert decayed == pytest.approx([0, 1, 2, 2, 2, 2, 2, 1.5, 1, 0.5])
    assert rates(MaxRL(total_steps=4, warmup_steps=2, learning_rate=2.0), 2.0) == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="maxrl.decay_steps must be at most total_steps=10 together with warmup_"):
        all_recipes()["finetune"].changed(maxrl={"total_steps": 10, "warmup_steps": 4, "decay_steps": 7})
