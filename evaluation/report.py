"""What a benchmark leaves for a reader: the file with its context, a table, and a picture where there is a curve."""

import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from evaluation.plots import plot_depth_quality, plot_exit_speed
from evaluation.results import Results
from evaluation.tables import print_table
from modeling_nanochat import is_looplm

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

    def check_place(self, benchmarks: Iterable[str]) -> None:
        """Raises `ValueError` where the folder holds another model's results of these, which would be replaced."""
        for path in (self.folder / f"{name}.json" for name in benchmarks):
            there = Results.read(path).model.get("path") if path.exists() else self.model["path"]
            if there != self.model["path"]:
                raise ValueError(
                    f"{path} holds the results of {there}, which those of {self.model['path']} would replace: choose "
                    "another folder with --out"
                )

    def write(
        self, found: Results, settings: dict[str, Any], started: float, versions: Mapping[str, str] | None = None
    ) -> Results:
        """The results with their context, written."""
        libraries = {"torch": torch.__version__, "transformers": transformers.__version__}
        results = replace(
            found,
            model=self.model,
            settings=settings,
            versions=libraries | dict(versions or {}),
            command=self.command,
            seconds=time.perf_counter() - started,
        )
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
    console.print(f"Written to {folder / results.benchmark}.json", markup=False)
    if "depth_quality" in results.details:
        console.print(f"Drawn in {plot_depth_quality(results, folder)}", markup=False)
    if any(speed["exit_threshold"] is not None for speed in results.details.get("speeds", ())):
        console.print(f"Drawn in {plot_exit_speed(results, folder)}", markup=False)


def _print_metrics(console: Console, results: Results) -> None:
    mode = ", asked in its chat template" if results.settings.get("mode") == "chat" else ""
    table = Table(title=f"{results.benchmark}, {results.num_problems} {results.unit}, {results.model['path']}{mode}")
    for column in ("metric", "value", f"95 % interval over the {results.unit}"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    shape = ".2%" if results.verdicts else ".4f"
    for name, interval in results.metrics.items():
        table.add_row(name, f"{interval.value:{shape}}", interval.limits(shape))
    table.add_section()
    total = sum(results.verdicts.values())
    for status, count in results.verdicts.items():
        table.add_row(status, f"{count:,}", f"{count / total:.1%} of the samples")
    for loop, value in enumerate(results.details.get("perplexity_by_loop", ()), start=1):
        loops = f", loop {loop}" if "num_loops" in results.model else ""
        table.add_row(f"perplexity{loops}", f"{value:.3f}", "per token")
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
    print_table(console, table)


def _print_speeds(console: Console, results: Results) -> None:
    details = results.details
    threads = details["threads"]
    console.print(f"{details['device']}, {details['dtype']}, {threads} thread{'' if threads == 1 else 's'}")
    title = f"{results.benchmark}, {results.settings['prompt_tokens']} + {results.settings['new_tokens']} tokens"
    table = Table(title=f"{title}, {results.model['path']}")
    for column in ("batch", "exit at", "loops", "prompt tokens/s", "decode tokens/s", "peak memory"):
        table.add_column(column, justify="right")
    for speed in details["speeds"]:
        peak, leaves = speed["peak_memory_bytes"], speed["exit_threshold"] is not None
        table.add_row(
            str(speed["batch_size"]),
            f"{speed['exit_threshold']:g}" if leaves else "",
            f"{speed['mean_loops']:.2f}" if leaves else str(speed["num_loops"] or "none"),
            f"{statistics.median(speed['prompt_tokens_per_second']):,.1f}",
            f"{statistics.median(speed['decode_tokens_per_second']):,.1f}",
            "not measured" if peak is None else f"{peak / 2**20:,.0f} MiB",
        )
    print_table(console, table)
