"""
Measure whether reinforcement learning from the compiler works: MaxRL against GRPO and RLOO from the same start.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/maxrl.py --jobs 2

Generates verified tasks of tier 0, pretrains a small ternary LoopLM on the solutions of half of them, trains it on the
prompts of the other half with every estimator and seed, at equal numbers of samples, and measures pass@1 and pass@8 on
tasks with held-out parameters before, during and after. Writes `docs/maxrl.md`, with this command, and
`docs/maxrl.png`. A run that was stopped is resumed, a finished one is not repeated.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

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
        "--report", type=Path, default=ROOT / "docs" / "maxrl.md", help="Markdown page to write, with a PNG beside it"
    )
    parser.add_argument(
        "--only", metavar="ESTIMATOR:SEED", help="do this run alone, in this process, without a report"
    )
    options = parser.parse_args()

import psutil
import torch
from exit_gate import shares_of_cores, table
from rich.progress import track
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, TrainerCallback, set_seed

from evaluation.figures import legend_below, panels, save
from evaluation.generation_settings import GenerationSettings
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, bootstrap
from evaluation.rust import RustVerifier
from evaluation.rust.sandbox.runner import require_consent
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.callbacks import MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import write_synthetic
from trainers.data.tasks import Task, measure_tasks, task_prompts
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.data.tokenizer import special_token_ids, train_tokenizer
from trainers.plots import read_metrics
from trainers.pretraining import (
    LoopLMTrainer,
    last_complete_checkpoint,
    pretraining_arguments,
    train_from,
)
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

SEQ_LEN = 256
SAMPLES = 8
EVALUATIONS = 4
COLORS = {"maxrl": "tab:blue", "grpo": "tab:orange", "rloo": "tab:green"}


@dataclass(frozen=True)
class Run:
    """One run of reinforcement learning."""

    estimator: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the folder of the run."""
        return f"{self.estimator}_seed_{self.seed}"


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


class Measure(TrainerCallback):
    """Evaluate the held-out tasks before the first step and at regular intervals."""

    def __init__(self, tasks: list[Task], tokenizer, folder: Path, steps: int):
        self.tasks, self.tokenizer, self.folder, self.steps = tasks, tokenizer, folder, steps

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        # Of a training that was killed while it measured, too.
        if state.global_step % self.steps == 0:
            self.measure(model, state.global_step)

    def on_save(self, args, state, control, model=None, **kwargs):
        if state.global_step % self.steps == 0:
            self.measure(model, state.global_step)

    def measure(self, model, step: int):
        """Write the number of successful samples of each task."""
        path = self.folder / f"held_out_{step}.json"
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        sampling = GenerationSettings(
            num_samples=SAMPLES, temperature=1.0, top_p=1.0, max_new_tokens=96, batch_size=64
        )
        state = torch.get_rng_state()
        with RustVerifier(workers=1, run_timeout=1.0) as verifier:
            samples = self.folder / "samples" / f"{step}.jsonl"
            solved = measure_tasks(model, self.tokenizer, self.tasks, sampling, verifier, samples)
        torch.set_rng_state(state)
        path.write_text(json.dumps({"correct": solved.correct, "compiled": solved.compiled}) + "\n")


def train(run: Run, options: argparse.Namespace) -> None:
    """Start or resume a run."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    folder, tasks = options.output_dir / run.name, make_tasks(options)
    start = pretrain(tasks["pretrain"], options)
    tokenizer = AutoTokenizer.from_pretrained(start)
    reward = RustReward(workers=1)
    every = options.steps // EVALUATIONS
    measure = Measure(tasks["held_out"], tokenizer, folder, every)
    trainer = MaxRLTrainer(
        model=LoopLMForCausalLM.from_pretrained(start),
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
    measure.measure(trainer.policy, options.steps)
    (folder / "finished.json").write_text(json.dumps({"seconds": time.perf_counter() - started}) + "\n")


def start_training(run: Run, options: argparse.Namespace, shares: Queue) -> None:
    """Start a run in a process of its own, on its share of the cores."""
    folder = options.output_dir / run.name
    if (folder / "finished.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    cores = shares.get()
    with (folder / "output.txt").open("a") as output:
        command = [sys.executable, *sys.argv, "--only", f"{run.estimator}:{run.seed}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        psutil.Process(process.pid).cpu_affinity(cores)
        status = process.wait()
    shares.put(cores)
    if status != 0:
        raise RuntimeError(f"{run.name} failed, see {folder / 'output.txt'}")


def rates(folder: Path, step: int, k: int) -> list[float]:
    """pass@k of each held-out task."""
    correct = json.loads((folder / f"held_out_{step}.json").read_text())["correct"]
    return [pass_at_k(SAMPLES, each, k) for each in correct]


def of_seeds(estimator: str, step: int, k: int, options: argparse.Namespace) -> list[float]:
    """pass@k of each held-out task, the mean over the seeds."""
    folders = [options.output_dir / Run(estimator, seed).name for seed in options.seeds]
    return [statistics.mean(each) for each in zip(*(rates(folder, step, k) for folder in folders), strict=True)]


def hardest(estimator: str, step: int, options: argparse.Namespace) -> tuple[list[float], int]:
    """Mean over the seeds of pass@1 on the tasks that the start solves in no sample, and their number."""
    start = rates(options.output_dir / Run(estimator, options.seeds[0]).name, 0, 1)
    values = of_seeds(estimator, step, 1, options)
    chosen = [value for value, before in zip(values, start, strict=True) if before == 0]
    return chosen, len(chosen)


def verdict(differences: list[Interval], peer: str) -> str:
    """Conclusion from the intervals, in words."""
    words = []
    for name, interval in zip(("pass@1", "pass@8"), differences, strict=True):
        if interval.low <= 0 <= interval.high:
            words.append(f"in {name} they cannot be told apart")
        else:
            words.append(f"in {name} MaxRL is {'better' if interval.value > 0 else 'worse'}")
    return f"Against {peer}: {', '.join(words)}."


def difference(one: list[float], other: list[float]) -> Interval:
    """The mean difference over tasks, with its bootstrap interval."""
    return bootstrap([a - b for a, b in zip(one, other, strict=True)])


def percent(interval: Interval, sign: str = "") -> str:
    """Format a value with its interval."""
    return f"{interval.value:{sign}.1%} ({interval.low:{sign}.1%} to {interval.high:{sign}.1%})"


def write_report(options: argparse.Namespace, tasks: dict[str, list[Task]], path: Path) -> None:
    """Write the page with the results."""
    steps = [options.steps // EVALUATIONS * index for index in range(EVALUATIONS + 1)]
    curves, gains, shares, peers, said = [], [], [], [], []
    _, never = hardest(options.estimators[0], 0, options)
    for estimator in options.estimators:
        for k in (1, 8):
            values = [bootstrap(of_seeds(estimator, step, k, options)) for step in steps]
            curves.append([estimator, f"pass@{k}", *(f"{each.value:.1%}" for each in values)])
        first, last = ([of_seeds(estimator, step, k, options) for k in (1, 8)] for step in (0, steps[-1]))
        found = [percent(difference(*pair), "+") for pair in zip(last, first, strict=True)]
        unsolved, _ = hardest(estimator, steps[-1], options)
        found.append(f"{bootstrap(unsolved).value:.1%}" if unsolved else "none")
        each = [
            statistics.mean(rates(options.output_dir / Run(estimator, seed).name, steps[-1], 1))
            for seed in options.seeds
        ]
        gains.append([estimator, *found, ", ".join(f"{value:.1%}" for value in each)])
        logs = [
            log for seed in options.seeds for log in read_metrics(options.output_dir / Run(estimator, seed).name)[0]
        ]
        seconds = [
            json.loads((options.output_dir / Run(estimator, seed).name / "finished.json").read_text())["seconds"]
            for seed in options.seeds
        ]
        quarter = len(logs) // len(options.seeds) // 4
        per_seed = len(logs) // len(options.seeds)
        begin = [log for index, log in enumerate(logs) if index % per_seed < quarter]
        end = [log for index, log in enumerate(logs) if index % per_seed >= per_seed - quarter]
        shares.append(
            [
                estimator,
                *(f"{statistics.mean(log['groups/zero_variance'] for log in part):.0%}" for part in (begin, end)),
                *(f"{statistics.mean(log['entropy'] for log in part):.2f}" for part in (begin, end)),
                f"{sum(log['reward_seconds'] for log in logs) / sum(log['step_time'] for log in logs):.0%}",
                f"{statistics.mean(seconds) / 60:.1f}",
            ]
        )
    ours = {k: of_seeds("maxrl", steps[-1], k, options) for k in (1, 8)} if "maxrl" in options.estimators else {}
    for estimator in options.estimators:
        if ours and estimator != "maxrl":
            differences = [difference(ours[k], of_seeds(estimator, steps[-1], k, options)) for k in (1, 8)]
            peers.append([f"maxrl - {estimator}", *(percent(each, "+") for each in differences)])
            said.append(verdict(differences, estimator.upper()))
    command = f"""python benchmarks/maxrl.py --estimators {" ".join(options.estimators)} \\
    --seeds {" ".join(map(str, options.seeds))} --steps {options.steps} --prompts {options.prompts} \\
    --num-generations {options.num_generations} --learning-rate {options.learning_rate:g} --tasks {options.tasks} \\
    --held-out {options.held_out} --pretrain-steps {options.pretrain_steps} --start-at {options.start_at} \\
    --jobs {options.jobs}"""
    halves = [f"{name}, {part}" for name in ("zero-variance", "entropy") for part in ("first", "last")]
    titles = ["estimator", *halves, "reward", "minutes"]
    path.write_text(f"""# Learning from the compiler

Written by

```bash
HF_ALLOW_CODE_EVAL=1 {command}
```

A ternary LoopLM (hidden size 192, 2 blocks, 2 loops) is pretrained on the solutions of
{len(tasks["pretrain"]):,} verified tasks of tier 0, for {options.start_at:,} steps of a schedule of
{options.pretrain_steps:,}. From this start each estimator trains it on the prompts of {len(tasks["train"]):,}
other tasks: {options.steps} steps of {options.prompts} prompts with {options.num_generations} completions each, AdamW
at {options.learning_rate:g}, `loss_type="dapo"`, with the curriculum, one core per run. The evaluation
uses {len(tasks["held_out"])} tasks with other parameters and {SAMPLES} samples each at temperature 1. Values are means
over the seeds {", ".join(map(str, options.seeds))}; intervals are 95% bootstrap intervals over the tasks.
torch {torch.__version__}.

![gain in pass@1 and pass@8 over training]({path.with_suffix(".png").name})

A success is a completion that passes all hidden tests of its task. The plot shows the gain over
the start, paired by task, with 95% intervals.

{table(["estimator", "measure", *(f"step {step}" for step in steps)], curves)}

At the last step: the gain over the start, pass@1 on the {never} tasks that the start solved in
none of {SAMPLES} samples, and pass@1 of each seed:

{table(["estimator", "gain in pass@1", "gain in pass@8", f"pass@1 of {never}", "pass@1 by seed"], gains)}

MaxRL minus the other estimators at the last step, paired by task:

{table(["", "pass@1", "pass@8"], peers)}

{chr(10).join(said)}

The estimators differ in the weight of a prompt: if it is solved at rate p, its gradient is
multiplied by (1 - (1 - p)^{options.num_generations - 1})/p in MaxRL, by 1 in RLOO, and by a value
between them in GRPO. AdamW cancels a factor common to all prompts, so the estimators differ for
prompts that are rarely solved. The curriculum samples few of those, because it prefers groups with
both a success and a failure.

The next table shows the share of zero-variance groups (all completions fail, or all succeed) and
the entropy of the policy in nats, both in the first and the last quarter of the steps; the share
of a step's time that the reward takes; and the minutes of a run with its evaluations:

{table(titles, shares)}
""")


@dataclass(frozen=True)
class Curve:
    """
    pass@k of one estimator on the held-out tasks, the mean over the seeds.

    Attributes:
        estimator, k: Estimator, and k of pass@k.
        start: pass@k before the first step.
        gains: Gain over the start by step, paired by task, with 95% intervals over the tasks.
    """

    estimator: str
    k: int
    start: float
    gains: dict[int, Interval]


def curves_of(options: argparse.Namespace) -> list[Curve]:
    """Curves of every estimator and k."""
    steps = [options.steps // EVALUATIONS * index for index in range(EVALUATIONS + 1)]
    curves = []
    for estimator in options.estimators:
        for k in (1, SAMPLES):
            start, *later = (of_seeds(estimator, step, k, options) for step in steps)
            gains = {step: difference(each, start) for step, each in zip(steps[1:], later, strict=True)}
            curves.append(Curve(estimator, k, statistics.mean(start), gains))
    return curves


def plot(curves: list[Curve], path: Path) -> None:
    """Plot the gain of every estimator over the start, with intervals."""
    figure, axes = panels(1, 2)
    estimators = list(dict.fromkeys(each.estimator for each in curves))
    for axis, k in zip(axes, sorted({each.k for each in curves}), strict=True):
        axis.axhline(0, color="black", linewidth=1)
        of_k = [each for each in curves if each.k == k]
        for index, each in enumerate(of_k):
            # Beside each other, or the bars would hide one another.
            shift = max(each.gains) / 60 * (index - (len(of_k) - 1) / 2)
            found = each.gains.values()
            reach = [
                [100 * (gain.value - gain.low) for gain in found],
                [100 * (gain.high - gain.value) for gain in found],
            ]
            axis.errorbar(
                [step + shift for step in each.gains],
                [100 * gain.value for gain in found],
                reach,
                fmt="o-",
                markersize=4,
                capsize=3,
                color=COLORS.get(each.estimator),
                label=each.estimator,
            )
        axis.set(
            title=f"Gain in pass@{k} over the start ({of_k[0].start:.1%})",
            xlabel="optimizer steps",
            ylabel="percentage points, 95 % intervals",
        )
        legend_below(axis, columns=len(estimators))
    figure.suptitle("Success: all hidden tests of the held-out task hold")
    save(figure, path)


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
    with ThreadPoolExecutor(options.jobs) as pool:
        shares = shares_of_cores(options.jobs)
        trainings = pool.map(lambda run: start_training(run, options, shares), runs)
        for _ in track(trainings, "training", total=len(runs)):
            pass
    write_report(options, tasks, options.report)
    plot(curves_of(options), options.report.with_suffix(".png"))
    print(f"Written to {options.report}")


if __name__ == "__main__":
    main(parser, options)
