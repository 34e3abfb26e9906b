"""The page and the plot of `rare_success.py`."""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rare_success_methods import METHODS, Method
from rare_success_runs import (
    GENERAL_SAMPLES,
    GENERAL_TASKS,
    MEASUREMENTS,
    SAMPLES,
    SAMPLES_BETWEEN,
    pools,
    rare_families,
    run_name,
)
from reporting import Columns

from evaluation.figures import legend_below, panels, save
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, bootstrap

KS = (1, 8, 64)
CURVE = (1, 2, 4, 8, 16, 32, 64)
REFERENCE, PEER = "maxrl", "grpo"


def rates(found: dict[str, Any], k: int) -> list[float]:
    """pass@k of each task."""
    return [pass_at_k(found["samples"], correct, k) for correct in found["correct"]]


def finished_seeds(folder: Path, method: str, seeds: Sequence[int]) -> list[int]:
    """The seeds of which the run of a method is finished."""
    return [seed for seed in seeds if (folder / run_name(method, seed) / "finished.json").exists()]


def percent(interval: Interval, sign: str = "") -> str:
    """Format a value with its interval."""
    return f"{interval.value:{sign}.1%} ({interval.limits(f'{sign}.1%')})"


@dataclass(frozen=True)
class Study:
    """
    What the runs found.

    Attributes:
        methods: Methods of which a run is finished.
        seeds: Seeds of the finished runs of each method, by its name.
        steps: Steps of the measurements.
        held_out: Results on the held-out tasks, by method, seed and step.
        training: What each training took, and its share of zero-variance groups, by method and seed.
        chain: Results on tasks of all families, of the given model and of the start.
        rare: Rates of the rare families.
        sizes: Number of prompts and of held-out tasks of these families.
    """

    methods: Sequence[Method]
    seeds: Mapping[str, Sequence[int]]
    steps: Sequence[int]
    held_out: dict[tuple[str, int, int], dict[str, Any]]
    training: dict[tuple[str, int], dict[str, float]]
    chain: dict[str, dict[str, Any]]
    rare: dict[str, float]
    sizes: tuple[int, int]

    @classmethod
    def read(cls, options: argparse.Namespace) -> "Study":
        """Read the finished runs of the options."""
        folder = options.output_dir
        steps = [options.steps // MEASUREMENTS * index for index in range(MEASUREMENTS + 1)]
        seeds = {name: finished_seeds(folder, name, options.seeds) for name in options.methods}
        methods = [METHODS[name] for name in options.methods if seeds[name]]
        held_out, training = {}, {}
        for name, seed in ((method.name, seed) for method in methods for seed in seeds[method.name]):
            place = folder / run_name(name, seed)
            training[name, seed] = json.loads((place / "finished.json").read_text())
            for step in steps:
                held_out[name, seed, step] = json.loads((place / f"held_out_{step}.json").read_text())
        chain = {name: json.loads((folder / f"{name}_on_all.json").read_text()) for name in ("model", "start")}
        prompts, measured = pools(METHODS[REFERENCE], options)
        sizes = len(prompts), len(measured)
        return cls(methods, seeds, steps, held_out, training, chain, rare_families(options), sizes)

    @property
    def rare_methods(self) -> list[Method]:
        """The methods that train on rare families."""
        return [method for method in self.methods if not method.all_families]

    def of_tasks(self, method: str, step: int, k: int, seeds: Sequence[int] | None = None) -> list[float]:
        """pass@k of each held-out task, the mean over some seeds; without them, over all of the method."""
        chosen = self.seeds[method] if seeds is None else seeds
        return [
            statistics.mean(each)
            for each in zip(*(rates(self.held_out[method, seed, step], k) for seed in chosen), strict=True)
        ]

    def gain(self, method: str, k: int) -> Interval:
        """Gain in pass@k over the start, paired by task, with its bootstrap interval over the tasks."""
        first, last = (self.of_tasks(method, step, k) for step in (0, self.steps[-1]))
        return bootstrap([after - before for before, after in zip(first, last, strict=True)])

    def difference(self, method: str, other: str, k: int) -> Interval:
        """Difference of two methods at the last step, paired by task, over the seeds that both have."""
        seeds = [seed for seed in self.seeds[method] if seed in self.seeds[other]]
        ours, theirs = (self.of_tasks(name, self.steps[-1], k, seeds) for name in (method, other))
        return bootstrap([a - b for a, b in zip(ours, theirs, strict=True)])

    def zero_variance(self, method: str) -> float:
        """Share of groups that all failed or all passed, over all steps; the mean over the seeds."""
        return statistics.mean(self.training[method, seed]["zero_variance"] for seed in self.seeds[method])

    def minutes(self, method: str) -> float:
        """Minutes of processor time of the steps of one run, without its measurements; the mean over the seeds."""
        return statistics.mean(self.training[method, seed]["cpu_seconds"] for seed in self.seeds[method]) / 60

    def distinct(self, method: str, step: int) -> float:
        """Number of distinct correct samples of a task that was solved, the mean over tasks and seeds."""
        found = [self.held_out[method, seed, step] for seed in self.seeds[method]]
        counts = [count for each in found for count in each["distinct"] if count]
        return statistics.mean(counts) if counts else 0.0

    def table(self) -> Columns:
        """One row for each method on rare families."""
        rows = []
        for method in self.rare_methods:
            last = [statistics.mean(self.of_tasks(method.name, self.steps[-1], k)) for k in KS]
            rows.append(
                [
                    method.title,
                    str(len(self.seeds[method.name])),
                    *(f"{value:.1%}" for value in last),
                    *(percent(self.gain(method.name, k), "+") for k in (1, 64)),
                    f"{self.distinct(method.name, self.steps[-1]):.1f}",
                    f"{self.zero_variance(method.name):.0%}",
                    f"{self.minutes(method.name):.1f}",
                ]
            )
        shown = [f"pass@{k}" for k in KS]
        titles = (
            "Method",
            "Seeds",
            *shown,
            "Gain in pass@1",
            "Gain in pass@64",
            "Distinct",
            "Zero variance",
            "Minutes",
        )
        return Columns(titles, 1, rows)

    def comparisons(self) -> Columns:
        """MaxRL minus the others."""
        rows = [
            [method.title, *(percent(self.difference(REFERENCE, method.name, k), "+") for k in KS)]
            for method in self.rare_methods
            if method.name != REFERENCE
        ]
        return Columns(("MaxRL minus", *(f"pass@{k}" for k in KS)), 1, rows)

    def samples_for(self, method: str, target: float) -> float | None:
        """Number of samples k at which pass@k reaches a target, between powers of two by interpolation; or None."""
        values = [statistics.mean(self.of_tasks(method, self.steps[-1], k)) for k in CURVE]
        for (k, low), (larger, high) in zip(
            zip(CURVE, values, strict=True), zip(CURVE[1:], values[1:], strict=True), strict=False
        ):
            if low >= target:
                return float(k)
            if high >= target:
                return k * (larger / k) ** ((target - low) / (high - low))
        return None

    def efficiency(self) -> Columns:
        """Number of samples that GRPO's model needs for the pass@k of each method."""
        rows = []
        for method in self.rare_methods:
            cells = []
            for k in (1, 4, 16):
                target = statistics.mean(self.of_tasks(method.name, self.steps[-1], k))
                needed = self.samples_for(PEER, target)
                cells.append(f"more than {CURVE[-1]}" if needed is None else f"{needed:.1f} ({needed / k:.2f}x)")
            rows.append([method.title, *cells])
        return Columns(("Method", *(f"for its pass@{k}" for k in (1, 4, 16))), 1, rows)

    def at_equal_time(self) -> Columns:
        """pass@1 when the fastest method has ended, by interpolation between the measurements."""
        minutes = {method.name: self.minutes(method.name) for method in self.rare_methods}
        shortest = min(minutes.values())
        rows = []
        for method in self.rare_methods:
            values = [statistics.mean(self.of_tasks(method.name, step, 1)) for step in self.steps]
            place = shortest / minutes[method.name] * (len(self.steps) - 1)
            index = min(int(place), len(self.steps) - 2)
            value = values[index] + (place - index) * (values[index + 1] - values[index])
            rows.append([method.title, f"{self.steps[-1] * shortest / minutes[method.name]:.0f}", f"{value:.1%}"])
        return Columns(("Method", f"Steps in {shortest:.1f} minutes", "pass@1"), 1, rows)

    def depths(self) -> Columns:
        """Loss by loop and exit distribution on held-out solutions, before and after."""
        rows = []
        name = self.rare_methods[0].name
        first = self.held_out[name, self.seeds[name][0], 0]
        found = [("start", [first])]
        for method in self.rare_methods:
            if method.name in ("maxrl", "maxrl_uniform", "maxrl_exit_pdf"):
                last = [self.held_out[method.name, seed, self.steps[-1]] for seed in self.seeds[method.name]]
                found.append((method.title, last))
        for title, results in found:
            cells = []
            for name, form in (("by_loop", ".3f"), ("exit_pdf", ".1%")):
                means = [statistics.mean(values) for values in zip(*(each[name] for each in results), strict=True)]
                cells.append(" ".join(f"{value:{form}}" for value in means))
            rows.append([title, *cells])
        return Columns(("Loop credit", "Loss by loop, nats per token", "Exit distribution"), 1, rows)

    def on_all_families(self) -> Columns:
        """The given model, the start, and the start after MaxRL on tasks of all families."""
        general = [method for method in self.methods if method.all_families]
        stages = [("the given model", [self.chain["model"]]), ("after supervised fine-tuning", [self.chain["start"]])]
        for method in general:
            last = [self.held_out[method.name, seed, self.steps[-1]] for seed in self.seeds[method.name]]
            stages.append((f"after {method.title}", last))
        rows, base = [], rates(self.chain["model"], 1)
        for title, results in stages:
            by_task = {
                k: [statistics.mean(each) for each in zip(*(rates(found, k) for found in results), strict=True)]
                for k in (1, GENERAL_SAMPLES)
            }
            over = bootstrap([after - before for before, after in zip(base, by_task[1], strict=True)])
            rows.append([title, *(percent(bootstrap(by_task[k])) for k in (1, GENERAL_SAMPLES)), percent(over, "+")])
        return Columns(("Model", "pass@1", f"pass@{GENERAL_SAMPLES}", "pass@1 over the given model"), 1, rows)

    def conclusion(self) -> str:
        """Whether MaxRL differs from GRPO, in a sentence for each k."""
        said = []
        for k in KS:
            found = self.difference(REFERENCE, PEER, k)
            assert found.low is not None and found.high is not None, "there are several tasks"
            if found.low <= 0 <= found.high:
                said.append(f"in pass@{k} they cannot be told apart")
            else:
                said.append(f"in pass@{k} MaxRL is {'better' if found.value > 0 else 'worse'}")
        return f"MaxRL against GRPO: {', '.join(said)}."


def plot(study: Study, path: Path) -> None:
    """Plot pass@1 by samples and by time, and pass@k at the end."""
    figure, (by_step, by_time, by_k) = panels(1, 3)
    colors = [f"C{index}" for index in range(10)]
    for index, method in enumerate(study.rare_methods):
        look = {"color": colors[index % 10], "label": method.title, "linestyle": "-" if index < 10 else "--"}
        means = [100 * statistics.mean(study.of_tasks(method.name, step, 1)) for step in study.steps]
        by_step.plot(study.steps, means, marker="o", markersize=3, **look)
        minutes = [study.minutes(method.name) * step / study.steps[-1] for step in study.steps]
        by_time.plot(minutes, means, marker="o", markersize=3, **look)
        last = [100 * statistics.mean(study.of_tasks(method.name, study.steps[-1], k)) for k in CURVE]
        by_k.plot(CURVE, last, marker="o", markersize=3, **look)
    first = study.rare_methods[0].name
    by_k.plot(CURVE, [100 * statistics.mean(study.of_tasks(first, 0, k)) for k in CURVE], "k:")
    by_step.set(title="Held-out pass@1", xlabel="step", ylabel="%")
    by_time.set(title="Held-out pass@1", xlabel="minutes of processor time", ylabel="%")
    by_k.set(title="Held-out pass@k at the end", xlabel="samples k", ylabel="%", xscale="log")
    by_k.set_xticks(CURVE, [str(k) for k in CURVE])
    by_k.minorticks_off()
    by_time.plot([], [], "k:", label="start")
    legend_below(by_time, 3)
    save(figure, path)


def write_page(study: Study, options: argparse.Namespace, command: str, header: str) -> None:
    """Write the page and its plot."""
    path: Path = options.report
    image = path.with_suffix(".png")
    plot(study, image)
    low, high = (f"{100 * rate:g}" for rate in options.rates)
    prompts, measured = study.sizes
    first = study.rare_methods[0].name
    at_start = ", ".join(f"pass@{k} {statistics.mean(study.of_tasks(first, 0, k)):.1%}" for k in KS)
    path.write_text(f"""# {options.title}

Written by

```bash
HF_ALLOW_CODE_EVAL=1 {command}
```

on {header}.
[Another page](maxrl_frequent_success.md) starts from a model that solves a third of its samples.

The model `{options.model.name}`, with {options.num_loops} loops, is fine-tuned for {options.sft_steps} steps on the
solutions of synthetic tasks of tiers 0 to 2. Of the families of tasks that it then solves in {low} to
{high} % of its samples, the {len(study.rare)} with the most tasks are used. Each method trains it on
{prompts} of their tasks, for {options.steps} steps of {options.samples_per_step} completions, 16 for each
prompt unless the table says 64, with AdamW at {options.learning_rate:g}, `loss_type="dapo"`, and the
curriculum where the table does not say otherwise.
{measured} of their other tasks are held out, with {SAMPLES} samples each at temperature 1
({SAMPLES_BETWEEN} at the steps between the first and the last), drawn by the native engine. Values are
means over the seeds that the table counts, 0 and following; intervals are 95 % bootstrap intervals over
the tasks, of the mean over the seeds. Differences are over the seeds that both methods have.

![pass@1 by step and by time, and pass@k at the end]({image.name})

## The methods at equal samples

At the start: {at_start}. At the last step:

{study.table().markdown()}

"Distinct" is the number of different correct solutions among the {SAMPLES} samples of a solved task, apart
from white space; "Zero variance" the share of groups that all failed or all passed, over all steps;
"Minutes" the processor time of the steps of one run, compilers included.

{study.comparisons().markdown()}

{study.conclusion()}

## At equal time

{study.at_equal_time().markdown()}

## Samples for an equal pass rate

The number of samples that the model trained by GRPO needs for the pass@k of each method, and how many
times k that is:

{study.efficiency().markdown()}

## Loop credit

The mean loss and the exit distribution of the (frozen) gate on the held-out solutions:

{study.depths().markdown()}

## All families

The same on up to {GENERAL_TASKS} held-out tasks of all families of tiers 0 to 2, with {GENERAL_SAMPLES} samples each:

{study.on_all_families().markdown()}
""")
    print(f"Written to {path} and {image}")
