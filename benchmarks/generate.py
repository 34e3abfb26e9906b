"""
Measure the speed of generation with latent and with packed weights, against a Llama of equal effective depth.

    python benchmarks/generate.py

The contenders have random weights and the same widths, and take turns; a LoopLM of L layers and T loops is compared
with a Llama of L x T layers. The report has the tokens per second of `generate`, without prompt and first token, as
medians over the rounds: of CPU time with one thread, of wall time otherwise. The shares of matrix products and
attention are from profiled runs, in which the cost of profiling counts as the rest, so the time outside matrix
products is an upper bound. The report also has each variant's change in the logits and the bytes of packed weights.
"""

import argparse
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from reporting import Columns, add_output, add_report, new_parser, write_json

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    for name, dest, value, help in (
        ("hidden-size", "hidden_size", 512, "hidden size of the models"),
        ("intermediate-size", "intermediate_size", 1536, "intermediate size of the models"),
        ("layers", "layers", 4, "number of shared blocks of the LoopLM"),
        ("num-loops", "loops", 4, "number of loops of the LoopLM"),
        ("heads", "heads", 8, "number of attention heads"),
        ("vocab-size", "vocab_size", 8192, "vocabulary size"),
        ("prompt-tokens", "prompt_tokens", 8, "tokens in the prompt"),
        ("new-tokens", "new_tokens", 8, "tokens to generate"),
        ("rounds", "rounds", 3, "number of rounds; medians are reported"),
        ("num-threads", "threads", 1, "number of threads of PyTorch"),
    ):
        option = parser.add_argument(f"--{name}", type=int, default=value, dest=dest, help=help)
        if name != dest.replace("_", "-"):
            add_former_name(parser, f"--{dest}", option)
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 4, 16], help="numbers of sequences at a time"
    )
    parser.add_argument(
        "--dtypes",
        nargs="+",
        choices=("float32", "bfloat16"),
        default=["float32", "bfloat16"],
        help="types of the models",
    )
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="variants to measure (default: all)")
    parser.add_argument("--quick", action="store_true", help="measure one small round, as a test")
    add_output(parser, "results/benchmarks/generate.json")
    add_report(parser, "docs/generation.md")
    options = parser.parse_args()

import torch
from rich.console import Console
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, is_looplm

# The profiler would note each start and stop on standard error.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MATRIX_PRODUCTS = (
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::baddbmm",
    "aten::_int_mm",
    "aten::_weight_int4pack_mm_for_cpu",
)
ATTENTION = "scaled_dot_product"
LLAMA, LATENT = "Llama", "latent"


@dataclass(frozen=True)
class Shape:
    """Size of all contenders."""

    hidden_size: int
    intermediate_size: int
    layers: int
    loops: int
    heads: int
    vocab_size: int
    prompt_tokens: int
    new_tokens: int


SHAPE = tuple(Shape.__dataclass_fields__)


@dataclass(frozen=True)
class Variant:
    """
    A row of the table.

    Attributes:
        name: Name in the table.
        make: Makes the model.
        reference: Model whose logits it is compared with; None for no comparison.
        arguments: Arguments of `generate`.
    """

    name: str
    make: Callable[[], PreTrainedModel]
    reference: Callable[[], PreTrainedModel] | None = None
    arguments: dict = field(default_factory=dict)


def latent(shape: Shape, dtype: torch.dtype, group_size: int = 128) -> LoopLMForCausalLM:
    """Latent LoopLM."""
    config = LoopLMConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_shared_layers=shape.layers,
        num_loops=shape.loops,
        num_attention_heads=shape.heads,
        ternary_group_size=group_size,
    )
    torch.manual_seed(0)
    return LoopLMForCausalLM(config).to(dtype).eval()


def packed(shape: Shape, dtype: torch.dtype, group_size: int = 128, **kernel) -> LoopLMForCausalLM:
    """Packed LoopLM with the given kernel of `set_packed_kernel`."""
    model = latent(shape, dtype, group_size).pack()
    model.set_packed_kernel(**kernel)
    return model


def llama(shape: Shape, dtype: torch.dtype) -> LlamaForCausalLM:
    """Llama of transformers with as many layers as the LoopLM applies in all loops."""
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers * shape.loops,
        num_attention_heads=shape.heads,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).to(dtype).eval()


def variants(shape: Shape, dtype: torch.dtype) -> list[Variant]:
    """Variants in the order of the table."""

    def reference():
        return latent(shape, dtype)

    return [
        Variant(LLAMA, lambda: llama(shape, dtype)),
        Variant(LATENT, reference),
        Variant("packed", lambda: packed(shape, dtype), reference),
        Variant("packed, int8", lambda: packed(shape, dtype, kernel="int8"), reference),
        Variant(
            "packed, int8, one scale",
            lambda: packed(shape, dtype, -1, kernel="int8"),
            lambda: latent(shape, dtype, -1),
        ),
        Variant("packed, int4", lambda: packed(shape, dtype, kernel="int4"), reference),
        Variant("packed, no cache", lambda: packed(shape, dtype, cache=False), reference),
    ]


class Decoding(StoppingCriteria):
    """Criterion that never stops, but acts after the first and after the last new token."""

    def __init__(self, new_tokens: int, at_first: Callable[[], None], at_last: Callable[[], None]):
        self.calls = 0
        self.actions = {1: at_first, new_tokens: at_last}

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        self.calls += 1
        self.actions.get(self.calls, lambda: None)()
        return torch.zeros(input_ids.shape[0], dtype=torch.bool)


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    arguments: dict,
    tokens: torch.Tensor,
    new_tokens: int,
    at_first: Callable[[], None] = lambda: None,
    at_last: Callable[[], None] = lambda: None,
) -> None:
    """Generate `count` tokens after each row, with the actions of [`Decoding`]."""
    criteria = StoppingCriteriaList([Decoding(new_tokens, at_first, at_last)])
    model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        do_sample=False,
        pad_token_id=0,
        max_new_tokens=new_tokens,
        min_new_tokens=new_tokens,
        stopping_criteria=criteria,
        **arguments,
    )


def tokens_per_second(model: PreTrainedModel, arguments: dict, tokens: torch.Tensor, new_tokens: int) -> float:
    """Tokens per second of all rows together, without the first token."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: list[float] = []
    decode(model, arguments, tokens, new_tokens, *[lambda: times.append(clock())] * 2)
    return tokens.shape[0] * (new_tokens - 1) / (times[1] - times[0])


def shares(model: PreTrainedModel, arguments: dict, tokens: torch.Tensor) -> tuple[float, float]:
    """Shares of matrix products and of attention in the time of a decoding step."""
    profiler = profile(activities=[ProfilerActivity.CPU])
    times: list[float] = []

    def start():
        profiler.start()
        times.append(time.perf_counter())

    def stop():
        times.append(time.perf_counter())
        profiler.stop()

    decode(model, arguments, tokens, 2, start, stop)
    total = times[1] - times[0]
    seconds = {"products": 0.0, "attention": 0.0}
    for event in profiler.key_averages():
        if event.key in MATRIX_PRODUCTS:
            seconds["products"] += event.self_cpu_time_total / 1e6
        elif ATTENTION in event.key:
            seconds["attention"] += event.self_cpu_time_total / 1e6
    return seconds["products"] / total, seconds["attention"] / total


@torch.no_grad()
def change_of_logits(model: PreTrainedModel, reference: PreTrainedModel, vocab_size: int) -> dict[str, float]:
    """Compare the logits on eight prompts of 32 random tokens, one at a time, which every kernel supports."""
    tokens = torch.randint(3, vocab_size, (8, 1, 32), generator=torch.Generator().manual_seed(1))
    found, expected = (torch.cat([each(row).logits.float() for row in tokens]) for each in (model, reference))
    return {
        "largest_difference": (found - expected).abs().max().item(),
        "standard_deviation": expected.std().item(),
        "same_top1": (found.argmax(-1) == expected.argmax(-1)).float().mean().item(),
    }


def measure(shape: Shape, dtype: torch.dtype, options: argparse.Namespace, console: Console) -> list[dict]:
    """Measure all variants in one dtype."""
    chosen = [each for each in variants(shape, dtype) if options.only is None or each.name in options.only]
    models, facts = {}, {}
    for variant in chosen:
        with console.status(f"{variant.name}, {dtype}"):
            model = models[variant.name] = variant.make()
            fact = facts[variant.name] = {}
            if variant.reference is not None:
                fact["logits"] = change_of_logits(model, variant.reference(), shape.vocab_size)
            if is_looplm(model.config) and model.config.weight_format == "packed":
                memory = model.packed_memory()
                fact["memory"] = asdict(memory) | {"bits_per_weight": memory.bits_per_weight}
    rows = []
    for batch in options.batch_sizes:
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randint(3, shape.vocab_size, (batch, shape.prompt_tokens), generator=generator)
        speeds: dict[str, list[float]] = {each.name: [] for each in chosen}
        profiles: dict[str, list[tuple[float, float]]] = {each.name: [] for each in chosen}
        with console.status(f"batch {batch}, {dtype}"):
            for each in chosen:  # the first time allocates
                decode(models[each.name], each.arguments, tokens, 2)
            for _ in range(options.rounds):
                for each in chosen:
                    model = models[each.name]
                    speeds[each.name].append(tokens_per_second(model, each.arguments, tokens, shape.new_tokens))
                    profiles[each.name].append(shares(model, each.arguments, tokens))
        for each in chosen:
            products, attention = map(statistics.median, zip(*profiles[each.name], strict=True))
            rows.append(
                {
                    "variant": each.name,
                    "dtype": str(dtype).removeprefix("torch."),
                    "batch": batch,
                    "tokens_per_second": statistics.median(speeds[each.name]),
                    "rounds": speeds[each.name],
                    "matrix_products": products,
                    "attention": attention,
                    **facts[each.name],
                }
            )
    return rows


def speed_columns(rows: list[dict]) -> Columns:
    """Table of speeds, their ratios to Llama's and the latent model's, and shares of the time."""
    found = []
    for row in rows:
        key = (row["dtype"], row["batch"])
        peers = {each["variant"]: each for each in rows if (each["dtype"], each["batch"]) == key}
        ratios = [
            f"{row['tokens_per_second'] / peers[name]['tokens_per_second']:.2f}" if name in peers else ""
            for name in (LLAMA, LATENT)
        ]
        shares = row["matrix_products"], row["attention"], 1 - row["matrix_products"] - row["attention"]
        speed = f"{row['tokens_per_second']:.1f}"
        found.append(
            [row["dtype"], str(row["batch"]), row["variant"], speed, *ratios, *(f"{each:.0%}" for each in shares)]
        )
    titles = ("dtype", "batch", "variant", "tokens/s", f"/ {LLAMA}", f"/ {LATENT}", "products", "attention", "rest")
    return Columns(titles, 3, found)


def packed_columns(rows: list[dict]) -> Columns:
    """Table of changes in the logits and of the size of packed weights."""
    found = []
    for row in {(row["dtype"], row["variant"]): row for row in rows if "logits" in row}.values():
        logits, memory = row["logits"], row.get("memory")
        sizes = ["", "", ""]
        if memory is not None:
            size = (memory["code_bytes"] + memory["scale_bytes"]) / 1e6
            sizes = [f"{memory['bits_per_weight']:.3f}", f"{size:.2f}", f"{memory['cache_bytes'] / 1e6:.2f}"]
        found.append(
            [
                row["dtype"],
                row["variant"],
                f"{logits['largest_difference']:.2g}",
                f"{logits['standard_deviation']:.2g}",
                f"{logits['same_top1']:.1%}",
                *sizes,
            ]
        )
    titles = ("dtype", "variant", "largest difference", "standard deviation", "same top-1")
    return Columns((*titles, "bits per weight", "MB", "cache, MB"), 2, found)


def page(report: dict, rows: list[dict], shape: Shape, command: str) -> str:
    """Return the page of the documentation with the results."""
    return f"""# Speed of generation in transformers

Written by

```bash
{command}
```

The model has random weights, {shape.layers} blocks x {shape.loops} loops of width {shape.hidden_size} and a vocabulary
of {shape.vocab_size} tokens; Llama has {shape.layers * shape.loops} layers of the same widths. The table shows tokens
per second of all sequences together, after the first token, in {report["clock"]} time, with
{report["threads"]} thread(s): medians of {report["rounds"]} rounds in which the variants took turns. Other programs
may have used the machine as well (load {report["load"][0]:.1f} at the end), so compare rows only. "Rest" is
the share of the time outside matrix products and attention. It includes the cost of the profiler
and is therefore an upper bound. torch {report["torch"]}.

{speed_columns(rows).markdown()}

The next table compares the logits of each variant with those of the latent model of the same dtype,
on random tokens: the largest difference, the standard deviation of the logits, and how often the
most likely token is the same. "MB" is the memory of the packed weights, and "cache" that of the
unpacked weights that are kept while `generate` runs. [packed.md](packed.md) explains the variants.

{packed_columns(rows).markdown()}
"""


def main(parser: argparse.ArgumentParser, options: argparse.Namespace):
    """Measure, print the tables and write the results."""
    if options.quick:
        options.hidden_size, options.intermediate_size, options.layers, options.loops = 128, 256, 1, 2
        options.vocab_size, options.new_tokens, options.rounds, options.batch_sizes = 256, 4, 1, [1, 2]
    known = [each.name for each in variants(Shape(**dict.fromkeys(SHAPE, 1)), torch.float32)]
    for name in options.only or []:
        if name not in known:
            parser.error(f"--only must name variants of {known}, got {name!r}")
    if options.new_tokens < 2:
        parser.error(f"--new-tokens must be at least 2, because the first is not measured, got {options.new_tokens}")
    shape = Shape(**{name: getattr(options, name) for name in SHAPE})

    torch.set_num_threads(options.threads)
    console = Console(highlight=False)
    rows = [row for name in options.dtypes for row in measure(shape, DTYPES[name], options, console)]
    depth = f"{shape.layers} layers x {shape.loops} loops of width {shape.hidden_size}"
    console.print(speed_columns(rows).rich(f"{depth}, {options.threads} threads, medians of {options.rounds}"))
    console.print(packed_columns(rows).rich("packed weights and their logits, compared with the latent model"))
    report = {
        "benchmark": "generate",
        "machine": platform.machine(),
        "threads": options.threads,
        "rounds": options.rounds,
        "clock": "CPU" if options.threads == 1 else "wall-clock",
        "torch": torch.__version__,
        "load": os.getloadavg(),
        "shape": asdict(shape),
        "rows": rows,
    }
    write_json(options.output, report)
    if options.report is not None:
        command = shlex.join(["python", "benchmarks/generate.py", *sys.argv[1:]])
        options.report.write_text(page(report, rows, shape, command))


if __name__ == "__main__":
    main(parser, options)
