"""Selective checkpointing recomputes no product, keeps only what it says, and changes no gradient."""

from collections import Counter

import pytest
import torch
from torch._dynamo.utils import counters
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils._python_dispatch import TorchDispatchMode

from tests.helpers.tiny import random_tokens, tiny_model

TOKENS = random_tokens(2, 32)
SELECTIVE = {"granularity": "selective"}


def model_with(granularity, **overrides):
    model = tiny_model(**overrides).train()
    if granularity is not None:
        model.activation_checkpointing_enable({"use_reentrant": False, "granularity": granularity})
    return model


def loss_of(model, tokens=TOKENS, bf16=False):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        return model(tokens, labels=tokens, use_cache=False).loss


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_equal(found, expected):
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


class Operations(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


def bytes_kept_for_backward(model):
    tracker = MemTracker()
    with tracker:
        loss = loss_of(model)
        (snapshot,) = tracker.get_tracker_snapshot("current").values()
        kept = next(value for kind, value in snapshot.items() if str(kind).endswith("ACT"))
        loss.backward()
    return kept


def bytes_by_formula(model):
    """Bytes per token and application of a block in fp32, by the docstring of `checkpoint_selectively`."""
    config = model.config
    key_value_heads, head_dim = config.head_sizes()
    query, key = config.num_attention_heads * head_dim, key_value_heads * head_dim
    n, hidden_size = config.mhc_num_streams, config.hidden_size
    numbers = n * hidden_size + 2 * query + 2 * key + hidden_size + 2 * config.intermediate_size
    numbers += config.num_attention_heads
    if n > 1 or config.sandwich_norm:
        numbers += hidden_size
    return 4 * numbers


@pytest.mark.parametrize(
    "bf16, overrides",
    [
        (False, dict(mhc_num_streams=1, activation_bits=8)),
        (True, dict(mhc_num_streams=1, sandwich_norm=True)),
        (True, dict(mhc_num_streams=2, ternary=False)),
        (True, dict(mhc_num_streams=1, attention_bias="qkvo", qk_norm=True)),
        (False, dict(mhc_num_streams=2, mhc_dynamic=False)),
        (True, dict(mhc_num_streams=4, activation_bits=8)),
    ],
)
def test_gradients_accumulated_over_batches_are_those_without_recomputation(bf16, overrides):
    models = [model_with(granularity, **overrides) for granularity in (None, "selective")]
    for model in models:
        for tokens in TOKENS.split(1):
            loss_of(model, tokens, bf16).backward()
    assert_equal(*(gradients(model) for model in reversed(models)))


@pytest.mark.parametrize("streams", [1, 2])
def test_backward_computes_no_product_with_a_weight_and_no_attention_again(streams):
    products, attentions = {}, {}
    for granularity in (None, "selective", "layer"):
        loss = loss_of(model_with(granularity, mhc_num_streams=streams))
        with Operations() as operations:
            loss.backward()
        products[granularity] = operations.counts["aten::mm"]
        attentions[granularity] = sum("attention" in name for name in operations.counts.elements())
        norms = operations.counts["aten::rsqrt"]
        assert (norms > 0) == (granularity is not None)
    assert products["selective"] == products[None] < products["layer"]
    assert attentions["selective"] == attentions[None] < attentions["layer"]


@pytest.mark.parametrize("streams", [1, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", [None, pytest.param("aot_eager_decomp_partition", marks=pytest.mark.slow)])
def test_the_blocks_keep_exactly_the_documented_bytes(streams, backend):
    kept = {}
    for granularity in (None, "selective", "layer") if backend is None else ("selective",):
        sizes = []
        for layers in (1, 2):
            torch._dynamo.reset()
            # Of ternary weights, the quantized ones are kept besides, once for all loops.
            model = model_with(granularity, num_shared_layers=layers, ternary=False, mhc_num_streams=streams)
            if backend is not None:
                model.compile_blocks(backend=backend)
            sizes.append(bytes_kept_for_backward(model))
        kept[granularity] = (sizes[1] - sizes[0]) / (TOKENS.numel() * model.config.num_loops)
    assert kept["selective"] == bytes_by_formula(model)
    if backend is None:
        assert kept["layer"] < kept["selective"] < 0.75 * kept[None]


@pytest.mark.slow
def test_one_compiled_graph_serves_all_layers_and_loops_with_the_gradients_of_eager_blocks():
    torch._dynamo.reset()
    counters.clear()
    expected, model = model_with(None), model_with("selective")
    model.compile_blocks(backend="aot_eager_decomp_partition")
    loss_of(expected).backward()
    loss_of(model).backward()
    assert counters["stats"]["unique_graphs"] == 2  # of the blocks, and of the rounding of their weights
    for name, value in gradients(expected).items():
        assert (gradients(model)[name] - value).norm() <= 2e-5 * value.norm() + 1e-7, name


def test_an_evaluation_between_forward_and_backward_changes_nothing():
    expected, model = model_with(None), model_with("selective")
    loss_of(expected).backward()
    loss = loss_of(model)
    with torch.no_grad():
        loss_of(model.eval())
    loss.backward()
    assert_equal(gradients(model), gradients(expected))


def test_a_retained_graph_can_be_used_again():
    expected, model = model_with(None), model_with("selective")
    for each in (expected, model):
        loss = loss_of(each)
        loss.backward(retain_graph=True)
        loss.backward()
    assert_equal(gradients(model), gradients(expected))


def test_the_last_call_decides_on_the_granularity():
    model = tiny_model().train()
    seen = []
    for granularity in ("loop", "selective", None, "loop", "off"):
        if granularity == "off":
            model.activation_checkpointing_disable()
        else:
            model.activation_checkpointing_enable(None if granularity is None else {"granularity": granularity})
        seen.append((model.is_activation_checkpointing, model.model.checkpoint_loops, model.model.layers[1].selective))
    on, off = True, False
    assert seen == [(on, on, off), (on, off, on), (on, off, off), (on, on, off), (off, off, off)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"granularity": "token"}, "granularity must be one of layer, loop, group, selective, got 'token'"),
        (SELECTIVE | {"use_reentrant": True}, "selective has no option but use_reentrant=False, got .*True"),
        (SELECTIVE | {"context_fn": None}, "selective has no option but use_reentrant=False, got .*context_fn"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_model().activation_checkpointing_enable(options)
