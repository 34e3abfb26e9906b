"""The plan's memory: saved tensors of a small model, and peaks measured on a GPU."""

import gc
import weakref
from typing import Any

import pytest
import torch

from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM
from recipes.pipeline.plan import memory
from recipes.pipeline.plan.activations import Checkpointing, Kept, block_tensors
from recipes.pipeline.plan.memory import GIB, Step, kept_activations, kept_by_loss, peak_memory, quantized_weights

PARTITIONED = "aot_eager_decomp_partition"
"""Backend that divides a graph into forward and backward as inductor does, without generating code."""


def config_of(streams: int, **settings) -> LoopLMConfig:
    sizes: dict[str, Any] = dict(vocab_size=640, hidden_size=128, intermediate_size=384, num_attention_heads=4)
    sizes |= dict(num_key_value_heads=2, num_shared_layers=2, num_loops=2, max_position_embeddings=64)
    return LoopLMConfig(mhc_num_streams=streams, **(sizes | settings))


class Held:
    """A saved tensor, alive as long as backward needs it."""

    def __init__(self, tensor: torch.Tensor):
        # An output that its own function saves would keep the function alive, and the function this.
        self.tensor = tensor.detach()


def saved_bytes(config: LoopLMConfig, checkpointing: str, backend: str | None, rows: int = 8) -> int:
    """Bytes of the storages that forward leaves for backward: saved tensors and kept weights, without parameters."""
    torch.manual_seed(0)
    model = LoopLMForCausalLM(config).train()
    if checkpointing != "none":
        options = {"use_reentrant": False, "granularity": checkpointing}
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    if backend is not None:
        torch._dynamo.reset()
        model.compile_blocks(backend=backend)
    tokens = torch.randint(3, config.vocab_size, (rows, 64))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held = weakref.WeakSet()

    def pack(tensor: torch.Tensor) -> Held:
        kept = Held(tensor)
        held.add(kept)
        return kept

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        loss = model(tokens, labels=tokens, use_cache=False).loss
    gc.collect()
    layers = [layer for layer in model.model.ternary_layers() if isinstance(layer, BitLinear)]
    weights = [layer._kept[0] for layer in layers if layer._kept is not None]
    assert loss.requires_grad
    found = [tensor.untyped_storage() for tensor in weights] + [kept.tensor.untyped_storage() for kept in held]
    storages = {storage.data_ptr(): storage.nbytes() for storage in found}
    return sum(size for pointer, size in storages.items() if pointer not in own)


def planned_bytes(config: LoopLMConfig, checkpointing: Checkpointing, compiled: bool, rows: int = 8) -> int:
    step = Step(config, tokens=rows * 64, checkpointing=checkpointing, compiled=compiled)
    return kept_activations(step) + quantized_weights(step) + kept_by_loss(step)


SCALED: dict[str, Any] = dict(loop_update="scaled", num_loops=3)
CODA = SCALED | dict(num_prelude_layers=1, num_coda_layers=2)
LAST = CODA | dict(loop_loss="final")


@pytest.mark.parametrize("checkpointing", ["none", "layer", "loop"])
@pytest.mark.parametrize(
    "streams, changes",
    [(1, {}), (4, {}), (1, CODA), (1, LAST)]
    + [pytest.param(*each, marks=pytest.mark.slow) for each in ((2, {}), (1, SCALED), (2, CODA), (2, LAST))],
)
def test_eager_blocks_keep_the_bytes_of_the_plan(streams, changes, checkpointing):
    config = config_of(streams, **changes)
    found = saved_bytes(config, checkpointing, None)
    assert planned_bytes(config, checkpointing, compiled=False) == pytest.approx(found, rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 4])
def test_compiled_blocks_keep_the_bytes_of_the_plan(streams):
    config = config_of(streams)
    found = saved_bytes(config, "none", PARTITIONED)
    assert planned_bytes(config, "none", compiled=True) == pytest.approx(found, rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"ternary": False}, {"sandwich_norm": True}, {"activation_bits": None}, {"qk_norm": True}]
)
@pytest.mark.parametrize("streams", [1, 2, 4])
def test_variants_of_compiled_blocks_keep_the_bytes_of_the_plan(streams, changes):
    config = config_of(streams, **changes)
    found = saved_bytes(config, "none", PARTITIONED)
    assert planned_bytes(config, "none", compiled=True) == pytest.approx(found, rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"ternary": False}, {"sandwich_norm": True}, {"mhc_dynamic": False}, {"qk_norm": True}]
)
@pytest.mark.parametrize("streams", [1, 2, 4])
def test_variants_of_eager_blocks_keep_the_bytes_of_the_plan(streams, changes):
    config = config_of(streams, **changes)
    found = saved_bytes(config, "none", None)
    assert planned_bytes(config, "none", compiled=False) == pytest.approx(found, rel=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 2, 4])
def test_selective_checkpointing_keeps_the_bytes_of_the_plan(streams):
    config = config_of(streams)
    found = saved_bytes(config, "selective", PARTITIONED)
    assert planned_bytes(config, "selective", compiled=True) == pytest.approx(found, rel=0.05)


@pytest.mark.slow
def test_inductor_keeps_what_the_partitioner_alone_keeps():
    assert saved_bytes(config_of(2), "none", "inductor") == saved_bytes(config_of(2), "none", PARTITIONED)


def shape(hidden: int, wide: int, layers: int, heads: int, streams: int, **settings) -> LoopLMConfig:
    return LoopLMConfig(
        hidden_size=hidden,
        intermediate_size=wide,
        num_shared_layers=layers,
        num_attention_heads=heads,
        mhc_num_streams=streams,
        max_position_embeddings=8192,
        **settings,
    )


CONFIG_B = (1536, 4096, 20, 12)
NANO: dict[str, Any] = dict(vocab_size=8192, num_key_value_heads=4)
# `torch.cuda.max_memory_allocated()` in GiB on one H100 of 80 GB, with torch 2.11: first of steps of the trainer (Muon
# and Lion in PyTorch, one micro-batch), then of forward and backward alone.
MEASURED: dict[str, tuple[LoopLMConfig, int, dict[str, Any], float]] = {
    "B, 2 streams, loop": (shape(*CONFIG_B, 2), 2 * 4096, dict(checkpointing="loop"), 11.0),
    "B, 2 streams, loop, 4 rows": (shape(*CONFIG_B, 2), 4 * 4096, dict(checkpointing="loop"), 14.7),
    "B, 2 streams, layer": (shape(*CONFIG_B, 2), 2 * 4096, dict(checkpointing="layer"), 15.1),
    "B, 1 stream, loop": (shape(*CONFIG_B, 1), 2 * 4096, dict(checkpointing="loop"), 9.2),
    "A, 4 streams, loop": (shape(2048, 5632, 24, 16, 4), 2 * 8192, dict(checkpointing="loop"), 34.4),
    "C, 4 streams, loop": (shape(1792, 4864, 22, 14, 4), 2 * 6144, dict(checkpointing="loop"), 22.8),
    "nano, 1 stream": (shape(512, 1536, 6, 8, 1, **NANO), 64 * 1024, {}, 30.4),
    "B, 1 stream, no optimizer": (shape(*CONFIG_B, 1), 2 * 4096, dict(optimizer=None), 42.5),
    "B, float weights": (shape(*CONFIG_B, 1, ternary=False), 2 * 4096, dict(optimizer=None), 40.6),
    "B, 2 streams, no optimizer": (shape(*CONFIG_B, 2), 2 * 4096, dict(optimizer=None), 63.9),
    "B, 4 streams, no optimizer": (shape(*CONFIG_B, 4), 4096, dict(optimizer=None), 43.9),
    "B, eager": (shape(*CONFIG_B, 1), 4096, dict(optimizer=None, compiled=False), 32.0),
}


def kept_by_the_measured_blocks(config: LoopLMConfig, compiled: bool):
    """
    Tensors that a block kept when the peaks were measured: also a rounded input for each layer of an eager block, and
    with streams the inputs of its two sublayers.
    """
    yield from block_tensors(config, compiled)
    if not compiled:
        yield Kept("inputs of projections, rounded once more for each layer", 3 * config.hidden_size, 2)
    if compiled and config.mhc_num_streams > 1:
        yield Kept("inputs of the sublayers", 2 * config.hidden_size, 4)


@pytest.mark.parametrize("name", MEASURED)
def test_peaks_are_within_a_tenth_of_those_measured_on_a_gpu(name, monkeypatch):
    monkeypatch.setattr(memory, "block_tensors", kept_by_the_measured_blocks)
    # Compiled blocks quantized their weights in every application.
    monkeypatch.setattr(memory, "quantizes_in_blocks", lambda config, compiled: compiled)
    config, tokens, changes, measured = MEASURED[name]
    assert peak_memory(Step(config, tokens, **changes)).allocated / GIB == pytest.approx(measured, rel=0.1)
