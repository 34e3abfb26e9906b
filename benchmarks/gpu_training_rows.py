"""The rows of benchmarks/gpu_training.py: what each measures, and how."""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from training_step import (
    Contender,
    NoGradient,
    Shape,
    clock,
    contender_flops_per_token,
    looped_llama,
    ours,
    step_seconds,
    warm_up,
)
from transformers import TrainerCallback

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.config_a import config_a
from recipes.config_b import config_b
from recipes.config_c import config_c
from recipes.nano import nano
from recipes.pipeline.plan.activations import MODES
from recipes.pipeline.schema import Recipe
from trainers import optimizers
from trainers.hardware import has_fast_bf16, peak_flops
from trainers.optimizers import muon_and_lion
from trainers.pretraining import LoopLMTrainer, pretraining_arguments
from trainers.training_statistics import training_flops_per_token

WARM_STEPS, TIMED_STEPS = 2, 3
TINY_MODEL = dict(
    hidden_size=128,
    intermediate_size=128,
    num_shared_layers=2,
    num_loops=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=32,
    vocab_size=96,
    max_position_embeddings=16,
)


@dataclass(frozen=True)
class Row:
    """
    A row of the page.

    Attributes:
        section: Heading of its table.
        name: Its first cell; with the section it is unique.
        measure: Makes what it needs and returns the columns.
    """

    section: str
    name: str
    measure: Callable[[], dict[str, Any]]

    @property
    def key(self) -> str:
        """Name of the row in the results."""
        return f"{self.section}: {self.name}"


def rows(tiny: bool) -> list[Row]:
    """
    All rows, in the order of the page.

    Args:
        tiny: Whether to use models that a CPU trains in an instant. Such a run shows that the benchmark works, and its
            numbers mean nothing.
    """
    b = config_b().model
    shape = Shape(
        hidden_size=b.hidden_size,
        intermediate_size=b.intermediate_size,
        layers=b.num_shared_layers,
        loops=b.num_loops,
        heads=b.num_attention_heads,
        vocab_size=b.vocab_size,
        seq_len=4096,
        batch=2,
    )
    if tiny:
        shape = Shape(128, 128, layers=2, loops=2, heads=4, vocab_size=96, seq_len=16, batch=2)
    return [
        *_trainer_rows(tiny),
        *_recomputation_rows(tiny),
        *_model_rows(shape),
        *_compilation_rows(shape),
        *_peer_rows(shape),
        *_optimizer_rows(shape),
    ]


def _trainer_rows(tiny: bool) -> list[Row]:
    section = "Trainer at the recipes' shapes"
    # (recipe, rows in a micro-batch, streams, recomputation)
    cases = [
        (config_b, 2, 2, "loop"),
        (config_b, 4, 2, "loop"),
        (config_b, 2, 1, "loop"),
        (config_a, 2, 4, "loop"),
        (config_c, 2, 4, "loop"),
        (nano, 64, 1, "none"),
    ]
    made = []
    for make, batch, streams, mode in cases:
        recipe = make()
        name = f"{recipe.name}, {batch} x {recipe.data.seq_len}, {_streams(streams)}, {mode}"
        made.append(Row(section, name, lambda r=recipe, n=batch, s=streams, m=mode: train(r, n, s, m, tiny)))
    return made


def _recomputation_rows(tiny: bool) -> list[Row]:
    section = "Recomputation, trainer at config B's and config A's shape"
    made = []
    for recipe, streams in ((config_b(), 2), (config_a(), 4)):
        for mode in MODES:
            name = f"{recipe.name}, 2 x {recipe.data.seq_len}, {_streams(streams)}, {mode}"
            made.append(Row(section, name, lambda r=recipe, s=streams, m=mode: train(r, 2, s, m, tiny)))
    return made


def _model_rows(shape: Shape) -> list[Row]:
    section = "Forward and backward at config B's shape, without recomputation"
    one = replace(shape, batch=1)
    return [
        _step_row(section, "1 stream, ternary", shape, lambda: ours(shape)),
        _step_row(section, "1 stream, float", shape, lambda: ours(shape, ternary=False)),
        _step_row(section, "2 streams, ternary", shape, lambda: ours(shape, streams=2)),
        _step_row(section, "4 streams, ternary", one, lambda: ours(one, streams=4)),
    ]


def _compilation_rows(shape: Shape) -> list[Row]:
    section = "Compilation at config B's shape"
    one = replace(shape, batch=1)
    # CUDA graphs are measured here before any recipe may use them. Whether their memory and their copies of inputs
    # pay where blocks with other weights, and other loops, replay one after another, only a GPU can show. A graph of a
    # whole loop is left out for what docs/kernel_counts.md measures.

    def four_streams(**options) -> Contender:
        return ours(one, streams=4, **options)

    return [
        _step_row(section, "1 stream, eager", one, lambda: ours(one, compiled=False)),
        _step_row(section, "4 streams, eager", one, lambda: ours(one, streams=4, compiled=False)),
        _step_row(section, "4 streams, a graph per block", one, four_streams),
        _step_row(section, "4 streams, a CUDA graph per block", one, lambda: four_streams(mode="reduce-overhead")),
    ]


def _peer_rows(shape: Shape) -> list[Row]:
    section = "Other models of config B's shape, one loss head"
    return [
        _step_row(section, "Llama layers looped", shape, lambda: looped_llama(shape, compiled=True)),
        _step_row(section, "AutoBitLinear looped", shape, lambda: looped_llama(shape, compiled=True, bitnet=True)),
    ]


def _optimizer_rows(shape: Shape) -> list[Row]:
    section = "A step of Muon and Lion at config B's shape"
    return [
        Row(section, "matrices of a shape together", lambda: optimizer_step(shape, stacked=True)),
        Row(section, "one matrix after another", lambda: optimizer_step(shape, stacked=False)),
    ]


def _streams(count: int) -> str:
    return f"{count} stream{'s' if count > 1 else ''}"


def _step_row(section: str, name: str, shape: Shape, make: Callable[[], Contender]) -> Row:
    return Row(section, f"{name}, {shape.batch} x {shape.seq_len}", lambda: forward_backward(make, shape))


class _StepTimes(TrainerCallback):
    """Seconds of every step of the Trainer."""

    def __init__(self, device: torch.device):
        self.device, self.seconds, self.started = device, [], 0.0

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = clock(self.device)

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds.append(clock(self.device) - self.started)


def train(recipe: Recipe, batch: int, streams: int, checkpointing: str, tiny: bool) -> dict[str, Any]:
    """
    Train a recipe's model with the real Trainer on random tokens, a micro-batch per step.

    Args:
        recipe: Recipe with the model and its optimizer.
        batch: Number of rows of a micro-batch.
        streams: Number of residual streams.
        checkpointing: Setting `training.checkpointing`.
        tiny: See [`rows`].
    """
    shape = TINY_MODEL if tiny else {}
    config = LoopLMConfig.from_dict(recipe.model.to_dict() | shape | {"mhc_num_streams": streams})
    seq_len = 16 if tiny else recipe.data.seq_len
    steps = WARM_STEPS + TIMED_STEPS
    tokens = torch.randint(3, config.vocab_size, (batch * steps, seq_len))
    with _device():
        model = LoopLMForCausalLM(config)
    with tempfile.TemporaryDirectory() as folder:
        trainer = LoopLMTrainer(
            model=model,
            args=pretraining_arguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=batch,
                optimizer=recipe.training.optimizer,
                lion_impl="torch",
                learning_rate=recipe.peak_lr,
                activation_checkpointing=checkpointing != "none",
                activation_checkpointing_kwargs={"use_reentrant": False},
                checkpoint_granularity="layer" if checkpointing == "none" else checkpointing,
                compile_blocks=True,
                save_strategy="no",
                logging_steps=steps,
                disable_tqdm=True,
            ),
            train_dataset=[{"input_ids": row, "labels": row} for row in tokens],
        )
        times = _StepTimes(trainer.args.device)
        trainer.add_callback(times)
        _reset_peak()
        trainer.train()
    flops = training_flops_per_token(config, seq_len)
    return _columns(statistics.median(times.seconds[WARM_STEPS:]), batch * seq_len, flops, times.seconds[0])


def forward_backward(make: Callable[[], Contender], shape: Shape) -> dict[str, Any]:
    """
    Measure forward and backward.

    Args:
        make: Makes the model, on the device on which tensors are created.
        shape: Its size, and that of a batch.

    Raises:
        NoGradient: Some parameters get no finite, non-zero gradient, so that the time would count for nothing.
    """
    device, dtype = _device(), torch.bfloat16 if has_fast_bf16() else torch.float32
    tokens = torch.randint(3, shape.vocab_size, (shape.batch, shape.seq_len), device=device)
    with device:
        contender = make()
    _reset_peak()
    first = warm_up(contender, tokens, dtype)
    seconds = statistics.median(step_seconds(contender, tokens, dtype) for _ in range(TIMED_STEPS))
    columns = _columns(seconds, tokens.numel(), contender_flops_per_token(shape, contender.heads), first)
    return columns | {"kernel_seconds": _kernel_seconds(contender, tokens, dtype)}


def optimizer_step(shape: Shape, stacked: bool) -> dict[str, Any]:
    """Measure a step of Muon and Lion, with equal matrices stacked or one by one; on a CPU they never are."""
    device = _device()
    with device:
        model = ours(shape, compiled=False).model
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer = muon_and_lion(model, 0.02, 1e-4, 0.0, "torch")
    default = optimizers.STACK_NUMBERS
    optimizers.STACK_NUMBERS = default if stacked else 0
    _reset_peak()
    try:
        seconds = []
        for _ in range(WARM_STEPS + TIMED_STEPS):
            started = clock(device)
            optimizer.step()
            seconds.append(clock(device) - started)
    finally:
        optimizers.STACK_NUMBERS = default
    return {"seconds": statistics.median(seconds[WARM_STEPS:]), "first_seconds": seconds[0], "peak_bytes": _peak()}


def _columns(seconds: float, tokens: int, flops_per_token: float, first_seconds: float) -> dict[str, Any]:
    speed, peak = tokens / seconds, peak_flops()
    return {
        "seconds": seconds,
        "tokens_per_second": speed,
        "mfu": None if peak is None else speed * flops_per_token / peak,
        "peak_bytes": _peak(),
        "first_seconds": first_seconds,
    }


def _kernel_seconds(contender: Contender, tokens: torch.Tensor, dtype: torch.dtype) -> float | None:
    """Seconds in which the GPU computes during a step; the rest of the step it waits for the processor."""
    if tokens.device.type != "cuda":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        step_seconds(contender, tokens, dtype)
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _reset_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int | None:
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


def release() -> None:
    """Give back what a row has left: memory, and compiled code, which counts towards the limit of recompilations."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def measured(row: Row) -> dict[str, Any]:
    """Measure a row; a row that fails, for example by a lack of memory, says so in `error`."""
    started = time.perf_counter()
    try:
        found = row.measure()
    except torch.OutOfMemoryError:
        found = {"error": "out of memory"}
    except NoGradient as error:
        found = {"error": f"does not count: {error}"}
    except RuntimeError as error:
        # By the compiler or a kernel.
        found = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
    release()
    return found | {"row_seconds": time.perf_counter() - started}
