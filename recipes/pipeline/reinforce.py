"""Reinforcement learning on tasks that the compiler judges, measured before and after."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState
from accelerate.utils import set_seed
from rich.console import Console
from transformers import PreTrainedTokenizerFast

from evaluation.generation_settings import GenerationSettings
from evaluation.loss_by_depth import loss_by_depth
from evaluation.machine import Machine
from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.crates.holes.hole_tests import HoleTests
from modeling_nanochat import LoopLMForCausalLM
from recipes.pipeline.continuous import continuous_evaluation
from recipes.pipeline.file_names import TASKS_FILE
from recipes.pipeline.hardware import trainer_arguments, use_precision
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.run_tasks import check_conversations, read_run_tasks
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.reinforced import Reinforced
from recipes.pipeline.stages.stage import FINISHED
from trainers.callbacks import DivergenceCallback, EvaluateCallback
from trainers.data.tasks import load_tasks, measure_tasks, task_prompts
from trainers.hardware import use_tf32
from trainers.pretraining import last_complete_checkpoint, train_from
from trainers.reinforcement.curriculum import largest_part
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.reward_rows import with_empty_body
from trainers.reinforcement.rewards import RustReward
from trainers.stopping import save_in_shards, time_limit_callbacks
from trainers.training_time import TrainingTime, TrainingTimeCallback

if TYPE_CHECKING:
    from recipes.pipeline.stages.maxrl import MaxRL

console = Console(highlight=False)
RISE_IN_REINFORCEMENT = "the model forgets its text. A lower learning rate or fewer steps help."


def check_prompts(recipe: Recipe, stage: "MaxRL", tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """
    Check the tasks in a folder before anything is trained.

    Raises:
        ValueError: No completion of some prompt can succeed, or too few prompts leave room for a completion.
    """
    tasks = read_run_tasks(recipe.data, folder)
    check_conversations(tasks, tokenizer)
    for task in tasks.all:
        if stage.mode == "compile" and not isinstance(task.tests, HiddenTests):
            raise ValueError(
                f"{stage.name}.mode must be tests, because task {task.id} has no signature, got 'compile'"
            )
        if isinstance(task.prompt, str) and not isinstance(task.tests, HoleTests):
            _, fault = with_empty_body(task.prompt, task.tests)
            if fault is not None:
                raise ValueError(f"{folder}: task {task.id} must have a prompt {fault}")
    room = stage.room(recipe)
    fitting = tasks.fitting(tokenizer, room)
    if len(fitting.training) < stage.prompts_per_step or not fitting.held_out:
        raise ValueError(
            f"{stage.name}.max_completion_length must leave room for prompts: {room} tokens are left, in which "
            f"{len(fitting.training)} of {len(tasks.training)} prompts to train on fit, at least "
            f"{stage.prompts_per_step} must, and {len(fitting.held_out)} of {len(tasks.held_out)} to measure with"
        )
    least = largest_part(stage.prompts_per_step, stage.compile_share or 0)
    if len(fitting.compiled) < least:
        raise ValueError(
            f"{stage.name}.compile_share={stage.compile_share} needs at least {least} prompts that only have to "
            f"compile, got {len(fitting.compiled)} that fit, of {len(tasks.compiled)}: raise data.compile_tasks or "
            "data.compile_functions"
        )


def reinforce(recipe: Recipe, stage: "MaxRL", prepared: Prepared, previous: Path) -> None:
    """
    Trains the model in `previous` and saves it in the stage's folder `model`; continues from the last checkpoint
    there, and does nothing when the stage is finished.

    Raises:
        ValueError: The tasks are faulty.
        CodeExecutionNotAllowed: Without `HF_ALLOW_CODE_EVAL=1`.
    """
    state, folder = PartialState(), recipe.stage_dir(stage)
    if stage.is_finished(recipe):
        return
    if recipe.data.tasks:
        with RustVerifier(run_timeout=1.0) as verifier:
            load_tasks(recipe.run_dir / TASKS_FILE, verifier)
    tasks = read_run_tasks(recipe.data, recipe.run_dir).fitting(prepared.tokenizer, stage.room(recipe))
    model = LoopLMForCausalLM.from_pretrained(previous)
    held_out = tasks.held_out[: stage.held_out_tasks]
    micro_batch_size = stage.micro_batch_for(state.num_processes)
    logging_steps = max(1, min(10, stage.total_steps // 20))
    save_steps = logging_steps * max(1, min(recipe.training.save_steps, stage.total_steps // 4) // logging_steps)
    reward = RustReward(
        "mixed" if stage.mode == "tests" and tasks.compiled else stage.mode,
        stage.reward_threshold,
        crates=recipe.data.task_crates,
        url=stage.judge_url,
        on_judge_failure=stage.on_judge_failure,
    )
    if recipe.hardware.tf32:
        use_tf32()
    checkpointing = recipe.training.checkpointing
    arguments = MaxRLConfig(
        output_dir=str(folder),
        max_steps=stage.total_steps,
        per_device_train_batch_size=micro_batch_size,
        gradient_accumulation_steps=stage.completions_per_step // (micro_batch_size * state.num_processes),
        num_generations=stage.num_generations,
        max_completion_length=stage.max_completion_length,
        estimator=stage.estimator,
        loop_credit=stage.loop_credit,
        rollout_engine=stage.rollout_engine,
        compile_share=stage.compile_share,
        repair_turns=stage.repair_turns,
        loss_type=stage.loss_type,
        learning_rate=stage.learning_rate,
        **stage.schedule_arguments(),
        stop_at_function_end=not tasks.are_conversations,
        sample_steps=stage.sample_steps,
        gradient_checkpointing=checkpointing != "none",
        gradient_checkpointing_kwargs={"granularity": "selective" if checkpointing == "selective" else "layer"},
        logging_steps=logging_steps,
        save_steps=save_steps,
        save_total_limit=2,
        report_to=recipe.training.report_to,
        seed=recipe.training.seed,
        **trainer_arguments(recipe.hardware),
    )
    use_precision(arguments, recipe.hardware)
    if recipe.training.max_shard_size is not None:
        save_in_shards(model, recipe.training.max_shard_size)
    trainer = MaxRLTrainer(
        model=model,
        reward_funcs=[reward],
        args=arguments,
        train_dataset=task_prompts(tasks.training, compiled=tasks.compiled),
        processing_class=prepared.tokenizer,
        callbacks=[
            *time_limit_callbacks(recipe.time_limit),
            DivergenceCallback(),
            TrainingTimeCallback(folder, Machine.this(state.num_processes)),
        ],
    )

    if stage.eval_steps:
        evaluate = continuous_evaluation(recipe, stage, prepared, model)
        # After the next checkpoint, as in training on text.
        steps = save_steps * math.ceil(stage.eval_steps / save_steps)
        trainer.add_callback(EvaluateCallback(evaluate, folder / "metrics.jsonl", steps, RISE_IN_REINFORCEMENT))

    def measure(when: str):
        sampling = GenerationSettings(
            num_samples=stage.samples,
            temperature=1.0,
            top_p=1.0,
            max_new_tokens=stage.max_completion_length,
            batch_size=64,
            engine=stage.rollout_engine,
        )
        path = folder / "held_out" / f"{when}.jsonl"
        with trainer.accelerator.autocast():
            return measure_tasks(trainer.policy, prepared.tokenizer, held_out, sampling, reward.judge, path, True)

    checkpoint = last_complete_checkpoint(folder)
    if checkpoint is not None:
        console.print(f"Continuing from {checkpoint}")
    # Measured by the main process; a continued stage finds its first samples in their file.
    before = measure("before") if state.is_main_process else None
    state.wait_for_everyone()
    # Measuring sets the seeds, or does not where its samples are there already.
    set_seed(recipe.training.seed, device_specific=True)
    train_from(trainer, checkpoint)
    trainer.save_model(str(folder / "model"))
    held_out_loss = loss_by_depth(trainer.policy, prepared.validation)
    after = measure("after") if before is not None else None
    reward.close()
    if before is not None and after is not None:
        taken = TrainingTime.read(folder, stage.total_steps)
        Reinforced(
            tasks=len(held_out),
            samples=stage.samples,
            solved=(before.pass_at(1), after.pass_at(1)),
            solved_at_all=(before.pass_at(stage.samples), after.pass_at(stage.samples)),
            compiles=(before.compile_rate, after.compile_rate),
            held_out_loss=held_out_loss,
            seconds=taken.seconds,
            machines=taken.machines,
        ).write(folder / FINISHED)
    state.wait_for_everyone()
