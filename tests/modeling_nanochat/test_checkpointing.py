"""Recomputing and compiling change what a step costs, never what it computes."""

import weakref

import pytest
import torch
from torch._dynamo.utils import counters
from torch.distributed._tools.mem_tracker import MemTracker
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from transformers import DynamicCache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modeling_nanochat.cache_nanochat import CACHE_NAME
from tests.helpers.tiny import random_tokens, tiny_model

TOKENS = random_tokens(4, 64)


def model_with(granularity, **overrides):
    model = tiny_model(**overrides).train()
    if granularity is not None:
        model.activation_checkpointing_enable({"use_reentrant": False, "granularity": granularity})
    return model


def gradients(model, **options):
    model.zero_grad()
    loss = model(TOKENS, labels=TOKENS, use_cache=False, **options).loss
    loss.backward()
    return {"loss": loss.detach()} | {name: parameter.grad for name, parameter in model.named_parameters()}


def assert_equal_up_to_rounding(found, expected):
    for name, value in expected.items():
        assert (found[name] - value).norm() <= 2e-5 * value.norm() + 1e-7, name


def bytes_kept_for_backward(model):
    tracker = MemTracker()
    with tracker:
        loss = model(TOKENS, labels=TOKENS, use_cache=False).loss
        (snapshot,) = tracker.get_tracker_snapshot("current").values()
        kept = next(value for kind, value in snapshot.items() if str(kind).endswith("ACT"))
        loss.backward()
    return kept


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("ternary", [True, False])
@pytest.mark.parametrize("granularity", ["layer", "loop", "group"])
def test_gradients_are_those_without_checkpointing(granularity, ternary, streams):
    shape = dict(mhc_num_streams=streams, ternary=ternary)
    expected, found = gradients(model_with(None, **shape)), gradients(model_with(granularity, **shape))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("kv_reuse", ["none", "last"])
def test_loops_that_run_again_in_backward_find_no_cache(kv_reuse):
    model, plain = model_with(None, kv_reuse=kv_reuse), model_with(None)
    model.model.checkpoint_loops = True
    output = model(TOKENS, labels=TOKENS)
    output.loss.backward()
    expected = gradients(plain)
    assert getattr(output, CACHE_NAME) is None
    assert all(torch.equal(value.grad, expected[name]) for name, value in model.named_parameters())
    with pytest.raises(ValueError, match="past_key_values must be None with checkpoint_loops=True"):
        model(TOKENS, past_key_values=DynamicCache(config=model.config))


@pytest.mark.slow
@pytest.mark.parametrize("streams", [1, 2])
def test_by_loop_only_the_states_at_the_loops_starts_are_kept(streams):
    shape = dict(num_shared_layers=3, num_loops=4, mhc_num_streams=streams, ternary=False)
    none, layer, loop = (bytes_kept_for_backward(model_with(name, **shape)) for name in (None, "layer", "loop"))
    state = streams * TOKENS.numel() * 32 * 4  # one residual state in fp32
    assert layer - loop == (4 * 3 - 4) * state
    assert none > 3 * layer


def largest_number_of_inputs(granularity, layers):
    """Largest number of inputs of layers, of one state each, that are held during backward."""
    model = model_with(granularity, num_shared_layers=layers, num_loops=1, ternary=False)
    held, largest = weakref.WeakSet(), 0
    blocks = [layer.block for layer in model.model.layers]

    def counting(block):
        def run(hidden_states, **kwargs):
            nonlocal largest
            held.add(hidden_states.untyped_storage())
            largest = max(largest, len(held))
            return block(hidden_states, **kwargs)

        return run

    for layer, block in zip(model.model.layers, blocks, strict=True):
        layer.block = counting(block)
    model(TOKENS, labels=TOKENS, use_cache=False).loss.backward()
    return largest


def test_in_groups_few_inputs_of_layers_are_held_at_once():
    assert largest_number_of_inputs("loop", 9) >= 9
    assert largest_number_of_inputs("group", 9) <= 3 + 3 + 1


@pytest.mark.slow
@pytest.mark.parametrize("layers, loops, backend", [(3, 2, "aot_eager"), (24, 4, "inductor")])
@pytest.mark.parametrize("streams, granularity", [(1, None), (2, "loop")])
def test_one_graph_serves_all_layers_and_any_number_of_loops(layers, loops, backend, streams, granularity):
    torch._dynamo.reset()
    counters.clear()
    # With the other tests' large weights, 96 block applications would amplify what compiled code rounds otherwise.
    shape = dict(num_shared_layers=layers, num_loops=loops, mhc_num_streams=streams, initializer_range=0.02)
    model = model_with(granularity, **shape)
    expected = gradients(model), gradients(model, num_loops=loops + 2)
    model.compile_blocks(backend=backend)
    found = gradients(model)
    assert counters["stats"]["unique_graphs"] == 2  # of the block and of its weights
    assert_equal_up_to_rounding(found, expected[0])
    found = gradients(model, num_loops=loops + 2)
    assert_equal_up_to_rounding(found, expected[1])
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("granularity", [None, "loop"])
def test_a_compiled_model_rounds_every_weight_once_whatever_the_number_of_loops(granularity):
    torch._dynamo.reset()
    model = model_with(granularity, mhc_num_streams=1)  # without quantized activations
    model.compile_blocks(backend="aot_eager")
    gradients(model)  # compiles
    for loops in (2, 4):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            gradients(model, num_loops=loops)
        rounded = [event for event in profiler.events() if event.name in ("aten::round", "aten::round_")]
        assert len(rounded) == len(model.model.ternary_layers())


@pytest.mark.slow
def test_a_compiled_block_sees_weights_that_changed():
    torch._dynamo.reset()
    model = model_with(None)
    model.compile_blocks(backend="aot_eager")
    before = gradients(model)["loss"]
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.mul_(1.5).add_(0.01)
    after, eager = gradients(model)["loss"], model_with(None)
    eager.load_state_dict(model.state_dict())
    assert after != before
    torch.testing.assert_close(after, gradients(eager)["loss"], atol=1e-5, rtol=1e-5)


def test_calls_with_a_cache_are_not_compiled():
    torch._dynamo.reset()
    counters.clear()
    model = tiny_model()
    expected = model.generate(TOKENS[:1, :8], max_new_tokens=4, do_sample=False)
    model.compile_blocks(backend="aot_eager")
    assert torch.equal(model.generate(TOKENS[:1, :8], max_new_tokens=4, do_sample=False), expected)
    assert counters["stats"]["unique_graphs"] == 0


def attention_by_documents(
    module, query, key, value, attention_mask, scaling, position_ids=None, cu_seq_lens_q=None, **kwargs
):
    """As flash attention, told where the documents of a row begin by nothing but its arguments."""
    place, document = torch.arange(query.shape[2]), torch.zeros(query.shape[2])
    if cu_seq_lens_q is not None:
        document = torch.searchsorted(cu_seq_lens_q, place, right=True)
    elif position_ids is not None:
        document = (position_ids[0] == 0).cumsum(0)
    mask = (document[:, None] == document) & (place[:, None] >= place)
    output = F.scaled_dot_product_attention(query, key, value, mask, scale=scaling, enable_gqa=True)
    return output.transpose(1, 2), None


@pytest.mark.parametrize("by_lengths", [False, True])
@torch.no_grad()
def test_documents_packed_in_a_row_do_not_mix_in_compiled_blocks(monkeypatch, by_lengths):
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "by_documents", attention_by_documents)
    model = tiny_model(num_shared_layers=1, num_loops=2, mhc_num_streams=1, ternary=False, use_cache=False)
    model.set_attn_implementation("by_documents")
    lengths, row = (24, 40), TOKENS[:1]
    places = torch.cat([torch.arange(length) for length in lengths])[None]
    arguments = {"position_ids": places}
    if by_lengths:
        ends = torch.tensor([0, 24, 64], dtype=torch.int32)
        arguments |= dict(cu_seq_lens_q=ends, cu_seq_lens_k=ends, max_length_q=40, max_length_k=40)
    alone = torch.cat([model(document).logits for document in row.split(lengths, dim=1)], dim=1)
    model.compile_blocks(backend="eager")
    torch.testing.assert_close(model(row, **arguments).logits, alone, atol=1e-5, rtol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1
