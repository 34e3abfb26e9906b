"""
Count the kernels of a block in training, on the processor, without a GPU.

    python benchmarks/kernel_counts.py --report docs/kernel_counts.md

Blocks are compiled one by one (one graph for all of them, as `compile_blocks` does), and all blocks of a loop as one
graph. Counted are the calls of the generated code, and the bytes that its kernels read and write by inductor's own
count. Then what the profiler sees in a training step of a whole model: matrix products, roundings of activations, and
additions that only sum gradients. Last, the kernels of norm and rounding, and the time of queries, keys and values as
three products and as one.

Each row is written at once; a later call with the same `--output` measures only the rows that are not done.
"""

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reporting import Columns, add_output, add_report, new_parser, replace_json, results_so_far

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--blocks", type=int, nargs="+", default=[2], help="numbers of blocks in a graph of a loop")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4], help="numbers of residual streams")
    parser.add_argument("--hidden-size", type=int, default=128, help="hidden size of the blocks that are compiled")
    parser.add_argument("--product-size", type=int, default=2048, help="hidden size of the products that are timed")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of the row")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are reported")
    add_output(parser, "results/benchmarks/kernel_counts.json")
    add_report(parser, "docs/kernel_counts.md")
    options = parser.parse_args()

import torch
from kernel_counts_rows import (
    LOOPS,
    SEPARATELY,
    Graph,
    Launches,
    NormAndRounding,
    Products,
    Settings,
    Step,
    graph_cases,
    measure_graph,
    measure_norm,
    measure_products,
    measure_step,
    step_cases,
)
from rich.console import Console


def graph_columns(graphs: list[Graph]) -> Columns:
    """Return the table of compiled code, for one application of a block."""
    titles = (
        "graph of",
        "weights",
        "streams",
        "blocks",
        "fused, forward",
        "fused, backward",
        "products",
        "attention",
        "MB",
        "compile s",
        "CPU ms",
    )
    rows = []
    for graph in graphs:
        both = (graph.forward, graph.backward)
        share = graph.blocks if graph.scope == "loop" else 1
        counts = [graph.forward.fused, graph.backward.fused]
        counts += [sum(each.products for each in both), sum(each.attentions for each in both)]
        rows.append(
            [
                graph.scope,
                "ternary" if graph.ternary else "float",
                str(graph.streams),
                str(graph.blocks),
                *(f"{count / share:.4g}" for count in counts),
                f"{graph.bytes / share / 1e6:.2f}",
                f"{graph.compile_seconds:.0f}",
                f"{1e3 * graph.seconds / graph.blocks:.2f}",
            ]
        )
    return Columns(titles, 2, rows)


def step_columns(steps: list[Step]) -> Columns:
    """Return the table of training steps."""
    titles = (
        "blocks",
        "weights",
        "streams",
        "products",
        "roundings",
        "sums",
        "numbers summed",
        "of matrices",
        "MB kept",
        "CPU ms",
    )
    rows = [
        [
            step.blocks,
            "ternary" if step.ternary else "float",
            str(step.streams),
            str(step.products),
            "" if step.roundings is None else str(step.roundings),
            str(step.sums),
            f"{step.summed:,}",
            f"{step.of_matrices / step.summed:.0%}",
            f"{step.kept / 1e6:.2f}",
            f"{1e3 * step.seconds:.1f}",
        ]
        for step in steps
    ]
    return Columns(titles, 2, rows)


def answers(norm: NormAndRounding, products: Products) -> str:
    """Return the single measurements in words."""
    again = "reads its input again" if norm.reads_input_again else "does not read its input again"
    return f"""RMSNorm and the rounding of its output, compiled, are {_count(norm.forward)} forward and
{_count(norm.backward)} backward. The backward pass {again}.

Queries, keys and values of width {products.width:,} took {1e3 * products.three:.1f} ms as three products,
forward and backward in {products.dtype}, and {1e3 * products.joined:.1f} ms as one product with joined
weights ({products.joined / products.three:.2f} times as long), without the time to join the weights."""


def _count(kernels: int) -> str:
    return f"{kernels} fused kernel{'' if kernels == 1 else 's'}"


def page(graphs: list[Graph], steps: list[Step], norm: NormAndRounding, products: Products, settings: Settings) -> str:
    """Return the Markdown page."""
    return f"""# Kernels of a block

Written by

```bash
{shlex.join(["python", *sys.argv])}
```

Counted on the processor, torch {torch.__version__}, with hidden size {settings.hidden_size}, intermediate size
{2 * settings.hidden_size} and one row of {settings.tokens} tokens, in bfloat16 (autocast). Times are CPU times,
medians over {settings.rounds} rounds, with 1 thread; the machine was shared with other programs.

## Compiled code

Everything is for one application of a block, forward and backward. `fused` are kernels that
inductor wrote, beside matrix products and attention. They are C++ functions, which may hold several
loops one after another; on a GPU each would be a kernel of its own, so that there are at least as
many. A graph of a loop holds the number of `blocks`, and its counts are divided by it; the model
does not offer such graphs. `MB` are read and written by all kernels, by inductor's count.
`compile s` are CPU seconds until the first application has ended, without any cache of compiled
code. Weights were rounded before and do not count.

{graph_columns(graphs).markdown()}

{verdict(graphs)}

## A training step

A whole model with two blocks and {LOOPS} loops. `products` are matrix products outside fused kernels;
`roundings` those of activations in eager blocks. `sums` are additions outside compiled code that
only sum gradients, with the numbers that they add; `of matrices` is the share of the gradients that
the blocks' matrices get in each loop. `MB kept` are kept for the backward pass. Eager layers
with the same input share its rounding; "{SEPARATELY}" is without that.

{step_columns(steps).markdown()}

## Single questions

{answers(norm, products)}
"""


def verdict(graphs: list[Graph]) -> str:
    """Compare each graph of a loop with the graph of a block."""
    lines = []
    for loop in (graph for graph in graphs if graph.scope == "loop"):
        block = next(
            each for each in graphs if each.scope == "block" and each.ternary and each.streams == loop.streams
        )
        alone, together = (
            sum(each.fused + each.products + each.attentions for each in (graph.forward, graph.backward))
            for graph in (block, loop)
        )
        slower = (loop.seconds / loop.blocks) / (block.seconds / block.blocks)
        lines.append(
            f"- {loop.streams} stream{'s' if loop.streams > 1 else ''}, {loop.blocks} blocks in a graph: {together} "
            f"launches instead of {loop.blocks * alone}, {loop.compile_seconds / block.compile_seconds:.1f} times the "
            f"time to compile, {slower:.2f} times the CPU time"
        )
    return "\n".join(lines)


def start(output: Path, settings: Settings) -> dict[str, Any]:
    """
    Return the results so far, or those of a new measurement.

    Raises:
        ValueError: The results in the file are of other sizes, of another version of PyTorch, or of more threads.
    """
    sizes = {name: value for name, value in asdict(settings).items() if name not in ("blocks", "streams")}
    header = {"benchmark": "kernel_counts", "torch": torch.__version__, "threads": 1, "sizes": sizes}
    return results_so_far(output, header)


def run(settings: Settings, output: Path, report: Path | None) -> None:
    """
    Measure the rows that are not done, print and write.

    Raises:
        ValueError: See [`start`].
    """
    console, results = Console(highlight=False), start(output, settings)
    torch.set_num_threads(1)

    def row(name: str, measure: Callable[..., Any], *case: Any) -> dict[str, Any]:
        key = " ".join([name, *map(str, case)])
        if key not in results["rows"]:
            results["rows"][key] = asdict(measure(*case, settings))
            replace_json(output, results)
            console.print(f"{key}: {results['rows'][key]}", markup=False)
        return results["rows"][key]

    # First, so that no graph's time to compile has a part of the first use of the compiler.
    norm = NormAndRounding(**row("norm", measure_norm))
    graphs = [graph_from(row("graph", measure_graph, *case)) for case in graph_cases(settings)]
    steps = [Step(**row("step", measure_step, *case)) for case in step_cases(settings)]
    products = Products(**row("products", measure_products))
    console.print(graph_columns(graphs).rich("One application of a block"))
    console.print(step_columns(steps).rich("A training step"))
    console.print(answers(norm, products), markup=False)
    console.print(f"Written to {output}")
    if report is not None:
        report.write_text(page(graphs, steps, norm, products, settings))
        console.print(f"Written to {report}")


def graph_from(values: dict[str, Any]) -> Graph:
    """Return a graph from its values in JSON."""
    parts: dict[str, Any] = {part: Launches(**values[part]) for part in ("forward", "backward")}
    return Graph(**(values | parts))


if __name__ == "__main__":
    given = vars(options)
    output, report = given.pop("output"), given.pop("report")
    try:
        run(Settings(**given), output, report)
    except ValueError as error:
        sys.exit(str(error))
