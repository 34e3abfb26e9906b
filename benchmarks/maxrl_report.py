"""The page and the plot of `maxrl.py`, from the files that its runs left."""

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from exit_gate import table

from evaluation.figures import legend_below, panels, save
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, bootstrap
from evaluation.training_curves import read_metrics
from trainers.data.tasks import Task

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


def mean_entropy(logs: list[dict]) -> float:
    """Mean entropy of the steps that passed completions through the model; NaN without any."""
    known = [log["entropy"] for log in logs if log["entropy"] is not None]
    return statistics.mean(known) if known else float("nan")


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
                *(f"{mean_entropy(part):.2f}" for part in (begin, end)),
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
    path.write_text(f"""# Learning from frequent success

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
