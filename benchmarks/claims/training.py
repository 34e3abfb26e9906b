"""One training of a small model, and what is measured of it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from reporting import replace_json
from retrofit_training import Corpus, block_losses
from transformers import DataCollatorForLanguageModeling, PrinterCallback, set_seed

from claims.settings import BATCH_SIZE, MODEL, SEQ_LEN, TRAINING, Setting
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.pretraining import LoopLMTrainer, pretraining_arguments, train_from
from trainers.training_statistics import training_flops_per_token


def file_name(name: str, seed: int) -> str:
    """Name of the file with the results of a training."""
    return f"{name}_seed_{seed}.json"


def configuration(setting: Setting) -> LoopLMConfig:
    """The model's configuration."""
    return LoopLMConfig(**(MODEL | dict(setting.model)))


def finished(setting: Setting, seed: int, folder: Path, steps: int) -> dict[str, Any] | None:
    """
    Return the results of an earlier training, or None.

    Raises:
        ValueError: They are of another number of steps, or of other settings.
    """
    result = folder / file_name(setting.name, seed)
    if not result.exists():
        return None
    earlier = json.loads(result.read_text())
    if earlier["setup"] != setting.setup(steps):
        raise ValueError(
            f"--output-dir must hold results of the same setup, got {result} of {earlier['setup']} instead of "
            f"{setting.setup(steps)}: name another folder and another page"
        )
    return earlier


def train(setting: Setting, seed: int, texts: Mapping[str, Corpus], folder: Path, steps: int) -> dict[str, Any]:
    """
    Train a setting, or read what an earlier call measured. A training takes minutes, and starts over after a kill.

    Args:
        setting: The setting.
        seed: Seed of the weights and of the order of the text.
        texts: Text by its name.
        folder: Folder of the results.
        steps: Number of steps of a setting of length 1.

    Returns:
        The loss on the held-out blocks after each loop (`by_loop`) and of each block after the last loop (`by_block`),
        in nats per token; `steps`; `parameters` of the blocks, without embeddings; `flops`, of training, per token;
        the `seconds` of processor time; and the `setup`.

    Raises:
        ValueError: The earlier training had another number of steps, or other settings.
    """
    earlier = finished(setting, seed, folder, steps)
    if earlier is not None:
        return earlier
    result = folder / file_name(setting.name, seed)
    setup = setting.setup(steps)
    total = setup["steps"]
    started = time.process_time()
    set_seed(seed)
    model = LoopLMForCausalLM(configuration(setting))
    arguments = pretraining_arguments(
        output_dir=str(folder / result.stem),
        max_steps=total,
        per_device_train_batch_size=BATCH_SIZE,
        lr_scheduler_type="cosine",
        min_lr_ratio=0.1,
        warmup_steps=max(1, steps // 20),
        adam_beta2=0.95,
        weight_decay=0.1,
        lion_impl="torch",
        logging_steps=max(1, total // 20),
        save_strategy="no",
        seed=seed,
        bf16=False,
        disable_tqdm=True,
        **(TRAINING | dict(setting.training)),
    )
    data = texts[setting.data]
    trainer = LoopLMTrainer(
        model=model,
        args=arguments,
        train_dataset=data.training,
        processing_class=data.tokenizer,
        data_collator=DataCollatorForLanguageModeling(data.tokenizer, mlm=False),
    )
    trainer.remove_callback(PrinterCallback)
    train_from(trainer, None)
    losses = block_losses(model, data.held_out)
    found = {
        "by_loop": losses.mean(dim=1).tolist(),
        "by_block": losses[-1].tolist(),
        "steps": total,
        "parameters": parameters_of(model),
        "flops": training_flops_per_token(model.config, SEQ_LEN),
        "seconds": time.process_time() - started,
        "setup": setup,
    }
    replace_json(result, found)
    return found


def parameters_of(model: LoopLMForCausalLM) -> int:
    """Number of parameters of the blocks."""
    return sum(parameter.numel() for layer in model.model.layers for parameter in layer.parameters())


def train_alone(
    setting: Setting, seed: int, texts: Mapping[str, Corpus], folder: Path, steps: int, threads: int
) -> None:
    """[`train`] in a process of its own, with a number of threads."""
    torch.set_num_threads(threads)
    train(setting, seed, texts, folder, steps)
