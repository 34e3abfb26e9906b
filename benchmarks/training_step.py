"""
Measure what a training step costs, against other models of the same shape in the same run.

    python benchmarks/training_step.py

Contenders are built, measured and dropped one after another, so that each has the memory for itself. All get the same
tokens, and do forward and backward in the same type. A contender counts only if every parameter gets a finite
gradient that is not zero, because a backward pass that is not computed costs nothing. The report has tokens and model
GFLOP/s per second of CPU time (on a GPU of wall time), as medians over the rounds, and the fraction of the speed of a
matrix product (the roof) measured right before. FLOPs are counted by `training_flops_per_token`; a model with one
loss head is credited with one.
"""

import argparse
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from reporting import add_output, new_parser, write_json

from evaluation.options import add_former_name

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    for name, dest, value, help in (
        ("hidden-size", "hidden_size", 384, "hidden size of the models"),
        ("intermediate-size", "intermediate_size", 1024, "intermediate size of the models"),
        ("layers", "layers", 6, "number of shared blocks of the LoopLM"),
        ("num-loops", "loops", 4, "number of loops of the LoopLM"),
        ("heads", "heads", 6, "number of attention heads"),
        ("vocab-size", "vocab_size", 8192, "vocabulary size"),
        ("seq-len", "seq_len", 512, "tokens in a row"),
        ("batch-size", "batch", 1, "rows at a time"),
        ("rounds", "rounds", 5, "number of rounds; medians are reported"),
        ("num-threads", "threads", 1, "number of threads of PyTorch"),
    ):
        option = parser.add_argument(f"--{name}", type=int, default=value, dest=dest, help=help)
        if name != dest.replace("_", "-"):
            add_former_name(parser, f"--{dest}", option)
    parser.add_argument("--only", help="measure contenders whose name contains this (default: all)")
    add_output(parser, "results/benchmarks/training_step.json")
    options = parser.parse_args()

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.integrations.bitnet import AutoBitLinear

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.hardware import has_fast_bf16, peak_flops
from trainers.optimizers import muon_and_lion
from trainers.training_statistics import training_flops_per_token


@dataclass(frozen=True)
class Shape:
    """Size of all contenders."""

    hidden_size: int
    intermediate_size: int
    layers: int
    loops: int
    heads: int
    vocab_size: int
    seq_len: int
    batch: int


@dataclass(frozen=True)
class Contender:
    """A model and its loss on tokens."""

    model: nn.Module
    loss: Callable[[torch.Tensor], torch.Tensor]
    heads: int
    """Number of cross-entropies in its loss."""


def ours(shape: Shape, *, streams: int = 1, ternary: bool = True, compiled: bool = True, **options) -> Contender:
    """LoopLM, with a loss after every loop; the options are those of `torch.compile`."""
    config = LoopLMConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_shared_layers=shape.layers,
        num_loops=shape.loops,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.seq_len,
        mhc_num_streams=streams,
        ternary=ternary,
    )
    model = LoopLMForCausalLM(config).train()
    if compiled:
        model.compile_blocks(**options)
    return Contender(model, lambda tokens: model(tokens, labels=tokens, use_cache=False).loss, shape.loops)


def llama(shape: Shape, layers: int, compiled: bool) -> Contender:
    """Llama of transformers, compiled layer by layer."""
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.seq_len,
    )
    model = LlamaForCausalLM(config).train()
    if compiled:
        for layer in model.model.layers:
            layer.compile()
    return Contender(model, lambda tokens: model(tokens, labels=tokens, use_cache=False).loss, 1)


def looped_llama(shape: Shape, compiled: bool, bitnet: bool = False) -> Contender:
    """Llama whose list of layers repeats the same layers, with one loss at the end."""
    contender = llama(shape, shape.layers, compiled=False)
    model = contender.model
    if bitnet:
        for layer in model.model.layers:
            for module in (layer.self_attn, layer.mlp):
                for name, linear in list(module.named_children()):
                    if isinstance(linear, nn.Linear):
                        setattr(module, name, _bit_linear(linear))
    if compiled:
        for layer in model.model.layers:
            layer.compile()
    model.model.layers = nn.ModuleList(list(model.model.layers) * shape.loops)
    model.config.num_hidden_layers = shape.layers * shape.loops
    return contender


def _bit_linear(linear: nn.Linear) -> nn.Module:
    """BitNet's layer of transformers: ternary weights and int8 activations, quantized in every call."""
    layer = AutoBitLinear(linear.in_features, linear.out_features, bias=False, online_quant=True)
    layer.weight = linear.weight
    return layer


def contenders(shape: Shape) -> dict[str, Callable[[], Contender]]:
    """Functions that make the contenders when it is their turn."""
    return {
        "ours, ternary, compiled": lambda: ours(shape),
        "ours, float, compiled": lambda: ours(shape, ternary=False),
        "ours, ternary, 2 streams, compiled": lambda: ours(shape, streams=2),
        "ours, ternary, 4 streams, compiled": lambda: ours(shape, streams=4),
        "ours, ternary, eager": lambda: ours(shape, compiled=False),
        "Llama, as many layers, compiled": lambda: llama(shape, shape.layers * shape.loops, compiled=True),
        "Llama looped, compiled": lambda: looped_llama(shape, compiled=True),
        "AutoBitLinear looped, compiled": lambda: looped_llama(shape, compiled=True, bitnet=True),
        "AutoBitLinear looped, eager": lambda: looped_llama(shape, compiled=False, bitnet=True),
    }


def clock(device: torch.device) -> float:
    """Seconds of CPU time of this process; with a GPU, wall time after synchronizing."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def step_seconds(contender: Contender, tokens: torch.Tensor, dtype: torch.dtype) -> float:
    """Seconds of forward and backward; the gradients are kept."""
    contender.model.zero_grad()
    device = tokens.device
    started = clock(device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        loss = contender.loss(tokens)
    loss.backward()
    return clock(device) - started


def parameters_without_gradient(model: nn.Module) -> list[str]:
    """Names of the parameters whose gradient is missing, zero, or not finite."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]


def roof(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product, the best of several."""
    a, b = (torch.randn(1024, 1024, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(8):
        started = clock(device)
        for _ in range(4):
            a @ b
        seconds.append((clock(device) - started) / 4)
    return 2 * 1024**3 / min(seconds)


def contender_flops_per_token(shape: Shape, heads: int) -> int:
    """FLOPs of forward and backward per token, with the given number of loss heads."""
    config = LoopLMConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_shared_layers=shape.layers,
        num_loops=shape.loops,
        num_attention_heads=shape.heads,
    )
    every_head = training_flops_per_token(config, shape.seq_len)
    return every_head - 6 * shape.hidden_size * shape.vocab_size * (shape.loops - heads)


def optimizer_seconds(model: nn.Module, device: torch.device) -> float:
    """Seconds of a step of Muon and Lion on the present gradients."""
    optimizer = muon_and_lion(model, 0.02, 1e-4, 0.0, "torch")
    seconds = []
    for _ in range(3):
        started = clock(device)
        optimizer.step()
        seconds.append(clock(device) - started)
    return statistics.median(seconds)


class NoGradient(ValueError):
    """Some parameters of a contender are not trained."""


def warm_up(contender: Contender, tokens: torch.Tensor, dtype: torch.dtype) -> float:
    """
    Move a contender to the device of the tokens and take two steps; return the seconds of the first.

    Raises:
        NoGradient: Some parameters get no gradient.
    """
    contender.model.to(tokens.device)
    for parameter in contender.model.parameters():
        # The factors of one that starts at zero get no gradient in the first step.
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    first, _ = (step_seconds(contender, tokens, dtype) for _ in range(2))
    missing = parameters_without_gradient(contender.model)
    if missing:
        raise NoGradient(f"{len(missing)} parameters get no finite, non-zero gradient, such as {missing[0]}")
    return first


def measure(contender: Contender, shape: Shape, tokens: torch.Tensor, dtype: torch.dtype, rounds: int) -> dict:
    """
    Measure a contender; return its row of the report.

    Raises:
        NoGradient: Some parameters get no gradient.
    """
    device = tokens.device
    warm_up(contender, tokens, dtype)
    peak = roof(device, dtype)
    seconds = statistics.median(step_seconds(contender, tokens, dtype) for _ in range(rounds))
    flops = contender_flops_per_token(shape, contender.heads) * tokens.numel() / seconds
    row = {
        "seconds": seconds,
        "tokens_per_second": tokens.numel() / seconds,
        "gflops_per_second": flops / 1e9,
        "roof_gflops_per_second": peak / 1e9,
        "share_of_roof": flops / peak,
        "loss_heads": contender.heads,
        "optimizer_seconds": optimizer_seconds(contender.model, device),
    }
    if device.type == "cuda" and peak_flops() is not None:
        row["mfu"] = flops / peak_flops()
    return row


def main(options: argparse.Namespace):
    """Measure, print a table and write the results."""
    names = ("hidden_size", "intermediate_size", "layers", "loops", "heads", "vocab_size", "seq_len", "batch")
    shape = Shape(**{name: getattr(options, name) for name in names})

    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if has_fast_bf16() else torch.float32
    torch.manual_seed(0)
    tokens = torch.randint(3, shape.vocab_size, (shape.batch, shape.seq_len), device=device)
    console = Console(highlight=False)
    chosen = {name: make for name, make in contenders(shape).items() if options.only is None or options.only in name}
    rows, not_counted = {}, {}
    for name, make in chosen.items():
        with console.status(name):
            try:
                rows[name] = measure(make(), shape, tokens, dtype, options.rounds)
            except NoGradient as error:
                not_counted[name] = str(error)
        # What is compiled keeps its contender, and counts towards the next one's limit of recompilations.
        torch._dynamo.reset()
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    for name, reason in not_counted.items():
        console.print(f"{name} does not count: {reason}")
    if not rows:
        sys.exit("no contender counts")
    first = next(iter(rows))
    table = Table(title=f"{device.type}, {dtype}, {options.threads} threads, medians of {options.rounds}")
    for column in ("contender", "heads", "tokens/s", "GFLOP/s", "of the roof", f"{first} is faster by"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name, row in rows.items():
        ratio = rows[first]["gflops_per_second"] / row["gflops_per_second"]
        table.add_row(
            name,
            str(row["loss_heads"]),
            f"{row['tokens_per_second']:.0f}",
            f"{row['gflops_per_second']:.1f}",
            f"{row['share_of_roof']:.0%}",
            f"{ratio:.2f}x",
        )
    console.print(table)
    optimizer, peak = rows[first]["optimizer_seconds"], rows[first]["roof_gflops_per_second"]
    tokens_8k = 8192 / rows[first]["tokens_per_second"]
    console.print(
        f"{first}: roof {peak:.0f} GFLOP/s; Muon and Lion {optimizer * 1000:.0f} ms a step, "
        f"{optimizer / (optimizer + tokens_8k):.1%} of a step of 8192 tokens"
    )
    report = {
        "benchmark": "training_step",
        "machine": platform.machine(),
        "device": device.type,
        "dtype": str(dtype),
        "threads": options.threads,
        "rounds": options.rounds,
        "torch": torch.__version__,
        "load": os.getloadavg(),
        "shape": vars(shape),
        "contenders": rows,
        "not_counted": not_counted,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main(options)
