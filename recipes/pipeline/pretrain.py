"""Training on text with the Trainer: resumable, measured on held-out text at its end."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from transformers import PreTrainedTokenizerFast, set_seed
from transformers.trainer_callback import ProgressCallback

from evaluation.loss_by_depth import loss_by_depth
from evaluation.machine import Machine
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.pipeline.continuous import continuous_evaluation
from recipes.pipeline.hardware import trainer_arguments, usable_gpu_memory, use_precision
from recipes.pipeline.plan.fit import step_of
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.processes import process_state
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.stage import FINISHED, StageResult, uses_fsdp
from trainers.callbacks import (
    DivergenceCallback,
    EvaluateCallback,
    LoopProgressCallback,
    MetricsFileCallback,
    PlotCallback,
)
from trainers.data.tokenizer import check_special_tokens, special_token_ids
from trainers.pretraining import last_complete_checkpoint, pretraining_arguments, train_from
from trainers.stopping import save_in_shards, time_limit_callbacks
from trainers.training_time import TrainingTime, TrainingTimeCallback

if TYPE_CHECKING:
    from recipes.pipeline.stages.text import TextStage

console = Console(highlight=False)


def build_model(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, stage: "TextStage | None" = None
) -> LoopLMForCausalLM:
    """The model that a run starts from: the recipe's saved model or a new one, as its first stage trains it."""
    config = LoopLMConfig.from_dict(recipe.model.to_dict() | special_token_ids(tokenizer))
    if stage is not None:
        config = stage.model_config(config)
    set_seed(recipe.training.seed)
    model = LoopLMForCausalLM(config) if recipe.init_from is None else recipe.init_from.build(config)
    check_special_tokens(tokenizer, model)
    return model


def pretrain(recipe: Recipe, stage: "TextStage", prepared: Prepared, previous: Path | None) -> StageResult:
    """
    Train one stage with the Trainer, from the model in `previous`, or in the first stage that of [`build_model`], and
    save the model in the stage's folder `model`; continue from the last checkpoint there, and do nothing when the
    stage is finished.
    """
    training, folder = recipe.training, recipe.stage_dir(stage)
    finished = stage.result(recipe)
    if finished is not None:
        return finished

    if previous is None:
        model = build_model(recipe, prepared.tokenizer, stage)
    else:
        config = stage.model_config(LoopLMConfig.from_pretrained(previous))
        model = LoopLMForCausalLM.from_pretrained(previous, config=config)
    processes = process_state().num_processes
    step = step_of(recipe, stage, processes, usable_gpu_memory(recipe.hardware), processes if uses_fsdp() else 1)
    checkpointing, micro_batch_size = step.checkpointing, step.tokens // stage.seq_len
    if recipe.training.checkpointing == "auto" and stage.recomputes:
        console.print(
            f"Stage {stage.name}: checkpointing=auto takes {checkpointing}, {micro_batch_size} blocks at a time"
        )
    scale = stage.peak_lr / recipe.peak_lr
    arguments = pretraining_arguments(
        output_dir=str(folder),
        max_steps=stage.total_steps,
        per_device_train_batch_size=micro_batch_size,
        gradient_accumulation_steps=stage.batch_size // (micro_batch_size * processes),
        learning_rate=stage.peak_lr,
        muon_lr=training.muon_lr * scale,
        lion_lr=training.lion_lr * scale,
        loop_scale_lr_multiplier=training.loop_scale_lr_multiplier,
        lion_impl=training.lion_impl,
        adam_beta2=training.adam_beta2,
        weight_decay=training.weight_decay,
        max_grad_norm=training.grad_clip,
        activation_checkpointing_kwargs={"use_reentrant": False},
        activation_checkpointing=checkpointing != "none",
        checkpoint_granularity="layer" if checkpointing == "none" else checkpointing,
        compile_blocks=training.compile_blocks,
        logging_steps=training.logging_steps,
        save_steps=training.save_steps,
        report_to=training.report_to,
        seed=training.seed,
        tf32=None if recipe.hardware.tf32 else False,
        **stage.schedule_arguments(),
        **stage.training_arguments(training),
        **trainer_arguments(recipe.hardware),
    )
    use_precision(arguments, recipe.hardware)
    if training.max_shard_size is not None:
        save_in_shards(model, training.max_shard_size)
    trainer = stage.trainer_class()(
        model=model,
        args=arguments,
        processing_class=prepared.tokenizer,
        callbacks=[
            *time_limit_callbacks(recipe.time_limit),
            MetricsFileCallback(folder / "metrics.jsonl"),
            DivergenceCallback(),
        ],
        **stage.trainer_settings(recipe, prepared, micro_batch_size),
    )
    if training.eval_steps:
        evaluate = continuous_evaluation(recipe, stage, prepared, model)
        trainer.add_callback(EvaluateCallback(evaluate, folder / "metrics.jsonl", training.eval_steps))
    trainer.add_callback(PlotCallback(folder))
    trainer.add_callback(TrainingTimeCallback(folder, Machine.this(processes)))
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LoopProgressCallback(stage.objective()))
    checkpoint = last_complete_checkpoint(folder)
    start_step = 0
    if checkpoint is not None:
        console.print(f"Continuing from {checkpoint}")
        start_step = int(checkpoint.name.removeprefix("checkpoint-"))
    started = time.perf_counter()
    train_from(trainer, checkpoint)
    seconds = time.perf_counter() - started
    trainer.save_model(str(folder / "model"))
    taken = TrainingTime.read(folder, stage.total_steps)
    new_tokens = (stage.total_steps - start_step) * stage.tokens_per_step
    found = StageResult(
        tokens=stage.total_steps * stage.tokens_per_step,
        tokens_per_second=new_tokens / seconds if new_tokens else None,
        held_out_loss=loss_by_depth(trainer.model, prepared.validation),
        seconds=taken.seconds,
        machines=taken.machines,
    )
    if trainer.is_world_process_zero():
        found.write(folder / FINISHED)
    return found
