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
from modeling_nanochat import LoopLMConfig

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402


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
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if isinstance(model.config, LoopLMConfig):
        found |= {"num_loops": model.config.num_loops, "num_shared_layers": model.config.num_shared_layers}
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


def _print_metrics(console: Console, results: Results) -> None:
    table = Table(title=f"{results.benchmark}, {results.num_problems} problems, {results.model['path']}")
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
    if "completions" in results.details:
        finished, total = results.details["completions_that_end_their_function"], results.details["completions"]
        table.add_row("end their function", f"{finished:,}", f"of {total:,} completions")
    console.print(table)


def _print_speeds(console: Console, results: Results) -> None:
    details = results.details
    console.print(f"{details['device']}, {details['dtype']}, {details['threads']} threads")
    title = f"{results.benchmark}, {results.settings['prompt_tokens']} + {results.settings['new_tokens']} tokens"
    table = Table(title=f"{title}, {results.model['path']}")
    for column in ("batch", "loops", "prompt tokens/s", "decode tokens/s", "peak memory"):
        table.add_column(column, justify="right")
    for speed in details["speeds"]:
        peak = speed["peak_memory_bytes"]
        table.add_row(
            str(speed["batch_size"]), str(speed["num_loops"] or "none"),
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
    axis.set(xlabel="loops per token, mean", ylabel="loss, nats per token", title="Quality by depth", xticks=loops)
    axis.grid(alpha=0.3)
    axis.legend()
    path = folder / "depth_quality.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
