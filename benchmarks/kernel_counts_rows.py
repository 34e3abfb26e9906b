"""Counts and times of benchmarks/kernel_counts.py: compiled blocks, training steps, and single questions."""

import logging
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch._inductor import compile_fx, metrics
from torch._inductor import config as inductor
from torch._inductor.utils import run_and_get_code
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, layers_nanochat, ternary_nanochat
from modeling_nanochat.layers_nanochat import run_block
from modeling_nanochat.ternary_nanochat import activation_levels, quantize_activation
from trainers.hardware import has_fast_bf16

VOCAB_SIZE, LOOPS = 512, 2
CALLS = {
    "fused": re.compile(r"^\s+cpp_fused\w*\(", re.MULTILINE),
    "products": re.compile(r"^\s+extern_kernels\.\w*mm\w*\(", re.MULTILINE),
    "attentions": re.compile(r"torch\.ops\.aten\._scaled_dot_product\w+\.default\("),
}
"""Calls of kernels in generated code; the last pattern also finds those whose result has a name."""
SEPARATELY = "eager, each layer rounds"
"""Eager blocks whose layers do not share the rounded input."""
ACCUMULATES = "autograd::engine::evaluate_function"
"""Name of the event of the profiler in which the autograd engine itself adds gradients."""


@dataclass(frozen=True)
class Settings:
    """The options of the command line."""

    blocks: list[int]
    streams: list[int]
    hidden_size: int
    product_size: int
    tokens: int
    rounds: int


@dataclass(frozen=True)
class Launches:
    """Calls in generated code: fused kernels, matrix products, and attention."""

    fused: int
    products: int
    attentions: int


@dataclass(frozen=True)
class Graph:
    """
    Compiled code.

    Attributes:
        scope: "block" or "loop".
        streams: Number of residual streams.
        ternary: Whether the weights are ternary.
        blocks: Number of blocks that were applied, by one graph or one after another.
        forward, backward: Launches of the graph.
        bytes: Bytes that the kernels of the graph read and write, forward and backward.
        compile_seconds: CPU seconds, with those of the C++ compiler, until the blocks were applied once, forward and
            backward.
        seconds: CPU seconds of another time.
    """

    scope: str
    streams: int
    ternary: bool
    blocks: int
    forward: Launches
    backward: Launches
    bytes: int
    compile_seconds: float
    seconds: float


@dataclass(frozen=True)
class Step:
    """
    A training step of a model of two blocks and two loops, as the profiler sees it.

    Attributes:
        blocks: "eager", [`SEPARATELY`] or "compiled".
        streams: Number of residual streams.
        ternary: Whether the weights are ternary.
        products: Matrix products, forward and backward.
        roundings: Roundings of activations in eager blocks; None for compiled ones.
        sums: Additions outside compiled code that only sum gradients.
        summed: Numbers that these add.
        of_matrices: Those of them that add the gradients that the blocks' matrices get in each loop.
        kept: Bytes that autograd keeps for the backward pass.
        seconds: CPU seconds.
    """

    blocks: str
    streams: int
    ternary: bool
    products: int
    roundings: int | None
    sums: int
    summed: int
    of_matrices: int
    kept: int
    seconds: float


@dataclass(frozen=True)
class NormAndRounding:
    """Fused kernels of RMSNorm and rounding, and whether the backward pass reads the input again."""

    forward: int
    backward: int
    reads_input_again: bool


@dataclass(frozen=True)
class Products:
    """CPU seconds of forward and backward of the products for queries, keys and values, and their dtype."""

    dtype: str
    width: int
    three: float
    joined: float


def launches(code: str) -> Launches:
    """Count the calls in the generated code of a graph."""
    call = code.partition("def call(")[2]
    return Launches(**{name: len(pattern.findall(call)) for name, pattern in CALLS.items()})


def direction(code: str) -> str:
    """Return "forward", "backward" or "inference", which generated code has in its first line."""
    return code.partition("\n")[0].rpartition("_")[2].rstrip("']")


def build(blocks: int, streams: int, ternary: bool, settings: Settings) -> LoopLMForCausalLM:
    """Return a model to train."""
    torch.manual_seed(0)
    config = LoopLMConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=settings.hidden_size,
        intermediate_size=2 * settings.hidden_size,
        num_shared_layers=blocks,
        num_loops=LOOPS,
        num_attention_heads=4,
        max_position_embeddings=settings.tokens,
        mhc_num_streams=streams,
        ternary=ternary,
    )
    return LoopLMForCausalLM(config).train()


def applied(model: LoopLMForCausalLM, scope: str, tokens: int) -> Callable[[], None]:
    """
    Return a function that applies all blocks once, forward and backward, with autocast to bfloat16.

    Args:
        model: The model.
        scope: What one compiled graph applies: "block" or "loop".
        tokens: Number of tokens.
    """
    decoder, streams = model.model, model.config.mhc_num_streams
    shape = ((streams,) if streams > 1 else ()) + (1, tokens, model.config.hidden_size)
    inputs = torch.randn(shape, requires_grad=True)
    positions = decoder.rotary_emb(inputs, position_ids=torch.arange(tokens)[None])
    block = torch.compile(run_block) if scope == "block" else run_block

    def all_blocks(hidden_states: torch.Tensor) -> torch.Tensor:
        for layer in decoder.layers:
            hidden_states = block(layer, hidden_states, loop=None, position_embeddings=positions)
        return hidden_states

    loop = torch.compile(all_blocks) if scope == "loop" else all_blocks

    def run() -> None:
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            for layer in decoder.layers:
                # Rounded before, as in a pass of the model, so that the graph is of the blocks alone.
                layer.keep_quantized_weights(reuse=False, compiled=False)
            output = loop(inputs)
        output.float().square().mean().backward()

    return run


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def median_seconds(run: Callable[[], object], rounds: int) -> float:
    """Median CPU seconds."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def generated_code(run: Callable[[], None]) -> dict[str, str]:
    """Run what compiles one graph, and return the code that inductor generates, by its direction."""
    # One thread compiles in this process, so that its time can be measured.
    with inductor.patch(force_disable_caches=True, compile_threads=1):
        _, codes = run_and_get_code(run)
    found = {direction(code): code for code in codes}
    assert len(found) == len(codes) == 2, "one graph, forward and backward"
    return found


def measure_graph(scope: str, streams: int, ternary: bool, blocks: int, settings: Settings) -> Graph:
    """Compile blocks and count."""
    run = applied(build(blocks, streams, ternary, settings), scope, settings.tokens)
    # Otherwise inductor does not count the bytes.
    compile_fx.inductor_metrics_log.setLevel(logging.INFO)
    compile_fx.inductor_metrics_log.propagate = False
    metrics.reset()
    started = cpu_seconds()
    code = generated_code(run)
    compile_seconds = cpu_seconds() - started
    return Graph(
        scope=scope,
        streams=streams,
        ternary=ternary,
        blocks=blocks,
        forward=launches(code["forward"]),
        backward=launches(code["backward"]),
        bytes=metrics.num_bytes_accessed,
        compile_seconds=compile_seconds,
        seconds=median_seconds(run, settings.rounds),
    )


def sums_of_gradients(run: Callable[[], object]) -> tuple[int, int]:
    """Count the additions of the autograd engine, and the numbers that they add."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        run()
    sizes = []
    for event in found.events():
        parent = event.cpu_parent
        if event.name in ("aten::add", "aten::add_") and parent is not None and parent.name.startswith(ACCUMULATES):
            sizes.append(torch.Size(event.input_shapes[0]).numel())
    return len(sizes), sum(sizes)


def measure_step(blocks: str, streams: int, ternary: bool, settings: Settings) -> Step:
    """Profile a training step of a whole model."""
    torch._dynamo.reset()
    model = build(2, streams, ternary, settings)
    if blocks == "compiled":
        model.compile_blocks()
    tokens = torch.randint(3, VOCAB_SIZE, (1, settings.tokens))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def step() -> int:
        kept: dict[int, torch.Tensor] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        model.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(tokens, labels=tokens, use_cache=False).loss
        loss.backward()
        return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)

    separately = patch.object(layers_nanochat, "shared_input", nullcontext)
    with separately if blocks == SEPARATELY else nullcontext():
        kept, roundings = step(), None
        if blocks != "compiled":
            with patch.object(ternary_nanochat, "activation_levels", wraps=activation_levels) as rounding:
                step()
            roundings = rounding.call_count
        with profile(activities=[ProfilerActivity.CPU]) as found:
            step()
        sums, summed = sums_of_gradients(step)
        seconds = median_seconds(step, settings.rounds)
    names = [event.name for event in found.events()]
    matrices = sum(value.numel() for name, value in model.model.layers.named_parameters() if "_proj." in name)
    return Step(
        blocks=blocks,
        streams=streams,
        ternary=ternary,
        products=sum(names.count(name) for name in ("aten::mm", "aten::addmm", "aten::bmm")),
        roundings=roundings,
        sums=sums,
        summed=summed,
        of_matrices=(LOOPS - 1) * matrices,
        kept=kept,
        seconds=seconds,
    )


def measure_norm(settings: Settings) -> NormAndRounding:
    """Compile RMSNorm and rounding of its output."""
    norm = LlamaRMSNorm(settings.hidden_size)
    inputs = torch.randn(1, settings.tokens, settings.hidden_size, requires_grad=True)
    saved: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        saved.append(tensor)
        return tensor

    function = torch.compile(lambda hidden_states: quantize_activation(norm(hidden_states), torch.bfloat16))

    def run() -> None:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = function(inputs)
        output.float().sum().backward()

    fused = {name: launches(code).fused for name, code in generated_code(run).items()}
    again = any(tensor.data_ptr() == inputs.data_ptr() for tensor in saved)
    return NormAndRounding(fused["forward"], fused["backward"], again)


def measure_products(settings: Settings) -> Products:
    """Time the products of queries, keys and values, forward and backward, in turns."""
    dtype = torch.bfloat16 if has_fast_bf16() else torch.float32
    width = settings.product_size
    inputs, gradient = (torch.randn(settings.tokens, width, dtype=dtype) for _ in range(2))
    inputs.requires_grad_()
    weights = [torch.randn(width, width, dtype=dtype, requires_grad=True) for _ in range(3)]
    joined = torch.cat([weight.detach() for weight in weights]).requires_grad_()
    # A gradient for each, as attention gives them.
    products = {
        "three": lambda: [F.linear(inputs, weight) for weight in weights],
        "joined": lambda: F.linear(inputs, joined).chunk(3, dim=-1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in products}
    for count in range(settings.rounds + 1):
        for name, product in products.items():
            for tensor in (inputs, joined, *weights):
                tensor.grad = None
            started = time.process_time()
            torch.autograd.backward(product(), [gradient] * 3)
            if count:
                seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    return Products(str(dtype).removeprefix("torch."), width, medians["three"], medians["joined"])


def graph_cases(settings: Settings) -> Iterator[tuple[str, int, bool, int]]:
    """Scope, streams, ternary and number of blocks of each graph."""
    for streams in settings.streams:
        for ternary in (True, False):
            yield "block", streams, ternary, min(settings.blocks)
    for streams in sorted({min(settings.streams), max(settings.streams)}):
        for blocks in settings.blocks:
            yield "loop", streams, True, blocks


def step_cases(settings: Settings) -> Iterator[tuple[str, int, bool]]:
    """Kind of blocks, streams and ternary of each step."""
    for streams in sorted({min(settings.streams), max(settings.streams)}):
        for blocks in ("eager", SEPARATELY, "compiled"):
            yield blocks, streams, True
