"""Completions that the native engine draws are those of the policy that is trained, after every step."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from tests.helpers.gguf_models import TOKENIZER as MEMORIZED
from tests.helpers.memorized import COMPILES, ENDLESS, memorized_model
from tests.helpers.reinforcement import PROMPTS, looped, prompts_tokenizer, trainer_of
from trainers.reinforcement.native_rollouts import NativeRollouts, check_gap, rollout_gap

pytestmark = pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")
TOKENIZER = prompts_tokenizer()
NATIVE = {"rollout_engine": "native", "curriculum": False}


def logged(folder, name):
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line[name] for line in lines if name in line]


def test_the_engine_has_the_weights_of_the_step_and_its_probabilities_are_the_trainers(tmp_path):
    # A step changes these probabilities by far more than the gap.
    model = looped(TOKENIZER, activation_bits=None)
    trainer = trainer_of(TOKENIZER, tmp_path, model, max_steps=4, learning_rate=0.1, **NATIVE)
    before = model.model.layers[0].mlp.up_proj.weight.detach().clone()
    trainer.train()
    gaps = logged(tmp_path, "rollout_gap")
    assert (model.model.layers[0].mlp.up_proj.weight - before).abs().max() > 1e-2
    assert len(gaps) == 4 and max(gaps) < 1e-4


def test_an_engine_with_other_weights_is_refused_at_the_first_step(tmp_path):
    model = looped(TOKENIZER)
    trainer = trainer_of(TOKENIZER, tmp_path, model, **NATIVE)
    rollouts = NativeRollouts(TOKENIZER, 1.0, 6, [TOKENIZER.eos_token_id], False)
    rollouts.draw(looped(TOKENIZER, initializer_range=0.3), 0, [[5]])
    trainer._rollouts = rollouts
    before = model.lm_head.weight.detach().clone()
    with pytest.raises(ValueError, match="must be at most 0.1 nats, got .* rollout_engine=torch, and report this"):
        trainer.train()
    assert torch.equal(model.lm_head.weight, before)


def test_a_gap_that_is_no_number_is_refused():
    check_gap(0.05)
    with pytest.raises(ValueError, match="got nan"):
        check_gap(float("nan"))


def test_the_gap_is_that_of_completions_of_all_prompts():
    model = looped(TOKENIZER, activation_bits=None)
    rollouts = NativeRollouts(TOKENIZER, 1.0, 6, [TOKENIZER.eos_token_id], False)
    prompts = [TOKENIZER(prompt)["input_ids"] for prompt in PROMPTS for _ in range(2)]
    drawn = rollouts.draw(model, 0, prompts)
    assert rollout_gap(model, prompts, drawn, 1.0) < 1e-4
    for number in (0, 3, 6, 9):
        changed = [[each + (place == number) for each in row] for place, row in enumerate(drawn.log_probabilities)]
        other = replace(drawn, log_probabilities=changed)
        assert rollout_gap(model, prompts, other, 1.0) > 0.1
    assert rollout_gap(model, prompts[:1], drawn, 1.0) < 1e-4, "fewer prompts than are compared"


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_the_time_of_sampling_and_its_share_are_logged(tmp_path, engine):
    trainer_of(TOKENIZER, tmp_path, curriculum=False, rollout_engine=engine).train()
    seconds, shares, steps = (logged(tmp_path, name) for name in ("rollout_seconds", "rollout_share", "step_time"))
    assert len(shares) == 2
    for part, share, whole in zip(seconds, shares, steps, strict=True):
        assert 0 < share <= 1 and share == pytest.approx(part / whole, rel=0.05)


def test_drawn_tokens_follow_the_policy_at_the_temperature():
    model, temperature, count = looped(TOKENIZER, initializer_range=0.3), 0.7, 4000
    rollouts = NativeRollouts(TOKENIZER, temperature, 1, [TOKENIZER.eos_token_id], False)
    prompt = TOKENIZER(PROMPTS[0])["input_ids"]
    torch.manual_seed(0)
    drawn = rollouts.draw(model, 0, [prompt] * count)
    shares = torch.bincount(torch.tensor([ids[0] for ids in drawn.token_ids]), minlength=len(TOKENIZER)) / count
    with torch.no_grad():
        logits = model(torch.tensor([prompt])).logits[0, -1, : len(TOKENIZER)]
    wanted = (logits / temperature).softmax(dim=-1)
    # Six standard deviations of a share, for every token.
    assert ((shares - wanted).abs() <= 6 * (wanted * (1 - wanted) / count).sqrt() + 1 / count).all()
    assert wanted.max() > 0.05, "the policy prefers some tokens"


def test_a_completion_ends_with_its_function_or_is_not_finished():
    model = memorized_model()
    rollouts = NativeRollouts(MEMORIZED, 0.01, 24, [MEMORIZED.eos_token_id], True)
    prompts = [MEMORIZED(prompt)["input_ids"] for prompt in (COMPILES[0], ENDLESS[0])]
    drawn = rollouts.draw(model, 0, prompts)
    assert drawn.finished == [True, False] and len(drawn.token_ids[1]) == 24
    assert MEMORIZED.decode(drawn.token_ids[0]).startswith(COMPILES[1]) and len(drawn.token_ids[0]) < 24


def test_a_resumed_run_draws_the_same_completions(tmp_path):
    settings = NATIVE | {"max_steps": 3, "save_strategy": "steps", "save_steps": 1}
    trainer_of(TOKENIZER, tmp_path / "whole", **settings).train()
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    trainer = trainer_of(TOKENIZER, tmp_path / "resumed", **settings)
    trainer.train(resume_from_checkpoint=str(tmp_path / "resumed" / "checkpoint-2"))
    whole, resumed = (logged(tmp_path / name, "rollout_gap") for name in ("whole", "resumed"))
    assert resumed[-1] == whole[-1]


@pytest.mark.parametrize("kind", ["adapters", "engine"])
def test_what_the_engine_cannot_run_is_refused_before_the_training(tmp_path, kind):
    if kind == "engine":
        with pytest.raises(ValueError, match="rollout_engine must be one of torch, native, got 'cuda'"):
            trainer_of(TOKENIZER, tmp_path, rollout_engine="cuda")
        return
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules=["up_proj"])
    with pytest.raises(ValueError, match='rollout_engine must be "torch" with adapters'):
        trainer_of(TOKENIZER, tmp_path, peft_config=lora, **NATIVE)
