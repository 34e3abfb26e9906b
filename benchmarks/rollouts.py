"""
Measure MaxRL with completions from PyTorch and from the native engine: time of a step, and learning curves.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/rollouts.py --model runs/debug/tasks/model \\
        --tasks runs/debug/tasks.jsonl --report docs/rollouts.md

Both engines train the same model on the same tasks, with the settings of the demo's stage and the same seeds, one run
after the other. The first two steps warm up and do not count. A run that was stopped is begun anew, a finished one is
not repeated.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from reporting import Columns, add_report, documented_command, machine, new_parser

from evaluation.generation_settings import ENGINES
from evaluation.options import add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--tasks", type=Path, required=True, help="JSON lines of tasks, as a recipe writes them")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="engines")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds; each is a run of every engine")
    parser.add_argument("--steps", type=int, default=24, help="optimizer steps of a run")
    parser.add_argument("--prompts", type=int, default=4, help="prompts per step")
    parser.add_argument("--num-generations", type=int, default=16, help="completions per prompt")
    parser.add_argument("--max-completion-length", type=int, default=64, help="maximum tokens of a completion")
    parser.add_argument("--mode", default="compile", help="condition of the reward, see RustReward")
    parser.add_argument("--learning-rate", type=float, default=1e-4, help="learning rate")
    add_output_dir(parser, "folder of the runs", Path("results/rollouts"))
    add_report(parser, "docs/rollouts.md")
    parser.add_argument("--only", metavar="ENGINE:SEED", help="do this run alone, in this process, without a report")
    options = parser.parse_args()

import torch
from rich.console import Console
from rich.progress import track
from transformers import PreTrainedTokenizerFast

from evaluation.figures import legend_below, panels, save
from evaluation.rust.sandbox.runner import require_consent
from modeling_nanochat import LoopLMForCausalLM
from trainers.data.tasks import task_prompts
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

WARM_UP = 2
COLORS = {"torch": "tab:orange", "native": "tab:blue"}


@dataclass(frozen=True)
class Run:
    """One run of reinforcement learning."""

    engine: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the folder of the run."""
        return f"{self.engine}_seed_{self.seed}"


def train(run: Run, given: argparse.Namespace) -> None:
    """Train, and write the logs of every step."""
    torch.set_num_threads(1)
    folder = given.output_dir / run.name
    tokenizer = PreTrainedTokenizerFast.from_pretrained(given.model)
    model = LoopLMForCausalLM.from_pretrained(given.model)
    room = model.config.max_position_embeddings - given.max_completion_length
    tasks = [
        task for task in split_tasks(read_tasks(given.tasks)).prompts if len(tokenizer.encode(task.prompt)) <= room
    ]
    completions = given.prompts * given.num_generations
    trainer = MaxRLTrainer(
        model=model,
        reward_funcs=[RustReward(given.mode, workers=1)],
        args=MaxRLConfig(
            output_dir=str(folder),
            max_steps=given.steps,
            seed=run.seed,
            per_device_train_batch_size=completions,
            num_generations=given.num_generations,
            max_completion_length=given.max_completion_length,
            rollout_engine=run.engine,
            learning_rate=given.learning_rate,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            gradient_checkpointing=False,
            use_cpu=True,
            bf16=False,
            stop_at_function_end=True,
            disable_tqdm=True,
        ),
        train_dataset=task_prompts(tasks),
        processing_class=tokenizer,
    )
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "step_time" in entry]
    (folder / "logs.json").write_text(json.dumps(logs, indent=1) + "\n")


def logs_of(run: Run, given: argparse.Namespace) -> list[dict[str, float]]:
    """Logs of the steps of a finished run."""
    return json.loads((given.output_dir / run.name / "logs.json").read_text())


def in_own_process(run: Run, given: argparse.Namespace) -> None:
    """Do a run in a process of its own, unless it is finished."""
    folder = given.output_dir / run.name
    if (folder / "logs.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (folder / "output.txt").open("w") as output:
        command = [sys.executable, *sys.argv, "--only", f"{run.engine}:{run.seed}"]
        finished = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    if finished.returncode != 0:
        raise RuntimeError(f"{run.name} failed, see {folder / 'output.txt'}")


def time_table(given: argparse.Namespace) -> Columns:
    """Seconds of a step by engine, medians over all steps and seeds."""
    rows = []
    for engine in given.engines:
        logs = [log for seed in given.seeds for log in logs_of(Run(engine, seed), given)[WARM_UP:]]
        step, drawing, reward = (
            statistics.median(log[name] for log in logs) for name in ("step_time", "rollout_seconds", "reward_seconds")
        )
        gaps = [log["rollout_gap"] for log in logs if "rollout_gap" in log]
        gap = f"{statistics.mean(gaps):.4f}" if gaps else "-"
        rows.append([engine, f"{step:.2f}", f"{drawing:.2f}", f"{drawing / step:.0%}", f"{reward:.2f}", gap])
    titles = ("Engine", "Step, s", "Sampling, s", "Share", "Reward, s", "Gap, nats")
    return Columns(titles, 1, rows)


def reward_table(given: argparse.Namespace) -> Columns:
    """Mean reward in the first and the last third of the steps, by engine and seed."""
    third = given.steps // 3
    rows = []
    for engine in given.engines:
        rewards = [[log["avg_reward"] for log in logs_of(Run(engine, seed), given)] for seed in given.seeds]
        for part, name in ((slice(0, third), "first third"), (slice(-third, None), "last third")):
            means = [statistics.mean(each[part]) for each in rewards]
            spread = statistics.stdev(means) if len(means) > 1 else 0.0
            rows.append([engine, name, *(f"{mean:.3f}" for mean in means), f"{statistics.mean(means):.3f}"])
            rows[-1].append(f"{spread:.3f}")
    seeds = (f"Seed {seed}" for seed in given.seeds)
    return Columns(("Engine", "Steps", *seeds, "Mean", "Standard deviation"), 2, rows)


def plot(given: argparse.Namespace, path: Path) -> None:
    """Plot the mean reward of the steps, a line for each run and a thick one for the mean of an engine."""
    figure, axes = panels(1, 2)
    for engine in given.engines:
        runs = [[log["avg_reward"] for log in logs_of(Run(engine, seed), given)] for seed in given.seeds]
        steps = range(1, len(runs[0]) + 1)
        for rewards in runs:
            axes[0].plot(steps, rewards, color=COLORS[engine], alpha=0.3, linewidth=1)
        means = [statistics.mean(each) for each in zip(*runs, strict=True)]
        axes[0].plot(steps, means, color=COLORS[engine], linewidth=2, label=engine)
        seconds = [log["step_time"] for seed in given.seeds for log in logs_of(Run(engine, seed), given)[WARM_UP:]]
        axes[1].hist(seconds, bins=20, color=COLORS[engine], alpha=0.6, label=engine)
    axes[0].set(title="Mean reward of a step", xlabel="optimizer steps", ylabel="reward", ylim=(0, 1))
    axes[1].set(title="Time of a step", xlabel="seconds", ylabel="steps")
    for axis in axes:
        legend_below(axis)
    save(figure, path)


def main(given: argparse.Namespace) -> None:
    """Train with every engine and seed, print and write the results."""
    require_consent()
    if given.only:
        engine, _, seed = given.only.partition(":")
        return train(Run(engine, int(seed)), given)
    runs = [Run(engine, seed) for seed in given.seeds for engine in given.engines]
    for run in track(runs, "training"):
        in_own_process(run, given)
    times, rewards = time_table(given), reward_table(given)
    for title, table in (("Time of a step", times), ("Mean reward", rewards)):
        Console().print(table.rich(title))
    if given.report:
        plot(given, given.report.with_suffix(".png"))
        given.report.write_text(
            "# Sampling in reinforcement learning\n\nWritten by\n\n"
            f"```bash\nHF_ALLOW_CODE_EVAL=1 {documented_command('rollouts.py')}\n```\n\n"
            f"{given.steps} steps of {given.prompts} prompts with {given.num_generations} completions of at most "
            f"{given.max_completion_length} tokens,\none thread on {machine()}, torch {torch.__version__}.\n"
            f"Times are medians over the steps of all seeds, without the first {WARM_UP} of each.\n\n"
            f"{times.markdown()}\n\n"
            '"Gap" is the mean difference between the log-probabilities of the engine and of the trainer.\n\n'
            f"Mean reward of the steps. The engines sample other completions from the same seed, so that runs\n"
            f"differ as runs with other seeds do:\n\n{rewards.markdown()}\n\n"
            f"![reward and time of a step]({given.report.with_suffix('.png').name})\n"
        )
        print(f"Written to {given.report}")


if __name__ == "__main__":
    main(options)
