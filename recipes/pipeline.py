"""The pipeline every recipe goes through: prepare the data, the stages of training, export, report."""

import json
import os
import shutil
import time
from dataclasses import asdict, replace
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import datasets
import psutil
import torch
import transformers
from accelerate import PartialState
from rich.console import Console
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast, set_seed
from transformers.trainer_callback import ProgressCallback

from evaluation.continuous import ContinuousEvaluation, may_run_programs
from evaluation.exit_status import hint
from evaluation.rust.sandbox import require_consent
from evaluation.suites import compile_rate, humaneval_rust
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.export import check_export, export, export_plan
from recipes.prepare import SYNTHETIC_FILE, TASKS_FILE, Prepared, prepare
from recipes.reinforce import reinforce
from recipes.report import Pretrained, report
from recipes.schema import GATE_STAGE, Recipe
from trainers.callbacks import (
    DivergenceCallback,
    EvaluateCallback,
    LoopProgressCallback,
    MetricsFileCallback,
    PlotCallback,
)
from trainers.data.pack import regroup_blocks
from trainers.data.tokenizer import check_special_tokens, special_token_ids
from trainers.gate import GateTrainer
from trainers.hardware import has_no_accelerator
from trainers.pretraining import LoopLMTrainer, last_complete_checkpoint, pretraining_arguments, train_from
from trainers.stages import MaxRLStage, Stage

console = Console(highlight=False)


# What a run makes in its folder; nothing else there is ever deleted.
RUN_ENTRIES = ("prepare", SYNTHETIC_FILE, TASKS_FILE, GATE_STAGE, "evaluation", "export", "report.json", "recipe.json")
# Held-out blocks of an evaluation in the middle of training; the closing report takes all.
EVALUATED_BLOCKS = 32


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LoopLMForCausalLM:
    """A fresh model of the recipe's shape for this tokenizer."""
    settings = recipe.model.to_dict() | special_token_ids(tokenizer)
    set_seed(recipe.training.seed)
    model = LoopLMForCausalLM(LoopLMConfig.from_dict(settings))
    check_special_tokens(tokenizer, model)
    return model


def pretrain(recipe: Recipe, stage: Stage, prepared: Prepared, previous: Path | None) -> Pretrained:
    """
    Train one stage with the Trainer, from the model in `previous` or a fresh one; continues from the last checkpoint
    in the stage's folder, and does nothing when it is finished.
    """
    training, folder = recipe.training, recipe.stage_dir(stage)
    processes = process_state().num_processes
    micro_batch_size = training.micro_batch_for(stage, recipe.data.seq_len, processes)
    tokens = stage.total_steps * stage.tokens_per_step
    model_folder, finished = folder / "model", folder / "finished.json"
    if finished.exists():
        speed = json.loads(finished.read_text())["tokens_per_second"]
        return Pretrained(LoopLMForCausalLM.from_pretrained(model_folder), model_folder, tokens, speed)

    if previous is None:
        model = build_model(recipe, prepared.tokenizer)
    else:
        config = stage.changed(LoopLMConfig.from_pretrained(previous))
        model = LoopLMForCausalLM.from_pretrained(previous, config=config)
    scale = stage.peak_lr / training.peak_lr
    only_gate = stage.name == GATE_STAGE
    trainer_class = GateTrainer if only_gate else LoopLMTrainer
    trainer = trainer_class(
        model=model,
        args=pretraining_arguments(
            output_dir=str(folder),
            max_steps=stage.total_steps,
            per_device_train_batch_size=micro_batch_size,
            gradient_accumulation_steps=stage.batch_size // (micro_batch_size * processes),
            optimizer="adamw" if only_gate else training.optimizer,
            learning_rate=stage.peak_lr,
            muon_lr=training.muon_lr * scale,
            lion_lr=training.lion_lr * scale,
            lion_impl=training.lion_impl,
            **stage.schedule_arguments(),
            adam_beta2=training.adam_beta2,
            weight_decay=training.weight_decay,
            max_grad_norm=training.grad_clip,
            activation_checkpointing=training.checkpointing != "none" and not only_gate,
            activation_checkpointing_kwargs={"use_reentrant": False},
            checkpoint_granularity="loop" if training.checkpointing == "loop" else "layer",
            compile_blocks=training.compile_blocks,
            logging_steps=training.logging_steps,
            save_steps=training.save_steps,
            report_to=training.report_to,
            seed=training.seed,
        ),
        train_dataset=regroup_blocks(prepared.training[stage.name], stage.seq_len),
        processing_class=prepared.tokenizer,
        data_collator=DataCollatorForLanguageModeling(prepared.tokenizer, mlm=False),
        callbacks=[MetricsFileCallback(folder / "metrics.jsonl"), DivergenceCallback()],
    )
    if training.eval_steps:
        evaluate = continuous_evaluation(recipe, stage, prepared, model)
        trainer.add_callback(EvaluateCallback(evaluate, folder / "metrics.jsonl", training.eval_steps))
    trainer.add_callback(PlotCallback(folder))
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(LoopProgressCallback)
    checkpoint = last_complete_checkpoint(folder)
    start_step = 0
    if checkpoint is not None:
        console.print(f"Continuing from {checkpoint}")
        start_step = int(checkpoint.name.removeprefix("checkpoint-"))
    started = time.perf_counter()
    train_from(trainer, checkpoint)
    seconds = time.perf_counter() - started
    trainer.save_model(str(model_folder))
    new_tokens = (stage.total_steps - start_step) * stage.tokens_per_step
    speed = new_tokens / seconds if new_tokens else None
    if trainer.is_world_process_zero():
        finished.write_text(json.dumps({"tokens": tokens, "tokens_per_second": speed}) + "\n")
    return Pretrained(trainer.model, model_folder, tokens, speed)


def continuous_evaluation(
    recipe: Recipe, stage: Stage, prepared: Prepared, model: LoopLMForCausalLM
) -> ContinuousEvaluation:
    """What is measured after every `eval_steps` steps."""
    suites: list[CompileRate | HumanEvalRust] = []
    if recipe.training.eval_seconds:
        suites.append(CompileRate(compile_rate.read_problems()))
    if recipe.training.eval_seconds and may_run_programs():
        try:
            suites.append(HumanEvalRust(humaneval_rust.read_problems()))
        except ValueError as error:
            console.print(f"HumanEval-Rust is not evaluated in training: {error}", markup=False)

    def fits(problem) -> bool:
        return len(prepared.tokenizer(problem.prompt)["input_ids"]) < model.config.max_position_embeddings

    return ContinuousEvaluation(
        tokenizer=prepared.tokenizer,
        blocks=prepared.validation.select(range(min(EVALUATED_BLOCKS, len(prepared.validation)))),
        suites=[type(suite)([each for each in suite.problems if fits(each)]) for suite in suites],
        folder=recipe.run_dir / "evaluation" / f"{stage.name}_process_{process_state().process_index}",
        seconds=recipe.training.eval_seconds,
    )


def use_all_cores() -> None:
    """
    Let PyTorch use every physical core that this process may run on, divided among the processes of this machine:
    `accelerate launch` allows one thread unless it is told to run on the processor.
    """
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    cores = min(allowed, psutil.cpu_count(logical=False) or allowed)
    torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def process_state() -> PartialState:
    """This process among those of the run; without a GPU they must be told to work together on the processor."""
    # The others wait while the first one measures.
    return PartialState(cpu=has_no_accelerator(), timeout=timedelta(hours=2))


def kept_settings(run_dir: Path) -> dict | None:
    """The settings of the run in a folder, or None when there is no run."""
    try:
        settings = json.loads((run_dir / "recipe.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return settings if isinstance(settings, dict) and {"model", "data", "training"} <= settings.keys() else None


def start_folder(recipe: Recipe, resume: bool, overwrite: bool) -> None:
    """
    Make the run's folder and keep the recipe in it.

    Raises:
        ValueError: There is a run with data and neither `resume` nor `overwrite` is set; what is there is no run, or
            one of other settings; the data are missing, or would be deleted.
    """
    run_dir, data_dir = recipe.run_dir, recipe.data.data_dir
    model = {name: value for name, value in recipe.model.to_dict().items() if name != "transformers_version"}
    settings = {"model": model, "data": asdict(recipe.data), "training": asdict(recipe.training)}
    settings |= {f"stages.{stage.name}": asdict(stage) for stage in recipe.later_stages}
    settings = json.loads(json.dumps(settings, default=str))
    earlier = kept_settings(run_dir)
    is_prepared = (run_dir / "prepare" / "finished.json").exists()

    if resume and earlier is None:
        raise ValueError(f"--resume needs a run to continue, got none in {run_dir}")
    if earlier is None and run_dir.exists() and any(run_dir.iterdir()):
        raise ValueError(f"{run_dir} holds files that are no run; choose another place with --output-dir")
    if is_prepared and not (resume or overwrite):
        raise ValueError(
            f"{run_dir} already holds a run: continue it with --resume, delete it with --overwrite, or choose another "
            "place with --output-dir"
        )
    if resume:
        changed = [
            f"{section}.{name}"
            for section, values in settings.items()
            for name, value in values.items()
            if earlier.get(section, {}).get(name) != value
        ]
        if changed:
            raise ValueError(f"--resume needs the settings of the run in {run_dir}, but these differ: {changed}")
    if data_dir is not None and not (resume and is_prepared):
        if not data_dir.is_dir() or next(data_dir.rglob("*.rs"), None) is None:
            raise ValueError(f"data.data_dir must be a folder with .rs files, got {str(data_dir)!r}")
        if data_dir.resolve().is_relative_to(run_dir.resolve()):
            raise ValueError(f"data.data_dir must lie outside the run's folder {run_dir}, got {str(data_dir)!r}")
    if resume:
        return

    run_dir.mkdir(parents=True, exist_ok=True)
    stages = {stage.name for stage in recipe.stages}
    stages |= {name.removeprefix("stages.") for name in earlier or {} if name.startswith("stages.")}
    for entry in (run_dir / name for name in (*RUN_ENTRIES, *sorted(stages))):
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
    unfinished = run_dir / "recipe.json.new"
    unfinished.write_text(json.dumps(settings, indent=2) + "\n")
    unfinished.replace(run_dir / "recipe.json")


def start(recipe: Recipe, resume: bool, overwrite: bool) -> Prepared:
    """
    Everything before the first training step, so that bad input is known by then.

    Raises:
        ValueError, OSError: What is wrong with the settings, the folders or the data.
    """
    # Only the training and evaluation loops show progress bars of their own.
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    use_all_cores()
    state = process_state()
    if recipe.data.synthetic_samples or recipe.data.variants or recipe.data.tasks:
        require_consent()
    report_to = recipe.training.report_to
    if report_to != "none" and find_spec(report_to) is None:
        raise ValueError(f"training.report_to={report_to} needs a package: {hint(report_to)}")
    check_export(recipe)
    if int(os.environ.get("PARALLELISM_CONFIG_TP_SIZE", 1)) > 1:
        raise ValueError(
            "recipes do not train with tensor parallelism: their optimizers and checkpoints are made for whole or "
            "FSDP-sharded weights. Use recipes/launch/ddp_2.yaml, or recipes/launch/fsdp2_2.yaml where the model does "
            "not fit one GPU"
        )
    if os.environ.get("ACCELERATE_USE_FSDP", "false") == "true" and len(recipe.text_stages) < len(recipe.stages):
        raise ValueError(
            "reinforcement learning needs the whole model in every process, and FSDP shards it. Use "
            "recipes/launch/ddp_2.yaml; or pretrain with FSDP (--stage pretrain), and launch --stage maxrl without"
        )
    for stage in recipe.stages:
        if isinstance(stage, MaxRLStage):
            stage.micro_batch_for(state.num_processes)
        else:
            recipe.training.micro_batch_for(stage, recipe.data.seq_len, state.num_processes)
    if state.is_main_process:
        start_folder(recipe, resume, overwrite)
        console.print(f"[bold]{recipe.name}[/bold]: {recipe.description}")
        console.print(export_plan(recipe), markup=False)
        console.print("Reading Rust, training the tokenizer, packing blocks")
    with state.main_process_first():
        prepared = prepare(recipe, recipe.run_dir / "prepare")
    if state.is_main_process:
        parts = prepared.training[recipe.stages[0].name], prepared.validation
        training, validation = (len(part) * recipe.data.seq_len for part in parts)
        console.print(f"{training:,} tokens to train on, {validation:,} held out")
    return prepared


def finish(recipe: Recipe, prepared: Prepared, only: str | None = None) -> None:
    """
    The stages after the start, or only one of them, whose predecessor is finished; each uses what an earlier,
    interrupted call left.
    """
    previous: Path | None = None
    finished: list[Pretrained] = []
    for stage in recipe.stages:
        model_folder = recipe.stage_dir(stage) / "model"
        if only in (None, stage.name):
            if len(recipe.stages) > 1 and process_state().is_main_process:
                text = isinstance(stage, Stage)
                size = f"{stage.tokens_per_step:,} tokens" if text else f"{stage.completions_per_step:,} completions"
                console.print(f"Stage {stage.name}: {stage.total_steps:,} steps of {size}")
            if isinstance(stage, Stage):
                finished.append(pretrain(recipe, stage, prepared, previous))
            else:
                model = reinforce(recipe, stage, prepared, previous)
                finished.append(Pretrained(model, model_folder, 0, None))
        previous = model_folder
    if process_state().is_main_process:
        # The speed is that of the stage with the most tokens.
        longest = max(finished, key=lambda each: each.tokens)
        tokens = sum(each.tokens for each in finished)
        whole = replace(finished[-1], tokens=tokens, tokens_per_second=longest.tokens_per_second)
        report(recipe, prepared, whole, export(recipe, whole.folder, prepared.tokenizer))
    process_state().wait_for_everyone()
