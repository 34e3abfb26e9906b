"""
Measure training on one GPU: the Trainer at the recipes' shapes, the ways to recompute and to compile, streams, other
models of the same shape, and the optimizer's step.

    python benchmarks/gpu_training.py --report docs/gpu_training.md

Rows are measured one after another, on random tokens. Each result is written at once, and a later call measures only
the rows that are not done: after a kill, or when the time was over. A row that lacks memory says so. A model counts
only if every parameter gets a finite gradient that is not zero. MFU is the model's FLOP/s (recomputation does not
count) over the GPU's peak in bf16.
"""

import sys
import time
from pathlib import Path
from typing import Any

from reporting import Columns, add_output, add_report, new_parser, replace_json, results_so_far, write_json

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--only", help="measure rows whose name contains this (default: all)")
    parser.add_argument("--seconds", type=float, default=450.0, help="begin no row after this time")
    parser.add_argument("--tiny", action="store_true", help="use tiny models, also on a CPU, to test the benchmark")
    add_output(parser, "results/benchmarks/gpu_training.json")
    add_report(parser, "docs/gpu_training.md")
    options = parser.parse_args()


import torch
from gpu_training_rows import Row, measured, rows
from rich.console import Console

from trainers.hardware import use_tf32

ENDED = {"error": "the process ended while it was measured"}
TITLES = ("case", "step ms", "kernels ms", "tokens/s", "MFU", "peak GB", "first step s")


def device_name() -> str:
    """Name of the GPU, or of the processor's type."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def start(output: Path, tiny: bool) -> dict[str, Any]:
    """
    Return the results so far, or those of a new measurement.

    Raises:
        ValueError: There is no GPU, or the results in the file are of something else.
    """
    if not tiny and not torch.cuda.is_available():
        raise ValueError("this benchmark needs a CUDA GPU, got none: --tiny tests it on a CPU")
    header = {"benchmark": "gpu_training", "device": device_name(), "torch": torch.__version__, "tiny": tiny}
    return results_so_far(output, header)


def measure_all(results: dict[str, Any], chosen: list[Row], output: Path, seconds: float, console: Console) -> None:
    """Measure the rows that are not done, in the given time; write the results after each."""
    started = time.perf_counter()
    for row in chosen:
        if row.key in results["rows"] or time.perf_counter() - started > seconds:
            continue
        results["rows"][row.key] = ENDED
        replace_json(output, results)
        results["rows"][row.key] = measured(row)
        replace_json(output, results)
        console.print(f"{row.key}: {' '.join(cells(row, results['rows'][row.key])[1:])}")


def cells(row: Row, result: dict[str, Any] | None) -> list[str]:
    """Return the cells of a row; an error stands in the second one."""
    if result is None or "error" in result:
        return [row.name, "not measured" if result is None else result["error"], *[""] * (len(TITLES) - 2)]

    def cell(name: str, form: str, factor: float = 1.0) -> str:
        value = result.get(name)
        return "" if value is None else format(value * factor, form)

    return [
        row.name,
        cell("seconds", ",.0f", 1e3),
        cell("kernel_seconds", ",.0f", 1e3),
        cell("tokens_per_second", ",.0f"),
        cell("mfu", ".1%"),
        cell("peak_bytes", ".1f", 1e-9),
        cell("first_seconds", ".0f"),
    ]


def page(results: dict[str, Any], all_rows: list[Row]) -> str:
    """Return the Markdown page."""
    lines = [
        "# Training on one GPU",
        "",
        f"{results['device']}, torch {results['torch']}. Made by `python benchmarks/gpu_training.py --report ...`.",
        "Medians of three steps on random tokens in bf16 autocast. MFU counts the model's FLOPs, without",
        "recomputation. A step's time beyond that of its kernels is spent waiting for the processor.",
    ]
    for section in dict.fromkeys(row.section for row in all_rows):
        table = [cells(row, results["rows"].get(row.key)) for row in all_rows if row.section == section]
        lines += ["", f"## {section}", "", Columns(TITLES, 1, table).markdown()]
    return "\n".join(lines) + "\n"


def run(output: Path, report: Path | None, only: str | None, seconds: float, tiny: bool) -> None:
    """
    Measure, print and write.

    Raises:
        ValueError: See [`start`]; or no row has this name.
    """
    all_rows = rows(tiny)
    chosen = [row for row in all_rows if only is None or only in row.key]
    if not chosen:
        raise ValueError(f"--only must be part of a row's name, got {only!r}; there are {[r.key for r in all_rows]}")
    results = start(output, tiny)
    use_tf32()
    console = Console(highlight=False)
    # Compilation takes minutes on a CPU.
    with torch.compiler.set_stance("force_eager" if tiny else "default"):
        measure_all(results, chosen, output, seconds, console)
    left = [row.key for row in chosen if row.key not in results["rows"]]
    if left:
        console.print(f"{len(left)} rows are left for another call, because --seconds={seconds:g} are over.")
    write_json(output, results)
    if report is not None:
        report.write_text(page(results, all_rows))
        console.print(f"Written to {report}")


if __name__ == "__main__":
    try:
        run(options.output, options.report, options.only, options.seconds, options.tiny)
    except ValueError as error:
        sys.exit(str(error))
