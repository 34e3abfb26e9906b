"""
Measure whether reinforcement learning from the compiler works: MaxRL against GRPO and RLOO from the same start.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/maxrl.py --jobs 2

Generates verified tasks of tier 0, pretrains a small ternary LoopLM on the solutions of half of them, trains it on the
prompts of the other half with every estimator and seed, at equal numbers of samples, and measures pass@1 and pass@8 on
tasks with held-out parameters before, during and after. Writes `docs/maxrl_frequent_success.md`, with this command,
and a PNG beside it. A run that was stopped is resumed, a finished one is not repeated.
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from reporting import new_parser

from evaluation.options import add_former_name, add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--estimators", nargs="+", default=["maxrl", "grpo", "rloo"], help="estimators to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds; each is a run")
    parser.add_argument("--steps", type=int, default=64, help="number of steps of reinforcement learning")
    parser.add_argument("--prompts", type=int, default=8, help="number of prompts per step")
    parser.add_argument("--num-generations", type=int, default=16, help="number of completions per prompt")
    parser.add_argument("--learning-rate", type=float, default=3e-5, help="learning rate of reinforcement learning")
    parser.add_argument("--tasks", type=int, default=8000, help="number of verified tasks to generate")
    parser.add_argument("--held-out", type=int, default=200, help="number of held-out tasks to evaluate on")
    parser.add_argument("--pretrain-steps", type=int, default=1500, help="number of pretraining steps on solutions")
    parser.add_argument(
        "--start-at", type=int, default=1250, help="pretraining step whose checkpoint all runs start from"
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at the same time, which share the cores")
    add_former_name(
        parser,
        "--output",
        add_output_dir(parser, "folder of the runs", Path("results/maxrl")),
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=ROOT / "docs" / "maxrl_frequent_success.md",
        help="Markdown page to write, with a PNG beside it",
    )
    parser.add_argument(
        "--only", metavar="ESTIMATOR:SEED", help="do this run alone, in this process, without a report"
    )
    options = parser.parse_args()

import torch
from held_out_tasks import Measure
from maxrl_report import EVALUATIONS, SAMPLES, Run, curves_of, plot, write_report
from processes import run_all
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast, set_seed

from evaluation.generation_settings import GenerationSettings
from evaluation.rust import RustVerifier
from evaluation.rust.sandbox.runner import require_consent
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.callbacks import MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import write_synthetic
from trainers.data.tasks import Task, task_prompts
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.data.tokenizer import special_token_ids, train_tokenizer
from trainers.pretraining import (
    LoopLMTrainer,
    last_complete_checkpoint,
    pretraining_arguments,
    train_from,
)
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

SEQ_LEN = 256


def make_tasks(options: argparse.Namespace) -> dict[str, list[Task]]:
    """Tasks to pretrain on, to train on by reinforcement learning, and to evaluate on."""
    path, finished = options.output_dir / "tasks.jsonl", options.output_dir / "tasks.finished"
    if not finished.exists():
        with RustVerifier(run_timeout=1.0) as verifier:
            write_synthetic(path, choose_families(tier=0), options.tasks, 1, verifier, tasks=True)
        finished.touch()
    tasks = split_tasks(read_tasks(path))
    chosen = random.Random(0).sample(tasks.held_out, min(options.held_out, len(tasks.held_out)))
    return {"pretrain": tasks.pretraining, "train": tasks.prompts, "held_out": chosen}


def pretrain(tasks: list[Task], options: argparse.Namespace) -> Path:
    """Pretrain on solutions; return the checkpoint that all runs start from."""
    folder = options.output_dir / "pretrain"
    start = folder / f"checkpoint-{options.start_at}"
    if (folder / "finished").exists():
        return start
    texts = [task.code for task in tasks]
    tokenizer = train_tokenizer(texts, 1024, SEQ_LEN)
    epochs = 1 + options.pretrain_steps * 16 * SEQ_LEN // sum(map(len, tokenizer(texts)["input_ids"]))
    generator = random.Random(0)
    blocks = pack_blocks(
        [text for _ in range(epochs) for text in generator.sample(texts, len(texts))], tokenizer, SEQ_LEN
    )
    set_seed(0)
    config = LoopLMConfig(
        vocab_size=1024,
        hidden_size=192,
        intermediate_size=480,
        num_shared_layers=2,
        num_loops=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=SEQ_LEN,
        ternary_group_size=32,
        exit_entropy_weight=0.1,
        **special_token_ids(tokenizer),
    )
    trainer = LoopLMTrainer(
        model=LoopLMForCausalLM(config),
        args=pretraining_arguments(
            output_dir=str(folder),
            max_steps=options.pretrain_steps,
            per_device_train_batch_size=16,
            optimizer="muon_lion",
            muon_lr=0.02,
            lion_lr=3e-4,
            lion_impl="torch",
            lr_scheduler_type="cosine",
            warmup_steps=20,
            logging_steps=50,
            save_steps=options.pretrain_steps // 6,
            save_total_limit=6,
        ),
        train_dataset=blocks,
        processing_class=tokenizer,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
        callbacks=[MetricsFileCallback(folder / "metrics.jsonl")],
    )
    checkpoint = last_complete_checkpoint(folder) if folder.exists() else None
    train_from(trainer, checkpoint)
    (folder / "finished").touch()
    return start


def train(run: Run, options: argparse.Namespace) -> None:
    """Start or resume a run."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    folder, tasks = options.output_dir / run.name, make_tasks(options)
    start = pretrain(tasks["pretrain"], options)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(start)
    reward = RustReward(workers=1)
    every = options.steps // EVALUATIONS
    sampling = GenerationSettings(num_samples=SAMPLES, temperature=1.0, top_p=1.0, max_new_tokens=96, batch_size=64)
    measure = Measure(tasks["held_out"], tokenizer, folder, every, lambda _: sampling, options.output_dir / "verdicts")
    model = LoopLMForCausalLM.from_pretrained(start)
    trainer = MaxRLTrainer(
        model=model,
        reward_funcs=[reward],
        args=MaxRLConfig(
            output_dir=str(folder),
            estimator=run.estimator,
            max_steps=options.steps,
            seed=run.seed,
            per_device_train_batch_size=64,
            gradient_accumulation_steps=options.prompts * options.num_generations // 64,
            num_generations=options.num_generations,
            max_completion_length=96,
            learning_rate=options.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=5,
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
        train_dataset=task_prompts(tasks["train"]),
        processing_class=tokenizer,
        callbacks=[measure],
    )
    checkpoint = last_complete_checkpoint(folder) if folder.exists() else None
    train_from(trainer, checkpoint)
    measure.measure(model, options.steps)
    (folder / "finished.json").write_text(json.dumps({"seconds": time.perf_counter() - started}) + "\n")


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Train, evaluate and write the report."""
    if options.steps % EVALUATIONS or options.prompts * options.num_generations % 64:
        parser.error(f"--steps must be a multiple of {EVALUATIONS}, prompts times completions one of 64")
    require_consent()
    if options.only:
        estimator, _, seed = options.only.partition(":")
        return train(Run(estimator, int(seed)), options)

    tasks = make_tasks(options)
    pretrain(tasks["pretrain"], options)
    runs = [Run(estimator, seed) for seed in options.seeds for estimator in options.estimators]
    missing = [run for run in runs if not (options.output_dir / run.name / "finished.json").exists()]
    commands = [[sys.executable, *sys.argv, "--only", f"{run.estimator}:{run.seed}"] for run in missing]
    folders = [options.output_dir / run.name for run in missing]
    run_all(list(zip(folders, commands, strict=True)), options.jobs)
    write_report(options, tasks, options.report)
    plot(curves_of(options), options.report.with_suffix(".png"))
    print(f"Written to {options.report}")


if __name__ == "__main__":
    main(parser, options)
