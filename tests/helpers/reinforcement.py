"""Reinforcement learning of a tiny model for a step or a few."""

from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast, set_seed

from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.tiny import tiny_config
from trainers.callbacks import PlotCallback
from trainers.data.tokenizer import special_token_ids, train_tokenizer
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer

PROMPTS = [f"fn add_{number}(x: i32) -> i32 {{" for number in range(6)]


def prompts_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of `PROMPTS` and their solutions."""
    return train_tokenizer([f"{prompt}\n    x + 1\n}}\n" for prompt in PROMPTS], 280, 256)


def looped(tokenizer, **overrides) -> LoopLMForCausalLM:
    set_seed(0)
    settings = dict(vocab_size=len(tokenizer), mhc_num_streams=1, initializer_range=0.05)
    return LoopLMForCausalLM(tiny_config(**(settings | overrides), **special_token_ids(tokenizer)))


def arguments(folder, **settings) -> MaxRLConfig:
    defaults: dict[str, Any] = dict(
        output_dir=str(folder),
        max_steps=2,
        per_device_train_batch_size=8,
        num_generations=4,
        learning_rate=1e-2,
        max_completion_length=6,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    return MaxRLConfig(**(defaults | settings))


def first_token_is_low(completion_ids, **columns) -> list[float]:
    return [float(ids[0] < 140) for ids in completion_ids]


def trainer_of(tokenizer, folder, model=None, reward=first_token_is_low, tiers=None, peft_config=None, **settings):
    rows = {"prompt": PROMPTS} | ({"tier": tiers} if tiers else {})
    trainer = MaxRLTrainer(
        model=looped(tokenizer) if model is None else model,
        reward_funcs=reward,
        args=arguments(folder, **settings),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    # Drawing takes longer than these trainings.
    trainer.remove_callback(PlotCallback)
    return trainer
