"""The runs of `rare_success.py`: tasks, the model that all runs start from, rare families, and training."""

import argparse
import contextlib
import hashlib
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from held_out_tasks import Measure, solved_of
from rare_success_methods import Method
from reporting import replace_json, restore_results
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast, TrainerCallback, set_seed

from evaluation.generation_settings import GenerationSettings
from evaluation.rust import RustVerifier
from evaluation.training_curves import read_metrics
from modeling_nanochat import LoopLMForCausalLM
from trainers.callbacks import MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import write_synthetic
from trainers.data.tasks import Task, task_prompts
from trainers.data.tasks.task import SplitTasks, read_tasks, split_tasks
from trainers.pretraining import LoopLMTrainer, last_complete_checkpoint, pretraining_arguments, train_from
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

TIERS = (0, 1, 2)
SEQ_LEN = 256
SFT_BATCH_SIZE, SFT_LR = 8, 1e-4
LONGEST_PROMPT, MAX_NEW_TOKENS = 160, 64
MICRO_BATCH = 64
PROBED_TASKS, PROBED_SAMPLES = 6, 16
"""Tasks of each family, and samples of each, from which the pass rate of the family is estimated."""
SAMPLES = 64
MEASUREMENTS, SAMPLES_BETWEEN = 3, 16
"""Measurements of the held-out tasks after the one at the start, and samples of each task for all but the last."""
GENERAL_TASKS, GENERAL_SAMPLES = 160, 8
"""Held-out tasks of all families, and samples of each."""
START = "start.json"
RESULTS = (START, "families.json", "*_on_*.json", "*/held_out_*.json", "*/finished.json")
"""Files of the results, which stand beside the page: the hash of the start's weights, and what was measured."""


def run_name(method: str, seed: int) -> str:
    """Name of the folder of a run."""
    return f"{method}_seed_{seed}"


def make_tasks(options: argparse.Namespace) -> SplitTasks:
    """Generate tasks, or read what an earlier call generated."""
    path, finished = options.output_dir / "tasks.jsonl", options.output_dir / "tasks.finished"
    if not finished.exists():
        families = [family for tier in TIERS for family in choose_families(tier=tier)]
        with RustVerifier(run_timeout=1.0) as verifier:
            write_synthetic(path, families, options.tasks, 1, verifier, tasks=True)
        finished.touch()
    return split_tasks(read_tasks(path))


def make_start(options: argparse.Namespace) -> Path:
    """Fine-tune the model on solutions; return the folder of the model that all runs start from."""
    start = options.output_dir / "start"
    if (start / "config.json").exists():
        return start
    folder = options.output_dir / "sft"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.model)
    texts = [task.code for task in make_tasks(options).pretraining]
    generator = random.Random(0)
    epochs = 1 + options.sft_steps * SFT_BATCH_SIZE * SEQ_LEN // sum(map(len, tokenizer(texts)["input_ids"]))
    blocks = pack_blocks(
        [text for _ in range(epochs) for text in generator.sample(texts, len(texts))], tokenizer, SEQ_LEN
    )
    set_seed(0)
    model = loaded(options.model, options.num_loops)
    trainer = LoopLMTrainer(
        model=model,
        args=pretraining_arguments(
            output_dir=str(folder),
            max_steps=options.sft_steps,
            per_device_train_batch_size=SFT_BATCH_SIZE,
            learning_rate=SFT_LR,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, options.sft_steps // 10),
            weight_decay=0.0,
            logging_steps=5,
            save_steps=max(1, options.sft_steps // 4),
            save_total_limit=1,
            bf16=False,
        ),
        train_dataset=blocks,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[MetricsFileCallback(folder / "metrics.jsonl")],
    )
    train_from(trainer, last_complete_checkpoint(folder) if folder.exists() else None)
    tokenizer.save_pretrained(start)
    model.save_pretrained(start)
    return start


def restore(options: argparse.Namespace) -> None:
    """
    Take over the results beside the page that the folder lacks.

    Raises:
        ValueError: They are of other models than the one that this folder starts from.
    """
    weights = hashlib.sha256((make_start(options) / "model.safetensors").read_bytes()).hexdigest()
    replace_json(options.output_dir / START, {"sha256": weights})
    if options.report is not None:
        restore_results(options.report.with_suffix(".json"), options.output_dir, same=START)


def loaded(folder: Path, num_loops: int) -> LoopLMForCausalLM:
    """The model in fp32, with the number of loops of the study."""
    return LoopLMForCausalLM.from_pretrained(folder, dtype=torch.float32, num_loops=num_loops)


def sampling(samples: int) -> GenerationSettings:
    """The policy itself, as in training."""
    return GenerationSettings(
        num_samples=samples,
        temperature=1.0,
        top_p=1.0,
        max_new_tokens=MAX_NEW_TOKENS,
        batch_size=64,
        engine="native",
    )


def fitting(tasks: Sequence[Task], tokenizer: PreTrainedTokenizerFast) -> list[Task]:
    """Tasks with a short prompt, whose solution fits into a completion."""
    prompts = tokenizer([task.prompt for task in tasks])["input_ids"]
    solutions = tokenizer([task.solution for task in tasks])["input_ids"]
    return [
        task
        for task, prompt, solution in zip(tasks, prompts, solutions, strict=True)
        if len(prompt) <= LONGEST_PROMPT and len(solution) <= MAX_NEW_TOKENS - 4
    ]


def rare_families(options: argparse.Namespace) -> dict[str, float]:
    """
    Measure how often the start, and the model before it, solve held-out tasks of all families, and how often the start
    solves tasks of each family. Return the rates of those within `options.rates` that have the most tasks.
    """
    path = options.output_dir / "families.json"
    if not path.exists():
        start, tasks, verdicts = make_start(options), make_tasks(options), options.output_dir / "verdicts"
        tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
        for name, folder in (("model", options.model), ("start", start)):
            model = loaded(folder, options.num_loops)
            found = solved_of(
                model,
                tokenizer,
                general_tasks(options),
                sampling(GENERAL_SAMPLES),
                options.output_dir / name,
                0,
                verdicts,
            )
            replace_json(options.output_dir / f"{name}_on_all.json", found)
        by_family = defaultdict(list)
        for task in fitting(tasks.pretraining, tokenizer):
            by_family[task.family].append(task)
        probed = [task for family in sorted(by_family) for task in by_family[family][:PROBED_TASKS]]
        folder = options.output_dir / "families"
        correct = solved_of(model, tokenizer, probed, sampling(PROBED_SAMPLES), folder, 0, verdicts)["correct"]
        counts = defaultdict(list)
        for task, solved in zip(probed, correct, strict=True):
            counts[task.family].append(solved / PROBED_SAMPLES)
        replace_json(path, {family: sum(each) / len(each) for family, each in counts.items()})
    low, high = options.rates
    rates = {family: rate for family, rate in json.loads(path.read_text()).items() if low <= rate <= high}
    prompts = fitting(make_tasks(options).prompts, PreTrainedTokenizerFast.from_pretrained(options.model))
    counts = Counter(task.family for task in prompts)
    most = sorted(rates, key=lambda family: (-counts[family], family))[: options.families]
    return {family: rates[family] for family in most}


def general_tasks(options: argparse.Namespace) -> list[Task]:
    """Held-out tasks of all families."""
    held_out = fitting(make_tasks(options).held_out, PreTrainedTokenizerFast.from_pretrained(options.model))
    return random.Random(0).sample(held_out, min(GENERAL_TASKS, len(held_out)))


def pools(method: Method, options: argparse.Namespace) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and to measure on; both of the families of the method."""
    tasks = make_tasks(options)
    prompts = fitting(tasks.prompts, PreTrainedTokenizerFast.from_pretrained(options.model))
    if method.all_families:
        return prompts, general_tasks(options)
    rare = rare_families(options)
    prompts = [task for task in prompts if task.family in rare]
    # The tasks that are held out by their parameters are too few in these families.
    held_out = [task for task in prompts if int(task.id, 16) % 4 == 0]
    chosen = random.Random(0).sample(held_out, min(options.held_out, len(held_out)))
    return [task for task in prompts if int(task.id, 16) % 4], chosen


def settings_of(method: Method) -> GenerationSettings:
    """Settings of the samples on the held-out tasks of a method, before and after the training."""
    return sampling(GENERAL_SAMPLES if method.all_families else SAMPLES)


def at_start(method: Method, options: argparse.Namespace) -> dict[str, Any]:
    """Results of the start on the held-out tasks of a method, which all its runs share; measured by the first call."""
    path = options.output_dir / f"start_on_{'all' if method.all_families else 'rare'}.json"
    if not path.exists():
        start = make_start(options)
        tokenizer, model = PreTrainedTokenizerFast.from_pretrained(start), loaded(start, options.num_loops)
        tasks, folder = pools(method, options)[1], options.output_dir / path.stem
        verdicts = options.output_dir / "verdicts"
        replace_json(path, solved_of(model, tokenizer, tasks, settings_of(method), folder, 0, verdicts))
    return json.loads(path.read_text())


class ProcessorTime(TrainerCallback):
    """Log `cpu_seconds`: the processor time of each step, of this process and of the compilers and runs it started."""

    def __init__(self) -> None:
        self.before = self.seconds = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.before = processor_seconds()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds = processor_seconds() - self.before

    def on_log(self, args, state, control, **kwargs):
        if "step_time" in kwargs["logs"]:
            kwargs["logs"]["cpu_seconds"] = self.seconds


def processor_seconds() -> float:
    """Processor time of this process and of all processes that it started, in seconds."""
    process = psutil.Process()
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def train(method: Method, seed: int, options: argparse.Namespace) -> None:
    """Run a method, or go on with it."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    folder = options.output_dir / run_name(method.name, seed)
    start = make_start(options)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
    training, held_out = pools(method, options)
    every = options.steps // MEASUREMENTS
    verdicts = options.output_dir / "verdicts"
    ends, between = settings_of(method), sampling(min(SAMPLES_BETWEEN, settings_of(method).num_samples))
    measure = Measure(
        held_out, tokenizer, folder, every, lambda step: ends if step == options.steps else between, verdicts
    )
    model = loaded(start, options.num_loops)
    trainer = MaxRLTrainer(
        model=model,
        reward_funcs=[RustReward(workers=1, cache_dir=str(verdicts), pass_fraction=method.pass_fraction)],
        args=MaxRLConfig(
            output_dir=str(folder),
            estimator=method.estimator,
            loop_credit=method.loop_credit,
            curriculum=method.curriculum,
            max_steps=options.steps,
            seed=seed,
            per_device_train_batch_size=MICRO_BATCH,
            gradient_accumulation_steps=options.samples_per_step // MICRO_BATCH,
            num_generations=method.num_generations,
            max_completion_length=MAX_NEW_TOKENS,
            rollout_engine="native",
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=2,
            logging_steps=1,
            save_steps=every,
            save_total_limit=1,
            report_to="none",
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            stop_at_function_end=True,
            sample_steps=every,
            disable_tqdm=True,
        ),
        train_dataset=task_prompts(training),
        processing_class=tokenizer,
        callbacks=[measure, ProcessorTime()],
    )
    train_from(trainer, last_complete_checkpoint(folder))
    measure.measure(model, options.steps)
    # The last log is a summary of the training.
    logs = [log for log in read_metrics(folder)[0] if "step_time" in log]
    summary = {
        "seconds": time.perf_counter() - started,
        "cpu_seconds": sum(log["cpu_seconds"] for log in logs),
        "zero_variance": statistics.mean(log["groups/zero_variance"] for log in logs),
    }
    replace_json(folder / "finished.json", summary)
