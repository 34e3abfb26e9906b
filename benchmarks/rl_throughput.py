"""
Measure steps per minute of MaxRL without and with what makes its steps shorter, added one after the other.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/rl_throughput.py --model runs/debug/tasks/model \\
        --tasks runs/debug/tasks.jsonl --report docs/rl_throughput.md

All variants train the same model on the same tasks with the same seed, each in a process of its own. The first two
steps warm up and do not count. Gradients are the same up to rounding, after which later samples may differ.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from reporting import Columns, add_output, add_report, documented_command, machine, new_parser, write_json

from evaluation.generation_settings import ENGINES

VARIANTS = (
    "none of these",
    "only rows with an advantage",
    "judged while sampling",
    "prompts once for all their completions",
)

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model to start from")
    parser.add_argument("--tasks", type=Path, required=True, help="JSON lines of tasks, as a recipe writes them")
    parser.add_argument("--engine", choices=ENGINES, default="native", help="program that samples")
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps of a run")
    parser.add_argument("--prompts", type=int, default=8, help="prompts per step")
    parser.add_argument("--num-generations", type=int, default=16, help="completions per prompt")
    parser.add_argument("--micro-batch", type=int, default=32, help="completions per forward pass")
    parser.add_argument("--max-completion-length", type=int, default=128, help="maximum tokens of a completion")
    parser.add_argument("--mode", default="tests", help="condition of the reward, see RustReward")
    add_output(parser, "results/rl_throughput.json")
    add_report(parser, "docs/rl_throughput.md")
    parser.add_argument("--only", type=int, metavar="VARIANT", help="do this variant alone, in this process")
    options = parser.parse_args()

import json
import tempfile

import torch
from rich.console import Console
from transformers import PreTrainedTokenizerFast, TrainerCallback

from evaluation.rust.sandbox.runner import require_consent
from modeling_nanochat import LoopLMForCausalLM
from trainers.data.tasks import task_prompts
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.reinforcement.maxrl import MaxRLConfig, MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

WARM_UP = 2
PARTS = ("rollout_seconds", "reward_seconds", "rows_trained", "success_rate")


class Variant(MaxRLTrainer):
    """Trainer with the first parts of `VARIANTS`."""

    parts = 0

    @property
    def selects_rows(self) -> bool:
        return super().selects_rows and self.parts >= 1

    @property
    def shares_prompts(self) -> bool:
        return super().shares_prompts and self.parts >= 3


class StepTimes(TrainerCallback):
    """Callback that keeps the wall time of every step, in seconds."""

    def __init__(self):
        self.seconds: list[float] = []
        self._start = 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self._start = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds.append(time.perf_counter() - self._start)


def train(variant: int, given: argparse.Namespace, folder: Path) -> list[dict[str, float | None]]:
    """Train, and return the seconds and the logs of every step."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(given.model)
    model = LoopLMForCausalLM.from_pretrained(given.model)
    room = model.config.max_position_embeddings - given.max_completion_length
    tasks = [
        task for task in split_tasks(read_tasks(given.tasks)).prompts if len(tokenizer.encode(task.prompt)) <= room
    ]
    Variant.parts = variant
    trainer = Variant(
        model=model,
        reward_funcs=[RustReward(given.mode)],
        args=MaxRLConfig(
            output_dir=str(folder),
            max_steps=given.steps,
            per_device_train_batch_size=given.micro_batch,
            gradient_accumulation_steps=given.prompts * given.num_generations // given.micro_batch,
            num_generations=given.num_generations,
            max_completion_length=given.max_completion_length,
            rollout_engine=given.engine,
            lr_scheduler_type="constant",
            logging_steps=1,
            sample_steps=0,
            save_strategy="no",
            report_to="none",
            stop_at_function_end=True,
            disable_tqdm=True,
        ),
        train_dataset=task_prompts(tasks),
        processing_class=tokenizer,
    )
    if variant < 2:
        trainer.judge_ahead = None
    times = StepTimes()
    trainer.add_callback(times)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "step_time" in entry]
    return [
        {"seconds": seconds} | {name: log.get(name, 1.0) for name in PARTS}
        for seconds, log in zip(times.seconds, logs, strict=True)
    ]


def measured(variant: int) -> list[dict[str, float | None]]:
    """Return the steps of a variant, trained in a process of its own."""
    command = [sys.executable, *sys.argv, "--only", str(variant)]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def table_of(results: dict[str, list[dict[str, float | None]]]) -> Columns:
    """Steps per minute of each variant, and what a step took; medians of the steps after the warm-up."""
    rows = []
    for name, steps in results.items():
        counted = steps[WARM_UP:]
        seconds, drawing, reward, trained, success = (
            statistics.median([value for step in counted if (value := step[part]) is not None] or [0.0])
            for part in ("seconds", *PARTS)
        )
        times = f"{60 / seconds:.1f}", f"{seconds:.2f}", f"{drawing:.2f}", f"{reward:.2f}"
        rows.append([name, *times, f"{trained:.0%}", f"{success:.1%}"])
    titles = ("Added", "Steps per minute", "Step, s", "Sampling, s", "Reward, s", "Rows trained", "Success")
    return Columns(titles, 1, rows)


def main(given: argparse.Namespace) -> None:
    """Train every variant, print and write the results."""
    require_consent()
    if given.steps <= WARM_UP or given.prompts * given.num_generations % given.micro_batch:
        raise ValueError(
            f"steps must be above {WARM_UP}, and micro_batch must divide prompts times num_generations, got "
            f"{given.steps}, {given.micro_batch} and {given.prompts * given.num_generations}"
        )
    if given.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(train(given.only, given, Path(folder))))
        return
    results = {name: measured(number) for number, name in enumerate(VARIANTS)}
    table = table_of(results)
    Console().print(table.rich("Reinforcement learning"))
    write_json(given.output, {"machine": machine(), "torch": torch.__version__, "variants": results})
    if given.report:
        given.report.write_text(
            "# Speed of reinforcement learning\n\nWritten by\n\n"
            f"```bash\nHF_ALLOW_CODE_EVAL=1 {documented_command('rl_throughput.py')}\n```\n\n"
            f"{given.steps} steps of {given.prompts} prompts with {given.num_generations} completions of at most\n"
            f"{given.max_completion_length} tokens, sampled by the engine {given.engine}, on {machine()},\n"
            f"torch {torch.__version__}. Medians of the steps without the first {WARM_UP}.\n\n{table.markdown()}\n\n"
            "Each row adds to those above it. The reward's time is what it takes after the sampling. Rows without\n"
            "an advantage add nothing to the gradient; the share of the others depends on how often the tasks are\n"
            "solved. Gradients are the same up to rounding, after which later samples may differ.\n"
        )
        print(f"Written to {given.report}")


if __name__ == "__main__":
    main(options)
