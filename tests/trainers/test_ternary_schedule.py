"""The schedule from float to ternary weights: a function of the step, which leaves a plain ternary model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.pretraining import make_trainer
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.pretraining import LoopLMTrainer
from trainers.ternary_schedule import PLAIN, TernarySchedule


@settings(max_examples=25)
@given(
    warmup=st.floats(0, 1),
    shape=st.sampled_from(["blend", "layers"]),
    residual=st.floats(0, 2),
    total=st.integers(1, 50),
    blocks=st.integers(1, 7),
)
def test_shares_grow_in_the_order_of_the_blocks_and_end_at_plain_ternary_weights(
    warmup, shape, residual, total, blocks
):
    schedule = TernarySchedule(warmup, shape, residual)
    steps = [schedule.shares(step, total, blocks) for step in range(total)]
    for earlier, later in zip(steps, steps[1:], strict=False):
        assert all(old.ternary <= new.ternary for old, new in zip(earlier, later, strict=True))
    for step, shares in enumerate(steps):
        grown = [each.ternary for each in shares]
        assert grown == sorted(grown, reverse=True) and (shape == "layers" or len(set(grown)) == 1)
        if step >= warmup * total:
            assert set(grown) == {1.0}
            assert residual or set(shares) == {PLAIN}
    if total > 1:
        assert all(each.ternary + each.latent == pytest.approx(1) for each in steps[-1])
        assert not warmup or all(each == (0, 1, 0) for each in steps[0])


SCHEDULES = {
    "blend": dict(ternary_warmup=0.8, dead_zone_residual=0.3, gradient_accumulation_steps=2),
    "layers": dict(
        ternary_warmup=1.0, ternary_schedule="layers", activation_checkpointing=True, checkpoint_granularity="loop"
    ),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_training_resumed_in_the_middle_of_a_schedule_ends_with_the_same_bits(tmp_path, kind):
    def trainer():
        model = tiny_model(activation_bits=8, mhc_num_streams=1)
        arguments = dict(per_device_train_batch_size=2, max_steps=4, save_steps=2, learning_rate=0.01)
        return make_trainer(tmp_path, model=model, **(arguments | SCHEDULES[kind]))

    whole, resumed = trainer(), trainer()
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name
    logs = [{entry["step"]: entry for entry in each.state.log_history if "loss" in entry} for each in (whole, resumed)]
    assert all(0 < logs[0][step]["ternary_share"] < 1 for step in (2, 3))
    assert all(logs[1][step]["ternary_share"] == logs[0][step]["ternary_share"] for step in logs[0])


def test_a_warmup_begins_with_the_float_model_and_leaves_the_ternary_one(tmp_path):
    def losses(folder, ternary, **schedule):
        model = tiny_model(activation_bits=8, ternary=ternary)
        # As `ternarize` does: the same latent weights.
        model.load_state_dict(tiny_model().state_dict())
        trainer = make_trainer(tmp_path / folder, model=model, max_steps=2, learning_rate=1e-9, **schedule)
        trainer.train()
        return trainer, [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    trainer, warmed = losses("warmed", True, ternary_warmup=0.5)
    assert warmed[0] == losses("float", False)[1][0]
    assert warmed[1] == pytest.approx(losses("plain", True)[1][1], abs=1e-5)
    assert warmed[0] != pytest.approx(warmed[1], abs=1e-2)
    # Training mode after the schedule, evaluation mode and the model as saved are one.
    tokens = random_tokens(1, 8)
    with torch.no_grad():
        assert torch.equal(trainer.model.train()(tokens).logits, trainer.model.eval()(tokens).logits)


def test_an_evaluation_in_the_middle_of_a_schedule_is_that_of_the_exported_model(tmp_path):
    found = []

    class Evaluating(LoopLMTrainer):
        def evaluate(self, *args, **kwargs):
            metrics = super().evaluate(*args, **kwargs)
            exported = make_trainer(tmp_path / "exported", model=tiny_model(activation_bits=8))
            exported.model.load_state_dict(self.model.state_dict())
            found.append((metrics["eval_loss"], exported.evaluate()["eval_loss"]))
            assert all(layer.mix is not None for layer in self.model.model.ternary_layers())
            return metrics

    model = tiny_model(activation_bits=8)
    evaluating = dict(eval_strategy="steps", eval_steps=1, max_steps=2, ternary_warmup=1.0)
    make_trainer(tmp_path / "run", model=model, trainer_class=Evaluating, **evaluating).train()
    assert len(found) == 2 and all(one == other for one, other in found)


def test_a_schedule_of_a_model_without_latent_ternary_weights_is_refused(tmp_path):
    for schedule in (dict(ternary_warmup=0.5), dict(dead_zone_residual=0.1)):
        with pytest.raises(ValueError, match="ternary_warmup and dead_zone_residual must be 0 .* got ternary=False"):
            make_trainer(tmp_path, model=tiny_model(ternary=False), **schedule)
        with pytest.raises(ValueError, match='got weight_format="packed"'):
            make_trainer(tmp_path, model=tiny_model().pack(), **schedule)
    for schedule in (dict(ternary_warmup=1.5), dict(ternary_schedule="loops"), dict(dead_zone_residual=-1.0)):
        ((name, value),) = schedule.items()
        with pytest.raises(ValueError, match=f"{name} must be .*, got {value!r}"):
            make_trainer(tmp_path, **schedule)
