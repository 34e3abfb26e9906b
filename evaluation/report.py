"""What a benchmark leaves for a reader: the file with its context, a table, and a picture where there is a curve."""

import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from evaluation.results import Results
from evaluation.suites import perplexity
from modeling_nanochat import is_looplm

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

ENDS = {
    "completions_that_end_their_function": "end their function",
    "answers_that_end": "come to their end",
    "answers_with_a_program": "hold a whole program",
}


@dataclass(frozen=True)
class Report:
    """
    What all results of one call share.

    Attributes:
        folder: For the files.
        model: What `describe` says of it.
        command: That makes the results again.
    """

    folder: Path
    model: Mapping[str, Any]
    command: str

    def write(
        self, found: Results, settings: dict[str, Any], started: float, versions: Mapping[str, str] | None = None
    ) -> Results:
        """The results with their context, written."""
        libraries = {"torch": torch.__version__, "transformers": transformers.__version__}
        results = replace(
            found, model=self.model, settings=settings, versions=libraries | dict(versions or {}),
            command=self.command, seconds=time.perf_counter() - started,
        )  # fmt: skip
        results.write(self.folder)
        return results


def describe(model: PreTrainedModel, path: str) -> dict[str, Any]:
    """Of a model what a reader of results needs to know; the parameters are counted."""
    found: dict[str, Any] = {
        "path": path,
        "model_type": model.config.model_type,
        "parameters": model.num_parameters(),
    }
    if is_looplm(model.config):
        names = ("num_loops", "num_shared_layers", "exit_at_loop", "exit_threshold", "kv_reuse")
        found |= {name: getattr(model.config, name) for name in names}
    return found


def print_results(console: Console, results: Results, folder: Path) -> None:
    """One table, and where the files are."""
    if "speeds" in results.details:
        _print_speeds(console, results)
    else:
        _print_metrics(console, results)
    console.print(f"Written to {folder / results.benchmark}.json")
    if "depth_quality" in results.details:
        console.print(f"Drawn in {plot_depth_quality(results, folder)}")
    if any(speed["exit_threshold"] is not None for speed in results.details.get("speeds", ())):
        console.print(f"Drawn in {plot_exit_speed(results, folder)}")


def _print_metrics(console: Console, results: Results) -> None:
    mode = ", asked in its chat template" if results.settings.get("mode") == "chat" else ""
    table = Table(title=f"{results.benchmark}, {results.num_problems} problems, {results.model['path']}{mode}")
    for column in ("metric", "value", "95 % interval over the problems"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    shape = ".2%" if results.verdicts else ".4f"
    for name, interval in results.metrics.items():
        table.add_row(name, f"{interval.value:{shape}}", f"{interval.low:{shape}} to {interval.high:{shape}}")
    table.add_section()
    total = sum(results.verdicts.values())
    for status, count in results.verdicts.items():
        table.add_row(status, f"{count:,}", f"{count / total:.1%} of the samples")
    for loop, value in enumerate(results.details.get("perplexity_by_loop", ()), start=1):
        table.add_row(f"perplexity, loop {loop}", f"{value:.3f}", "per token")
    if "decoded" in results.details:
        decoded = results.details["decoded"]
        table.add_row(f"loops, exit at {decoded['threshold']:g}", f"{decoded['mean_loops']:.3f}", "per token, decoded")
    if results.details.get("mean_loops") is not None:
        table.add_row("loops", f"{results.details['mean_loops']:.3f}", "per token, mean of the completions")
    total = results.details.get("completions")
    for name, words in ENDS.items():
        if name in results.details:
            table.add_row(words, f"{results.details[name]:,}", f"of {total:,} completions")
    if results.details.get("rows_left_out"):
        table.add_row("left out", f"{results.details['rows_left_out']:,}", "rows that hold no sound problem")
    console.print(table)


def _print_speeds(console: Console, results: Results) -> None:
    details = results.details
    console.print(f"{details['device']}, {details['dtype']}, {details['threads']} threads")
    title = f"{results.benchmark}, {results.settings['prompt_tokens']} + {results.settings['new_tokens']} tokens"
    table = Table(title=f"{title}, {results.model['path']}")
    for column in ("batch", "exit at", "loops", "prompt tokens/s", "decode tokens/s", "peak memory"):
        table.add_column(column, justify="right")
    for speed in details["speeds"]:
        peak, leaves = speed["peak_memory_bytes"], speed["exit_threshold"] is not None
        table.add_row(
            str(speed["batch_size"]), f"{speed['exit_threshold']:g}" if leaves else "",
            f"{speed['mean_loops']:.2f}" if leaves else str(speed["num_loops"] or "none"),
            f"{statistics.median(speed['prompt_tokens_per_second']):,.1f}",
            f"{statistics.median(speed['decode_tokens_per_second']):,.1f}",
            "not measured" if peak is None else f"{peak / 2**20:,.0f} MiB",
        )  # fmt: skip
    console.print(table)


def plot_depth_quality(results: Results, folder: Path) -> Path:
    """
    Draws the loss against mean loops for every exit threshold of a perplexity, and beside it that of fixed depths,
    which a gate has to beat, into `depth_quality.png`.
    """
    points = results.details["depth_quality"]
    fixed = [math.log(value) for value in results.details["perplexity_by_loop"]]
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    loops = range(1, len(fixed) + 1)
    axis.plot(loops, fixed, "o--", color="tab:gray", label="every token leaves after the same loop")
    axis.plot(
        [each["mean_loops"] for each in points], [each["loss"] for each in points], ".-", color="tab:blue",
        label="tokens leave where the exit gate says",
    )  # fmt: skip
    if "decoded" in results.details:
        point = results.details["decoded"]
        axis.plot(
            point["mean_loops"], point["loss"], "*", color="tab:red", markersize=12,
            label=f"decoded with early exit at {point['threshold']:g}",
        )  # fmt: skip
    axis.set(xlabel="loops per token, mean", ylabel="loss, nats per token", title="Quality by depth", xticks=loops)
    return _save(figure, folder / "depth_quality.png")


def plot_exit_speed(results: Results, folder: Path) -> Path:
    """
    The time axis of the depth-quality curve, into `exit_speed.png`: decode tokens per second against the exit
    threshold, with the fixed depths as lines, and beside it the loss against tokens per second where the perplexity of
    the same model is in the folder, otherwise the mean loops of each threshold.
    """
    speeds = results.details["speeds"]
    batch_sizes = sorted({each["batch_size"] for each in speeds})
    figure, (by_threshold, by_quality) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    colors = plt.get_cmap("tab10")
    losses = _losses_by_depth(results, folder)
    for color, batch_size in enumerate(batch_sizes):
        of_batch = [each for each in speeds if each["batch_size"] == batch_size]
        fixed = [each for each in of_batch if each["exit_threshold"] is None]
        leaving = sorted((each for each in of_batch if each not in fixed), key=lambda each: each["exit_threshold"])
        rates = [_decode_rate(each) for each in leaving]
        label = f"batch {batch_size}"
        thresholds = [each["exit_threshold"] for each in leaving]
        by_threshold.plot(thresholds, rates, "o-", color=colors(color), label=label)
        for each in fixed:
            rate = _decode_rate(each)
            by_threshold.axhline(rate, color=colors(color), alpha=0.35, linestyle="--", linewidth=1)
            by_threshold.text(1.005, rate, f"{each['num_loops']}", fontsize=8, va="center", color=colors(color))
        if losses is None:
            mean_loops = [each["mean_loops"] for each in leaving]
            by_quality.plot(thresholds, mean_loops, "o-", color=colors(color), label=label)
            continue
        pairs = [(_decode_rate(each), losses["fixed"].get(each["num_loops"])) for each in fixed]
        _plot_known(by_quality, pairs, "s--", colors(color), f"{label}, fixed depth")
        pairs = [(_decode_rate(each), losses["exit"].get(round(each["exit_threshold"], 6))) for each in leaving]
        _plot_known(by_quality, pairs, "o-", colors(color), f"{label}, exit gate")
    by_threshold.set(
        xlabel="exit threshold", ylabel="decode tokens per second", xlim=(0, 1), ylim=(0, None),
        title="Speed by threshold (dashed: so many loops for every token)",
    )  # fmt: skip
    if losses is None:
        by_quality.set(xlabel="exit threshold", ylabel="loops per decoded token, mean", title="Depth by threshold")
    else:
        by_quality.set(xlabel="decode tokens per second", ylabel="loss, nats per token", title="Quality by speed")
    return _save(figure, folder / "exit_speed.png")


def _decode_rate(speed: Mapping[str, Any]) -> float:
    return statistics.median(speed["decode_tokens_per_second"])


def _losses_by_depth(results: Results, folder: Path) -> dict[str, dict[float, float]] | None:
    """Loss by number of loops and by exit threshold, of the same model's perplexity in the folder; None without."""
    path = folder / f"{perplexity.NAME}.json"
    if not path.exists():
        return None
    found = Results.read(path)
    if found.model != results.model or "depth_quality" not in found.details:
        return None
    fixed = {loop: math.log(value) for loop, value in enumerate(found.details["perplexity_by_loop"], start=1)}
    leaving = {round(point["threshold"], 6): point["loss"] for point in found.details["depth_quality"]}
    return {"fixed": fixed, "exit": leaving}


def _plot_known(axis: plt.Axes, pairs: list[tuple[float, float | None]], form: str, color: Any, label: str) -> None:
    known = [(rate, loss) for rate, loss in pairs if loss is not None]
    if known:
        axis.plot(*zip(*known, strict=True), form, color=color, label=label)


def _save(figure: plt.Figure, path: Path) -> Path:
    for axis in figure.axes:
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
