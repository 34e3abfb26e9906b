"""
Measure the product of one ternary matrix with a few tokens, for each kernel of packed weights.

    python benchmarks/matrix_products.py

Each contender gets activations of its own type and does all that it needs, including rounding to int8. Reported are
medians over the rounds, in which contenders take turns: of CPU time with one thread, of wall time otherwise. `error`
is the largest difference from the fp64 product of the weights and the rounded activations, over the standard
deviation of that product.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

from reporting import add_output, new_parser, write_json

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[1, 4, 16], help="numbers of tokens to multiply at a time"
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds; medians are reported")
    add_former_name(
        parser,
        "--threads",
        parser.add_argument("--num-threads", type=int, default=1, dest="threads", help="number of threads of PyTorch"),
    )
    parser.add_argument("--quick", action="store_true", help="measure one small shape in one round, as a test")
    add_output(parser, "results/benchmarks/matrix_products.json")
    options = parser.parse_args()

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from modeling_nanochat import BitLinear, PackedBitLinear
from modeling_nanochat.ternary_nanochat import quantize_activation

SHAPES = ((512, 512), (1536, 512), (2048, 2048), (5632, 2048))
SECONDS = 0.02


def packed(latent: BitLinear, kernel: str) -> PackedBitLinear:
    """Packed layer with cached weights, as in generation."""
    layer = PackedBitLinear.from_latent(latent)
    layer.kernel = kernel
    layer.keep_quantized_weight(reuse=True)
    return layer


def contenders(rows: int, columns: int) -> dict[str, tuple[BitLinear, torch.dtype, Callable]]:
    """Latent layer, type of the input, and product, by name."""
    torch.manual_seed(0)
    grouped, single = BitLinear(columns, rows, 128), BitLinear(columns, rows, -1)
    return {
        "exact, fp32": (grouped, torch.float32, packed(grouped, "exact")),
        "exact, bf16": (grouped, torch.bfloat16, packed(grouped, "exact")),
        "int8, groups of 128": (grouped, torch.float32, packed(grouped, "int8")),
        "int8, one scale": (single, torch.float32, packed(single, "int8")),
        "int4, groups of 128": (grouped, torch.float32, packed(grouped, "int4")),
        "int4, in bf16": (grouped, torch.bfloat16, packed(grouped, "int4")),
    }


def seconds(product: Callable, inputs: torch.Tensor) -> float:
    """Seconds of a product, averaged over enough calls to be measured."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started, calls = clock(), 0
    while clock() - started < SECONDS:
        product(inputs)
        calls += 1
    return (clock() - started) / calls


def error(layer: BitLinear, product: Callable, inputs: torch.Tensor) -> float:
    """Error of a product, as defined at the top of this file."""
    weight = PackedBitLinear.from_latent(layer).quantized_weight(torch.float64)
    expected = F.linear(quantize_activation(inputs.float()).double(), weight)
    return ((product(inputs).double() - expected).abs().max() / expected.std()).item()


@torch.no_grad()
def main(options: argparse.Namespace):
    """Measure, print a table and write the results."""
    if options.quick:
        options.rounds, options.tokens = 1, [2]
    torch.set_num_threads(options.threads)
    table = Table(title=f"microseconds per product, {options.threads} threads, medians of {options.rounds}")
    for column in ("contender", "out x in", *(f"{count} tokens" for count in options.tokens), "error"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    results = []
    for rows, columns in SHAPES[:1] if options.quick else SHAPES:
        table.add_section()
        chosen = contenders(rows, columns)
        times = {(name, count): [] for name in chosen for count in options.tokens}
        for _ in range(options.rounds):
            for (name, count), found in times.items():
                _, dtype, product = chosen[name]
                found.append(seconds(product, torch.randn(count, columns, dtype=dtype)))
        for name, (layer, dtype, product) in chosen.items():
            medians = {count: statistics.median(times[name, count]) * 1e6 for count in options.tokens}
            wrong = error(layer, product, torch.randn(4, columns, dtype=dtype))
            results.append({"contender": name, "out": rows, "in": columns, "microseconds": medians, "error": wrong})
            table.add_row(name, f"{rows} x {columns}", *(f"{value:.0f}" for value in medians.values()), f"{wrong:.1g}")
    console = Console(highlight=False)
    console.print(table)
    report = {
        "benchmark": "matrix_products",
        "machine": platform.machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "load": os.getloadavg(),
        "results": results,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main(options)
