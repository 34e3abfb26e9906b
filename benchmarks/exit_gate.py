"""What the entropy weight and the gate's own stage do to the exits, by training small models.

    python benchmarks/exit_gate.py --jobs 2

Trains the debug recipe for every entropy weight and seed, each with the gate's stage at its end, and writes what it
finds to `docs/exit_gate.md` (with the settings, the seeds and this command) and `docs/exit_gate.png`. A run that was
stopped continues, one that is finished is not repeated. Losses are those on the recipe's held-out blocks.
"""

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parent.parent

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 0.1, 0.5], help="entropy weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of each training")
    parser.add_argument("--total-steps", type=int, default=300, help="of pretraining")
    parser.add_argument("--gate-steps", type=int, default=100, help="of the gate's stage")
    parser.add_argument("--mean-loops", type=float, nargs="+", default=[1.5, 2, 2.5, 3], help="where gains are read")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, which divide the cores")
    parser.add_argument("--output", type=Path, default=Path("results/exit_gate"), help="folder of the trainings")
    parser.add_argument(
        "--report", type=Path, default=ROOT / "docs" / "exit_gate.md", help="Markdown file; PNG beside"
    )
    options = parser.parse_args()

import matplotlib  # noqa: E402

matplotlib.use("Agg")
import psutil  # noqa: E402
import torch  # noqa: E402
from datasets import load_from_disk  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from rich.progress import track  # noqa: E402

from evaluation.suites.perplexity import DepthPoint, best_mixture_of_depths, depth_quality, loss_by_depth  # noqa: E402
from modeling_nanochat import LoopLMForCausalLM  # noqa: E402
from trainers.plots import read_metrics  # noqa: E402

THRESHOLDS = [index / 50 for index in range(1, 50)]


@dataclass(frozen=True)
class Run:
    """One training."""

    entropy_weight: float
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"weight_{self.entropy_weight:g}_seed_{self.seed}"


@dataclass(frozen=True)
class Found:
    """
    What one training came to.

    Attributes:
        logs: Its training logs, in their order.
        by_depth: Held-out loss after each loop.
        curves: Depth-quality points before and after the gate's stage.
    """

    logs: list[dict]
    by_depth: list[float]
    curves: dict[str, list[DepthPoint]]

    def gain(self, stage: str, mean_loops: float) -> float | None:
        """
        By how many nats leaving where the gate says beats the best mixture of fixed depths at equal mean loops, at the
        threshold whose mean is nearest to `mean_loops`; None when no threshold comes within a quarter of a loop.
        """
        nearest = min(self.curves[stage], key=lambda point: abs(point.mean_loops - mean_loops))
        if abs(nearest.mean_loops - mean_loops) > 0.25:
            return None
        return best_mixture_of_depths(self.by_depth, nearest.mean_loops) - nearest.loss


def shares_of_cores(jobs: int) -> Queue:
    """The cores this process may use, dealt out: trainings that share theirs slow each other down many times."""
    cores = psutil.Process().cpu_affinity()
    shares: Queue = Queue()
    for job in range(jobs):
        shares.put(cores[job::jobs] or [cores[job % len(cores)]])
    return shares


def train(run: Run, folder: Path, options: argparse.Namespace, shares: Queue) -> None:
    """Train, or continue, in a process of its own."""
    place = folder / run.name
    command = [
        sys.executable, str(ROOT / "recipes" / "debug.py"), "--output-dir", str(place), "--seed", str(run.seed),
        "--total-steps", str(options.total_steps), "--set", f"model.exit_entropy_weight={run.entropy_weight}",
        "--set", f"training.gate_steps={options.gate_steps}", "--set", "data.verified_sample=0",
    ]  # fmt: skip
    if (place / "debug" / "recipe.json").exists():
        command.append("--resume")
    place.mkdir(parents=True, exist_ok=True)
    cores = shares.get()
    with (place / "output.txt").open("a") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        psutil.Process(process.pid).cpu_affinity(cores)
        status = process.wait()
    shares.put(cores)
    if status != 0:
        raise RuntimeError(f"{run.name} failed, see {place / 'output.txt'}")


def measure(run: Run, folder: Path) -> Found:
    """Held-out losses of a finished run."""
    place = folder / run.name / "debug"
    blocks = load_from_disk(place / "prepare" / "validation")
    models = {stage: LoopLMForCausalLM.from_pretrained(place / stage / "model") for stage in ("pretrain", "gate")}
    curves = {stage: depth_quality(model, blocks, THRESHOLDS) for stage, model in models.items()}
    return Found(read_metrics(place / "pretrain")[0], loss_by_depth(models["pretrain"], blocks), curves)


def spread(values: list[float], digits: int) -> str:
    """Mean and range."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(header: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_report(found: dict[Run, Found], options: argparse.Namespace, path: Path) -> None:
    """Tables in Markdown, over the seeds of each weight."""
    weights = sorted({run.entropy_weight for run in found})
    num_loops = len(next(iter(found.values())).by_depth)
    loops = range(1, num_loops + 1)
    of_weight = {weight: [each for run, each in found.items() if run.entropy_weight == weight] for weight in weights}

    exits = []
    for weight, results in of_weight.items():
        last = [each.logs[-1] for each in results]
        shares = [spread([log[f"exit_{loop}"] for log in last], 2) for loop in loops]
        exits.append([f"{weight:g}", *shares, *(spread([log[name] for log in last], 2)
                                                for name in ("mean_exit_loop", "exit_entropy"))])  # fmt: skip
    losses = [
        [f"{weight:g}", *(spread([each.by_depth[loop - 1] for each in results], 3) for loop in loops)]
        for weight, results in of_weight.items()
    ]
    gains = []
    for weight, results in of_weight.items():
        for stage, title in (("pretrain", "before"), ("gate", "after")):
            row = [f"{weight:g}", title]
            for mean_loops in options.mean_loops:
                there = [gain for each in results if (gain := each.gain(stage, mean_loops)) is not None]
                row.append(f"{spread(there, 4)}, {len(there)} of {len(results)}" if there else "not reached")
            gains.append(row)

    weights_text, seeds = (" ".join(f"{value:g}" for value in values) for values in (weights, options.seeds))
    path.write_text(f"""# Exit distribution and exit gate

Written by

```bash
python benchmarks/exit_gate.py --weights {weights_text} --seeds {seeds} --total-steps {options.total_steps} \\
    --gate-steps {options.gate_steps} --jobs {options.jobs}
```

The debug recipe, {options.total_steps} steps, then {options.gate_steps} steps of the gate alone; torch
{torch.__version__}. Means over the seeds {seeds}, with their range. Losses are held-out nats per token.

## The entropy weight holds the exit distribution open

Exit distribution of the last training log: share of tokens that would leave after each loop, the mean exit loop and
the entropy (at most {torch.log(torch.tensor(float(num_loops))):.2f} nats).

{table(["entropy weight", *(f"loop {loop}" for loop in loops), "mean exit loop", "entropy"], exits)}

![exit distribution and depth-quality curves](exit_gate.png)

Loss when every token leaves after the same loop:

{table(["entropy weight", *(f"loop {loop}" for loop in loops)], losses)}

## What the gate's own stage gains

Loss of the best mixture of fixed depths minus the loss where the gate leaves, at equal mean loops (the threshold with
the nearest mean; runs in which one is within a quarter of a loop are counted). Above zero the gate knows which tokens
need more loops.

{table(["entropy weight", "gate's stage", *(f"{each:g} loops" for each in options.mean_loops)], gains)}
""")


def draw(found: dict[Run, Found], path: Path) -> None:
    """Mean exit loop over the training, and the depth-quality curves of the first seed."""
    weights = sorted({run.entropy_weight for run in found})
    figure, axes = plt.subplots(1, 1 + len(weights), figsize=(4.2 * (1 + len(weights)), 3.8), layout="constrained")
    colors = plt.get_cmap("viridis")([index / max(1, len(weights) - 1) * 0.85 for index in range(len(weights))])
    for weight, color in zip(weights, colors, strict=True):
        of_weight = [each for run, each in found.items() if run.entropy_weight == weight]
        for index, each in enumerate(of_weight):
            label = f"entropy weight {weight:g}" if index == 0 else None
            steps = [log["step"] for log in each.logs]
            axes[0].plot(steps, [log["mean_exit_loop"] for log in each.logs], color=color, label=label)
    axes[0].set(title="Mean exit loop", xlabel="step", ylim=(0.9, len(of_weight[0].by_depth) + 0.1))
    axes[0].legend()
    for axis, weight in zip(axes[1:], weights, strict=True):
        first = next(each for run, each in found.items() if run.entropy_weight == weight)
        axis.plot(range(1, len(first.by_depth) + 1), first.by_depth, "ko--", label="fixed depth")
        for stage, label, color in (("pretrain", "before", "tab:orange"), ("gate", "after", "tab:green")):
            points = sorted(first.curves[stage], key=lambda point: point.mean_loops)
            axis.plot(
                [point.mean_loops for point in points], [point.loss for point in points],
                ".-", color=color, label=f"exit gate, {label} its stage",
            )  # fmt: skip
        axis.set(title=f"entropy weight {weight:g}", xlabel="mean loops per token", ylabel="nats per token")
        axis.legend()
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(options: argparse.Namespace) -> None:
    """Trains, measures, writes."""
    runs = [Run(weight, seed) for seed in options.seeds for weight in options.weights]
    with ThreadPoolExecutor(options.jobs) as pool:
        shares = shares_of_cores(options.jobs)
        trainings = pool.map(lambda run: train(run, options.output, options, shares), runs)
        for _ in track(trainings, "training", total=len(runs)):
            pass
    found = {run: measure(run, options.output) for run in track(runs, "measuring")}
    summary = {run.name: {"loss_by_depth": each.by_depth, "last_log": each.logs[-1]} for run, each in found.items()}
    (options.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    write_report(found, options, options.report)
    draw(found, options.report.with_suffix(".png"))
    print(f"Written to {options.report}")


if __name__ == "__main__":
    main(options)
