"""
Measure time and memory of activation checkpointing: nothing recomputed, selective, by layer, and by loop.

    python benchmarks/recomputation.py --report docs/recomputation.md

All kinds take turns in one run, with the same weights and tokens, eager and compiled, with one, two and four residual
streams, at a small and a middle shape. Reported are the CPU seconds of forward and backward (medians over the
rounds), the bytes that are kept between them, and the largest difference of a gradient to that without recomputation.

The kept bytes are counted by the storages of the tensors that autograd saves and of the outputs that selective
checkpointing keeps. Parameters do not count, quantized weights that are kept for all loops do.
"""

import argparse
import gc
import os
import statistics
import time
from dataclasses import asdict, dataclass
from math import factorial
from pathlib import Path

from reporting import Columns, add_output, add_report, new_parser, write_json

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; medians are reported")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 2, 4], help="numbers of residual streams")
    parser.add_argument(
        "--blocks", nargs="+", choices=("eager", "compiled"), default=["eager", "compiled"], help="kinds of blocks"
    )
    parser.add_argument("--shapes", nargs="+", choices=("small", "middle"), default=["small", "middle"], help="shapes")
    add_output(parser, "results/benchmarks/recomputation.json")
    add_report(parser, "docs/recomputation.md")
    options = parser.parse_args()

import torch
from rich.console import Console
from torch.utils._pytree import tree_leaves

from evaluation.figures import legend_below, panels, save
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from modeling_nanochat.recomputation_nanochat import Reuse
from trainers.hardware import has_fast_bf16

KINDS = ("none", "selective", "layer", "loop")
MARKERS = dict(zip(KINDS, "osD^", strict=True))


@dataclass(frozen=True)
class Shape:
    """Size of a model and of its batch, of one row."""

    name: str
    hidden_size: int
    intermediate_size: int
    heads: int
    layers: int
    loops: int
    seq_len: int


SHAPES = {
    "small": Shape("small", 128, 384, 4, 2, 2, 128),
    "middle": Shape("middle", 384, 1024, 6, 2, 2, 256),
}
VOCAB_SIZE = 512


@dataclass(frozen=True)
class Found:
    """
    One kind of checkpointing.

    Attributes:
        shape: Name of the shape.
        compiled: Whether the blocks are compiled.
        streams: Number of residual streams.
        kind: Kind of checkpointing.
        seconds: CPU seconds of forward and backward.
        kept_bytes: Bytes kept from forward to backward.
        gradient_difference: Largest difference of a parameter's gradient to that without recomputation, as norm
            relative to the gradient's.
    """

    shape: str
    compiled: bool
    streams: int
    kind: str
    seconds: float
    kept_bytes: int
    gradient_difference: float


def build(shape: Shape, streams: int, compiled: bool) -> LoopLMForCausalLM:
    """Return a model to train."""
    torch.manual_seed(0)
    config = LoopLMConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_shared_layers=shape.layers,
        num_loops=shape.loops,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.seq_len,
        mhc_num_streams=streams,
    )
    model = LoopLMForCausalLM(config).train()
    if compiled:
        model.compile_blocks()
    return model


def set_kind(model: LoopLMForCausalLM, kind: str) -> None:
    """Turn on a kind of checkpointing."""
    if kind == "none":
        model.activation_checkpointing_disable()
    else:
        model.activation_checkpointing_enable({"use_reentrant": False, "granularity": kind})


def loss_of(model: LoopLMForCausalLM, tokens: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Compute the loss in a dtype."""
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        return model(tokens, labels=tokens, use_cache=False).loss


def kept_bytes(model: LoopLMForCausalLM, tokens: torch.Tensor, dtype: torch.dtype) -> int:
    """Count the bytes that are kept between forward and backward."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    storages: dict[int, int] = {}
    alive = []  # so that no address is used twice

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    gc.collect()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = loss_of(model, tokens, dtype)
    for mode in gc.get_objects():
        if type(mode) is Reuse:
            for tensor in tree_leaves(mode.outputs):
                if isinstance(tensor, torch.Tensor):
                    count(tensor)
    loss.backward()
    return sum(storages.values())


def measure(shape: Shape, streams: int, compiled: bool, dtype: torch.dtype, rounds: int) -> list[Found]:
    """Measure all kinds of checkpointing, which take turns."""
    model = build(shape, streams, compiled)
    tokens = torch.randint(3, VOCAB_SIZE, (1, shape.seq_len))
    kept, gradients = {}, {}
    for kind in KINDS:
        set_kind(model, kind)
        for _ in range(2):  # compiled in the first
            model.zero_grad()
            kept[kind] = kept_bytes(model, tokens, dtype)
        gradients[kind] = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        for kind in KINDS:
            set_kind(model, kind)
            model.zero_grad()
            started = time.process_time()
            loss_of(model, tokens, dtype).backward()
            seconds[kind].append(time.process_time() - started)
    torch._dynamo.reset()
    return [
        Found(
            shape=shape.name,
            compiled=compiled,
            streams=streams,
            kind=kind,
            seconds=statistics.median(seconds[kind]),
            kept_bytes=kept[kind],
            gradient_difference=max(
                ((gradients[kind][name] - value).norm() / value.norm().clamp(min=1e-30)).item()
                for name, value in gradients["none"].items()
            ),
        )
        for kind in KINDS
    ]


def documented_bytes(shape: Shape, streams: int, dtype: torch.dtype) -> int:
    """Bytes that selective checkpointing keeps in the blocks by the formula in `checkpoint_selectively`."""
    d, f, n = shape.hidden_size, shape.intermediate_size, streams
    computed = 5 * d + 2 * f + (d if n > 1 else 0)
    single = shape.heads + (2 * n * (2 * n + factorial(n)) + 2 * n * n if n > 1 else 0)
    per_token = 4 * n * d + dtype.itemsize * computed + 4 * single
    return per_token * shape.seq_len * shape.layers * shape.loops


def columns(found: list[Found]) -> Columns:
    """Return the table, with times and bytes relative to those without recomputation."""
    rows = []
    for each in found:
        key = each.shape, each.compiled, each.streams
        base = next(other for other in found if (other.shape, other.compiled, other.streams) == key)
        rows.append(
            [
                each.shape,
                "compiled" if each.compiled else "eager",
                f"{each.streams}",
                each.kind,
                f"{each.seconds:.3f}",
                f"{each.seconds / base.seconds:.2f}",
                f"{each.kept_bytes / 1e6:.1f}",
                f"{each.kept_bytes / base.kept_bytes:.2f}",
                "equal" if each.gradient_difference == 0 else f"{each.gradient_difference:.0e}",
            ]
        )
    titles = ("shape", "blocks", "streams", "kind", "CPU s", "time", "MB kept", "memory", "gradients")
    return Columns(titles, 4, rows)


def plot(found: list[Found], path: Path) -> Path:
    """Plot time against bytes, relative to those without recomputation, at the largest measured shape."""
    shape = found[-1].shape
    both = sorted({each.compiled for each in found if each.shape == shape})
    figure, axes = panels(1, len(both))
    for axis, compiled in zip(axes, both, strict=True):
        chosen = [each for each in found if each.shape == shape and each.compiled == compiled]
        for index, streams in enumerate(sorted({each.streams for each in chosen})):
            line = [each for each in chosen if each.streams == streams]
            memory = [each.kept_bytes / line[0].kept_bytes for each in line]
            times = [each.seconds / line[0].seconds for each in line]
            axis.plot(
                memory, times, color=f"C{index}", linewidth=1, label=f"{streams} streams" if streams > 1 else "1"
            )
            for each, x, y in zip(line, memory, times, strict=True):
                axis.plot(x, y, MARKERS[each.kind], color=f"C{index}", markersize=7)
        for kind, marker in MARKERS.items():
            axis.plot([], [], marker, color="gray", label=kind)
        axis.set(
            title="compiled blocks" if compiled else "eager blocks",
            xlabel="bytes kept, relative to none",
            ylabel="time, relative to none",
            xlim=(0, None),
        )
        legend_below(axis, 4)
    return save(figure, path)


def write_report(found: list[Found], dtype: torch.dtype, options: argparse.Namespace) -> None:
    """Write the page and its plot."""
    image = plot(found, options.report.with_suffix(".png"))
    shapes = "\n".join(
        f"- {shape.name}: hidden size {shape.hidden_size}, intermediate size {shape.intermediate_size}, "
        f"{shape.layers} blocks x {shape.loops} loops, one row of {shape.seq_len} tokens"
        for shape in (SHAPES[name] for name in options.shapes)
    )
    rows = [
        [
            each.shape,
            "compiled" if each.compiled else "eager",
            f"{each.streams}",
            f"{documented_bytes(SHAPES[each.shape], each.streams, dtype) / 1e6:.2f}",
            f"{each.kept_bytes / 1e6:.2f}",
        ]
        for each in found
        if each.kind == "selective"
    ]
    formula = Columns(("shape", "blocks", "streams", "by the formula, MB", "measured, MB"), 2, rows).markdown()
    options.report.write_text(f"""# Recomputation in the backward pass

Written by

```bash
python benchmarks/recomputation.py --rounds {options.rounds} --streams {" ".join(map(str, options.streams))} \\
    --blocks {" ".join(options.blocks)} --shapes {" ".join(options.shapes)} --report docs/{options.report.name}
```

Forward and backward on one thread, in {str(dtype).removeprefix("torch.")}, on a machine shared with other programs
(load {os.getloadavg()[0]:.0f}). CPU seconds are medians over {options.rounds} rounds in which the kinds take turns.
torch {torch.__version__}. Shapes:

{shapes}

`kind` is `training.checkpointing` ([training.md](training.md#memory-and-speed)). `time` and `memory` are
relative to `none` in the same rows. `gradients` is the largest difference of a parameter's gradient to
that of `none`, as norm relative to the gradient's norm.

{columns(found).markdown()}

![time against kept bytes]({image.name})

## Bytes of selective checkpointing

The docstring of `checkpoint_selectively` (`modeling_nanochat/recomputation_nanochat.py`) counts the bytes
that are kept in the blocks. The measured bytes also hold what is kept outside of them: the loss, the
embedding, and the norms between loops. Eager blocks also hold the quantized weights, once for all loops.

{formula}
""")


def main(options: argparse.Namespace) -> None:
    """Measure, print, and write the results."""
    torch.set_num_threads(1)
    dtype = torch.bfloat16 if has_fast_bf16() else torch.float32
    found = []
    for name in options.shapes:
        for blocks in options.blocks:
            for streams in options.streams:
                print(f"{name}, {blocks}, {streams} streams", flush=True)
                found += measure(SHAPES[name], streams, blocks == "compiled", dtype, options.rounds)
    Console(width=120).print(columns(found).rich("forward and backward"))
    write_json(
        options.output, {"torch": torch.__version__, "dtype": str(dtype), "found": [asdict(each) for each in found]}
    )
    if options.report:
        write_report(found, dtype, options)


if __name__ == "__main__":
    main(options)
