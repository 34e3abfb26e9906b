"""
Measure what the entropy weight and the gate's own stage do to the exits, by training small models.

    python benchmarks/exit_gate.py --jobs 2

Trains the debug recipe for every entropy weight and seed, each with the gate's stage at its end, and writes the
results to `docs/exit_gate.md` (with the settings, the seeds and this command) and `docs/exit_gate.png`. A run that
was stopped is resumed, a finished one is not repeated. Losses are on the recipe's held-out blocks.
"""

import argparse
import json
import math
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

from reporting import new_parser

from evaluation.options import add_former_name, add_output_dir

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 0.1, 0.5], help="entropy weights to compare")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds; each is a run")
    parser.add_argument("--total-steps", type=int, default=300, help="number of pretraining steps")
    parser.add_argument("--gate-steps", type=int, default=100, help="number of steps of the gate's stage")
    parser.add_argument(
        "--mean-loops",
        type=float,
        nargs="+",
        default=[1.5, 2, 2.5, 3],
        help="mean numbers of loops at which gains are reported",
    )
    parser.add_argument("--jobs", type=int, default=1, help="number of runs at the same time, which share the cores")
    add_former_name(
        parser,
        "--output",
        add_output_dir(parser, "folder of the runs", Path("results/exit_gate")),
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=ROOT / "docs" / "exit_gate.md",
        help="Markdown page to write, with a PNG beside it",
    )
    options = parser.parse_args()

import torch
from datasets import load_from_disk
from matplotlib.axes import Axes
from processes import run_all
from rich.progress import track

from evaluation.figures import legend_below, ordered_colors, panels, save
from evaluation.loss_by_depth import DepthPoint, best_mixture_of_depths, depth_quality, loss_by_depth
from evaluation.training_curves import read_metrics
from modeling_nanochat import LoopLMForCausalLM

THRESHOLDS = [index / 50 for index in range(1, 50)]
STAGES = {"pretrain": "before", "gate": "after"}


@dataclass(frozen=True)
class Run:
    """A run of pretraining."""

    entropy_weight: float
    seed: int

    @property
    def name(self) -> str:
        """Name of the folder of the run."""
        return f"weight_{self.entropy_weight:g}_seed_{self.seed}"


@dataclass(frozen=True)
class Found:
    """
    Results of a run.

    Attributes:
        logs: Training logs, in order.
        by_depth: Held-out loss after each loop.
        curves: Depth-quality points before and after the gate stage.
    """

    logs: list[dict]
    by_depth: list[float]
    curves: dict[str, list[DepthPoint]]

    def gain(self, stage: str, mean_loops: float) -> float | None:
        """
        Return the loss of the best mixture of fixed depths minus the loss with early exit, in nats, at an equal mean
        number of loops: at the threshold whose mean is nearest to `mean_loops`. None when no threshold comes within a
        quarter of a loop.
        """
        nearest = min(self.curves[stage], key=lambda point: abs(point.mean_loops - mean_loops))
        if abs(nearest.mean_loops - mean_loops) > 0.25:
            return None
        return best_mixture_of_depths(self.by_depth, nearest.mean_loops) - nearest.loss


def command_of(run: Run, options: argparse.Namespace) -> list[str]:
    """Return the command that starts or resumes a run."""
    place = options.output_dir / run.name
    command = [
        sys.executable,
        str(ROOT / "recipes" / "debug.py"),
        "--output-dir",
        str(place),
        "--seed",
        str(run.seed),
        "--total-steps",
        str(options.total_steps),
        "--set",
        f"model.exit_entropy_weight={run.entropy_weight}",
        "--set",
        f"gate.total_steps={options.gate_steps}",
        "--set",
        "data.verified_sample=0",
    ]
    if (place / "debug" / "recipe.json").exists():
        command.append("--resume")
    return command


def measure(run: Run, folder: Path) -> Found:
    """Measure the held-out losses of a finished run."""
    place = folder / run.name / "debug"
    blocks = load_from_disk(place / "prepare" / "validation")
    models = {stage: LoopLMForCausalLM.from_pretrained(place / stage / "model") for stage in ("pretrain", "gate")}
    curves = {stage: depth_quality(model, blocks, THRESHOLDS) for stage, model in models.items()}
    return Found(read_metrics(place / "pretrain")[0], loss_by_depth(models["pretrain"], blocks), curves)


@dataclass(frozen=True)
class Spread:
    """Mean, range and number of a quantity over the seeds."""

    mean: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Summarize at least one value."""
        return cls(statistics.mean(values), min(values), max(values), len(values))

    def words(self, digits: int) -> str:
        """Mean and range in words."""
        if self.count == 1:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True)
class Summary:
    """
    Results of the seeds of an entropy weight, for the tables and the plot.

    Attributes:
        seeds: Number of seeds.
        exits: Share of tokens that would exit after each loop, in the last training log.
        mean_exit_loop, exit_entropy: From the same log; the entropy in nats.
        loss_by_depth: When every token exits after the same loop, nats per token.
        gains: By stage ("pretrain", "gate") and mean loops, in nats per token; None where no run comes there.
    """

    seeds: int
    exits: list[Spread]
    mean_exit_loop: Spread
    exit_entropy: Spread
    loss_by_depth: list[Spread]
    gains: dict[str, dict[float, Spread | None]]

    @classmethod
    def of(cls, results: list[Found], mean_loops: list[float]) -> "Summary":
        """Summarize the runs of one weight."""
        last = [each.logs[-1] for each in results]
        gains: dict[str, dict[float, Spread | None]] = {stage: {} for stage in STAGES}
        for stage in STAGES:
            for loops in mean_loops:
                there = [gain for each in results if (gain := each.gain(stage, loops)) is not None]
                gains[stage][loops] = Spread.of(there) if there else None
        depths = range(len(results[0].by_depth))
        return cls(
            seeds=len(results),
            exits=[Spread.of([log[f"exit_{depth + 1}"] for log in last]) for depth in depths],
            mean_exit_loop=Spread.of([log["mean_exit_loop"] for log in last]),
            exit_entropy=Spread.of([log["exit_entropy"] for log in last]),
            loss_by_depth=[Spread.of([each.by_depth[depth] for each in results]) for depth in depths],
            gains=gains,
        )


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_report(summaries: dict[float, Summary], options: argparse.Namespace, path: Path) -> None:
    """Write the page with the results over the seeds of each weight."""
    num_loops = len(next(iter(summaries.values())).exits)
    loops = range(1, num_loops + 1)
    exits, losses, gains = [], [], []
    for weight, found in summaries.items():
        shares = [*found.exits, found.mean_exit_loop, found.exit_entropy]
        exits.append([f"{weight:g}", *(each.words(2) for each in shares)])
        losses.append([f"{weight:g}", *(each.words(3) for each in found.loss_by_depth)])
        for stage, title in STAGES.items():
            row = [
                f"{each.words(4)}, {each.count} of {found.seeds}" if each else "not reached"
                for each in found.gains[stage].values()
            ]
            gains.append([f"{weight:g}", title, *row])

    weights_text, seeds = (" ".join(f"{value:g}" for value in values) for values in (summaries, options.seeds))
    path.write_text(f"""# Exit distribution and exit gate

Written by

```bash
python benchmarks/exit_gate.py --weights {weights_text} --seeds {seeds} --total-steps {options.total_steps} \\
    --gate-steps {options.gate_steps} --jobs {options.jobs}
```

The debug recipe was trained for {options.total_steps} steps, and then its exit gate alone for {options.gate_steps}
steps. The tables show means over the seeds {seeds}, with their range. Losses are measured on held-out
text, in nats per token. torch {torch.__version__}.

![exit distribution, loss by depth, and gain of the gate]({path.with_suffix(".png").name})

The plot shows the numbers of the tables; error bars are ranges over the seeds.

## Entropy weight

A larger entropy weight keeps the exit distribution from collapsing to one loop. The table shows the
last training log: the share of tokens that would exit after each loop, the mean exit loop, and the
entropy of the distribution (maximum {math.log(num_loops):.2f} nats).

{table(["entropy weight", *(f"loop {loop}" for loop in loops), "mean exit loop", "entropy"], exits)}

Loss when every token exits after the same loop:

{table(["entropy weight", *(f"loop {loop}" for loop in loops)], losses)}

## Gain of the gate stage

The gain is the loss of the best mixture of fixed depths minus the loss with early exit, at an equal
mean number of loops. Above zero, the gate knows which tokens need more loops. The exit threshold is
the one with the nearest mean; runs without a threshold within a quarter of a loop are left out, and
"2 of 2" counts the remaining ones.

{table(["entropy weight", "gate stage", *(f"{each:g} loops" for each in options.mean_loops)], gains)}
""")


def plot(summaries: dict[float, Summary], path: Path) -> None:
    """Plot exit distribution, loss by depth and gain of the gate for each entropy weight, with ranges over seeds."""
    figure, axes = panels(math.ceil((2 + len(summaries)) / 3), 3)
    exits, losses, *gains = axes[: 2 + len(summaries)]
    for axis in axes[2 + len(summaries) :]:
        axis.remove()
    names = [f"{weight:g}" for weight in summaries]
    bottom = [0.0] * len(names)
    num_loops = len(next(iter(summaries.values())).exits)
    for depth, color in enumerate(ordered_colors(num_loops)):
        shares = [found.exits[depth].mean for found in summaries.values()]
        exits.bar(names, shares, bottom=bottom, color=color, label=f"loop {depth + 1}")
        bottom = [below + share for below, share in zip(bottom, shares, strict=True)]
    exits.set(title="Exit distribution", xlabel="entropy weight", ylabel="share of tokens", ylim=(0, 1))
    legend_below(exits, columns=num_loops)

    for index, (weight, color) in enumerate(zip(summaries, ordered_colors(len(names)), strict=True)):
        # Beside each other, or the bars would hide one another.
        loops = [loop + 0.08 * (index - (len(names) - 1) / 2) for loop in range(1, num_loops + 1)]
        plot_spreads(losses, loops, summaries[weight].loss_by_depth, color, f"entropy weight {weight:g}")
    losses.set(title="Held-out loss at a fixed depth", xlabel="loops of every token", ylabel="nats per token")
    losses.set_xticks(range(1, num_loops + 1))
    legend_below(losses)

    for axis, (weight, found) in zip(gains, summaries.items(), strict=True):
        axis.axhline(0, color="black", linewidth=1)
        for (stage, title), shift, color in zip(
            STAGES.items(), (-0.02, 0.02), ("tab:orange", "tab:green"), strict=True
        ):
            reached = {loops: each for loops, each in found.gains[stage].items() if each is not None}
            places = [loops + shift for loops in reached]
            plot_spreads(axis, places, list(reached.values()), color, f"{title} the gate stage")
        axis.set(
            title=f"Gain of the gate, entropy weight {weight:g}",
            xlabel="mean loops per token",
            ylabel="nats per token",
        )
        axis.set_xlim(min(found.gains["gate"]) - 0.2, max(found.gains["gate"]) + 0.2)
        axis.ticklabel_format(axis="y", style="sci", scilimits=(-3, 3), useMathText=True)
        legend_below(axis)
    save(figure, path)


def plot_spreads(axis: Axes, places: list[float], spreads: list[Spread], color, label: str) -> None:
    """Plot means with bars from the lowest to the highest seed."""
    means = [each.mean for each in spreads]
    below, above = [each.mean - each.low for each in spreads], [each.high - each.mean for each in spreads]
    axis.errorbar(places, means, [below, above], fmt="o-", markersize=4, capsize=3, color=color, label=label)


def main(options: argparse.Namespace) -> None:
    """Train, evaluate and write the report."""
    runs = [Run(weight, seed) for seed in options.seeds for weight in options.weights]
    run_all([(options.output_dir / run.name, command_of(run, options)) for run in runs], options.jobs)
    found = {run: measure(run, options.output_dir) for run in track(runs, "measuring")}
    summary = {run.name: {"loss_by_depth": each.by_depth, "last_log": each.logs[-1]} for run, each in found.items()}
    (options.output_dir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    summaries = {
        weight: Summary.of([each for run, each in found.items() if run.entropy_weight == weight], options.mean_loops)
        for weight in sorted({run.entropy_weight for run in found})
    }
    write_report(summaries, options, options.report)
    plot(summaries, options.report.with_suffix(".png"))
    print(f"Written to {options.report}")


if __name__ == "__main__":
    main(options)
