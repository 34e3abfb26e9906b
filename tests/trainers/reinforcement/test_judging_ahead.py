"""Completions are judged while others are still sampled, and nothing else changes."""

import shutil
import threading
from contextlib import closing

import pytest
import torch
from datasets import Dataset

from tests.helpers.maxrl_process import ROWS
from tests.helpers.reinforcement import PROMPTS, arguments, looped, prompts_tokenizer
from trainers.callbacks import PlotCallback
from trainers.data.tokenizer import train_tokenizer
from trainers.reinforcement.judging_ahead import JudgingAhead
from trainers.reinforcement.maxrl import MaxRLTrainer
from trainers.reinforcement.native_rollouts import NativeRollouts
from trainers.reinforcement.rewards import RustReward


class Recorded(RustReward):
    """Reward that keeps which threads asked for verdicts, and what it returned."""

    def __init__(self):
        super().__init__(workers=1)
        self.threads, self.rewards = [], []

    def judged(self, prompts, completions, columns):
        self.threads.append(threading.current_thread().name.partition("_")[0])
        return super().judged(prompts, completions, columns)

    def __call__(self, prompts, completions, **columns):
        self.rewards.append((completions, super().__call__(prompts, completions, **columns)))
        return self.rewards[-1][1]


def trained(folder, ahead: bool) -> tuple[MaxRLTrainer, Recorded]:
    tokenizer = train_tokenizer([row["prompt"] + body for row in ROWS for body in ("x }", "{x}}", "1 }")], 280, 256)
    with closing(Recorded()) as reward:
        trainer = MaxRLTrainer(
            model=looped(tokenizer),
            reward_funcs=[reward],
            args=arguments(folder, max_steps=3, stop_at_function_end=True, sample_steps=0),
            train_dataset=Dataset.from_list(ROWS),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PlotCallback)
        # So that some functions end.
        likely = [tokenizer(text)["input_ids"][-1] for text in ("}", "x")]
        trainer.generation_config.sequence_bias = [[[token], 6.0] for token in likely]
        if not ahead:
            trainer.judge_ahead = None
        trainer.train()
    return trainer, reward


def test_three_steps_end_with_the_completions_rewards_and_weights_of_judging_afterwards(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    (one, ahead), (other, after) = (trained(tmp_path / str(ahead), ahead) for ahead in (True, False))
    assert ahead.threads.count("judge") >= 3 and "judge" not in after.threads
    assert ahead.rewards == after.rewards
    assert 0 < sum(value for _, values in ahead.rewards for value in values if value) < 24
    for first, second in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")
def test_the_native_engine_tells_each_end_once_and_samples_the_same():
    tokenizer = prompts_tokenizer()
    rollouts = NativeRollouts(tokenizer, 1.0, 40, [tokenizer.eos_token_id], False)
    model, prompts = looped(tokenizer), [tokenizer(PROMPTS[0])["input_ids"]] * 60
    told = []
    torch.manual_seed(0)
    drawn = rollouts.draw(model, 0, prompts, on_end=lambda row, ids: told.append((row, list(ids))))
    assert sorted(told) == list(enumerate(drawn.token_ids))
    assert 0 < sum(drawn.finished) < 60
    torch.manual_seed(0)
    assert rollouts.draw(model, 0, prompts) == drawn


def test_what_the_judge_raises_reaches_the_training(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    tokenizer = prompts_tokenizer()
    with (
        closing(RustReward(workers=1)) as reward,
        pytest.raises(ValueError, match="the data set must have the columns"),
    ):
        with JudgingAhead(reward, [{"prompt": PROMPTS[0]}], tokenizer, 1) as ahead:
            ahead.ended(0, [5])
