"""Ternary weights: exact scales, straight-through gradients, and a quantized copy that is never stale."""

import copy
import gc
import pickle
import weakref
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling_nanochat import layers_nanochat, ternary_nanochat
from modeling_nanochat.ternary_nanochat import (
    BitLinear,
    quantize_activation,
    quantize_weight,
    shared_input,
    ternary_codes,
)
from tests.helpers.tiny import random_tokens, tiny_model

magnitudes = st.floats(min_value=-30, max_value=4).map(lambda exponent: 10.0**exponent)


@settings(max_examples=60)
@given(magnitude=magnitudes, group_size=st.sampled_from([4, 8, 16, -1]), seed=st.integers(0, 2**16))
def test_the_weight_is_code_times_a_scale_that_bf16_and_fp16_hold_exactly(magnitude, group_size, seed):
    weight = torch.randn(6, 16, generator=torch.Generator().manual_seed(seed)) * magnitude
    codes, scales = ternary_codes(weight, group_size)
    assert set(codes.unique().tolist()) <= {-1, 0, 1}
    assert torch.equal(scales.bfloat16().float(), scales) and torch.equal(scales.half().float(), scales)
    groups = codes.float().view(1, -1) if group_size == -1 else codes.float().view(6, -1, group_size)
    expected = (groups * (scales if group_size == -1 else scales[..., None])).view(6, 16)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(quantize_weight(weight, group_size, dtype).float(), expected)


@given(st.lists(st.floats(2.0**-14, 65000, width=32), min_size=1, max_size=9))
def test_the_scale_is_the_mean_magnitude_rounded_to_bf16(magnitudes):
    # A group of one: its mean is exact.
    weight = torch.tensor(magnitudes)[:, None]
    _, scales = ternary_codes(-weight, 1)
    assert torch.equal(scales, weight.bfloat16().float())


def test_each_group_has_its_own_scale_along_the_input():
    weight = torch.tensor([[1.0, -1.0, 100.0, -100.0], [0.5, 0.5, 2.0, -2.0]])
    assert torch.equal(quantize_weight(weight, 2), weight)
    assert torch.equal(ternary_codes(weight, 2)[1], torch.tensor([[1.0, 100.0], [0.5, 2.0]]))


def test_groups_of_zeros_stay_exactly_zero():
    weight = torch.tensor([[0.0] * 4 + [1.0] * 4])
    assert torch.equal(quantize_weight(weight, 4), weight)
    assert torch.equal(quantize_weight(torch.zeros(2, 4), -1), torch.zeros(2, 4))


def test_a_group_below_the_smallest_scale_keeps_signs_only_above_half_of_it():
    smallest = ternary_nanochat.SMALLEST_SCALE
    weight = torch.tensor([[0.9 * smallest, -0.9 * smallest, 0.1 * smallest, 0.0]])
    assert torch.equal(quantize_weight(weight, 4), torch.tensor([[smallest, -smallest, 0.0, 0.0]]))
    assert torch.equal(quantize_weight(torch.full((1, 4), 1e-42), 4), torch.zeros(1, 4))


def test_a_group_size_that_does_not_divide_is_refused_by_name():
    with pytest.raises(ValueError, match="ternary_group_size must divide .* got ternary_group_size=5"):
        quantize_weight(torch.zeros(2, 16), 5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_passes_the_rounding_unchanged(dtype, compiled):
    def rounded(weight, inputs):
        return quantize_weight(weight, 4, dtype), quantize_activation(inputs, dtype)

    torch._dynamo.reset()
    weight = torch.tensor([[0.01, -5.0, 0.3, 0.0]], requires_grad=True)
    inputs = torch.tensor([[0.01, -7.0, 0.3, 0.0]], requires_grad=True)
    gradient = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    results = (torch.compile(rounded, backend="eager") if compiled else rounded)(weight, inputs)
    torch.autograd.backward(results, [gradient.to(dtype)] * 2)
    assert torch.equal(weight.grad, gradient) and torch.equal(inputs.grad, gradient)


def test_activations_are_rounded_to_255_levels_per_token():
    inputs = torch.tensor([[127.0, 1.4, -126.6], [0.0, 0.0, 0.0], [1e-9, 0.0, 0.0]])
    expected = torch.tensor([[127.0, 1.0, -127.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(quantize_activation(inputs), expected)
    tokens = torch.randn(5, 64)
    levels = quantize_activation(tokens) / (tokens.abs().amax(-1, keepdim=True) / 127)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def trained_once(model, dtype):
    """Logits and gradients, by name."""
    model.zero_grad()
    tokens = random_tokens(2, 12)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        output = model(tokens, labels=tokens, use_cache=False, return_logits=True)
    output.loss.backward()
    return {"logits": output.logits.detach()} | {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("granularity", [None, "selective", "loop"])
def test_rounding_an_input_once_for_its_layers_changes_no_bit(monkeypatch, granularity, dtype):
    model = tiny_model(mhc_num_streams=2, activation_bits=8).train()
    if granularity is not None:
        model.activation_checkpointing_enable({"use_reentrant": False, "granularity": granularity})
    once = trained_once(model, dtype)
    monkeypatch.setattr(layers_nanochat, "shared_input", nullcontext)
    each = trained_once(model, dtype)
    assert all(torch.equal(once[name], each[name]) for name in each | once)


def test_a_block_rounds_each_of_its_four_inputs_once(monkeypatch):
    model, rounded = tiny_model(num_shared_layers=1, num_loops=1, activation_bits=8), []
    original = ternary_nanochat.activation_levels
    monkeypatch.setattr(ternary_nanochat, "activation_levels", lambda *args: rounded.append(1) or original(*args))
    model(random_tokens(1, 6), use_cache=False)
    assert len(rounded) == 4


@torch.no_grad()
def test_an_input_that_was_changed_in_place_is_rounded_again():
    inputs = torch.tensor([[1.0, 0.5]])
    with shared_input():
        before = quantize_activation(inputs)
        inputs.mul_(2)
        assert torch.equal(quantize_activation(inputs), quantize_activation(inputs.clone()))
        assert not torch.equal(quantize_activation(inputs), before)
        assert quantize_activation(inputs, torch.bfloat16).dtype == torch.bfloat16


def test_nothing_of_a_shared_input_is_kept_after_an_error():
    inputs = torch.ones(1, 2)
    with pytest.raises(ZeroDivisionError), shared_input():
        quantize_activation(inputs)
        raise ZeroDivisionError
    held = weakref.ref(inputs)
    del inputs
    gc.collect()
    assert held() is None


@pytest.fixture
def count_quantizations(monkeypatch):
    calls = []
    original = ternary_nanochat.quantize_weight

    def counting(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr(ternary_nanochat, "quantize_weight", counting)
    return calls


def num_ternary_layers(model):
    return sum(isinstance(module, BitLinear) for module in model.modules())


@pytest.mark.parametrize("checkpointing", [False, True])
def test_training_quantizes_each_layer_once_per_pass_whatever_the_loops(count_quantizations, checkpointing):
    model = tiny_model(num_loops=4).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    tokens = random_tokens(1, 6)
    for _ in range(2):
        count_quantizations.clear()
        model(tokens, labels=tokens).loss.backward()
        assert len(count_quantizations) == num_ternary_layers(model)


@pytest.mark.parametrize("training", [False, True])
def test_generation_does_not_quantize_per_token(count_quantizations, training):
    model = tiny_model().train(training)
    model.generate(random_tokens(1, 4), max_new_tokens=6, do_sample=False)
    assert len(count_quantizations) == num_ternary_layers(model)


def change_behind_autograd(model):
    """As bitsandbytes' optimizers and PEFT's merges do: no version of the weight changes."""
    for parameter in model.parameters():
        parameter.data.mul_(-1.5)


@torch.no_grad()
def logits_of_a_fresh_copy(model, tokens):
    return copy.deepcopy(model).eval()(tokens).logits


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_kept_weight_is_never_stale(training, checkpointing):
    model, tokens = tiny_model().train(training), random_tokens(1, 6)
    if checkpointing:
        model.activation_checkpointing_enable()

    def assert_fresh():
        with torch.no_grad():
            assert torch.equal(model(tokens).logits, logits_of_a_fresh_copy(model, tokens))

    steps = [
        lambda: None,
        lambda: model.load_state_dict({name: value * -1 for name, value in model.state_dict().items()}),
        lambda: model.generate(tokens, max_new_tokens=2, do_sample=False),
        lambda: model(tokens, labels=tokens).loss.backward(),
        model.double,
    ]
    for step in steps:
        step()
        assert_fresh()
        change_behind_autograd(model)
        assert_fresh()


@torch.no_grad()
def test_weights_rest_until_the_last_caller_is_done_in_whichever_order_they_end():
    """As threads do that generate with one model."""
    model, tokens = tiny_model(), random_tokens(1, 6)
    layer = model.model.layers[0].mlp.up_proj
    first, second = model.model.cached_weights(), model.model.cached_weights()
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    model(tokens)
    assert layer._kept is not None
    second.__exit__(None, None, None)
    assert layer._kept is None
    for _ in range(2):
        change_behind_autograd(model)
        assert torch.equal(model(tokens).logits, logits_of_a_fresh_copy(model, tokens))


@pytest.mark.parametrize("use_reentrant", [None, False, True])
@pytest.mark.parametrize("other_pass", [torch.no_grad, torch.inference_mode])
def test_a_pass_without_gradients_before_backward_changes_no_gradient(use_reentrant, other_pass):
    model, tokens = tiny_model(mhc_num_streams=1).train(), random_tokens(1, 6)
    model(tokens, labels=tokens).loss.backward()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    if use_reentrant is not None:
        model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
        model.enable_input_require_grads()
    loss = model(tokens, labels=tokens).loss
    with other_pass():
        model(tokens)
        model.generate(tokens, max_new_tokens=2, do_sample=False)
    loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], atol=2e-6, rtol=1e-4)


def test_a_model_made_in_inference_mode_runs():
    with torch.inference_mode():
        model, tokens = tiny_model(), random_tokens(1, 6)
        assert model.generate(tokens, max_new_tokens=2, do_sample=False).shape == (1, 8)


def test_a_layer_called_on_its_own_after_a_pass_sees_the_new_weight():
    model, tokens = tiny_model(), random_tokens(1, 6)
    layer = model.model.layers[0].mlp.up_proj
    model(tokens)
    layer.weight.data.neg_()
    inputs = torch.randn(3, layer.in_features)
    expected = inputs @ quantize_weight(layer.weight, layer.group_size).t()
    torch.testing.assert_close(layer(inputs), expected)


def test_a_model_copies_and_pickles_after_a_training_pass():
    model, tokens = tiny_model().train(), random_tokens(1, 6)
    model(tokens, labels=tokens).loss.backward()
    expected = model.eval()(tokens).logits
    model.train()(tokens, labels=tokens)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.eval()(tokens).logits, expected)


def test_autocast_computes_with_the_same_ternary_weight():
    layer = BitLinear(32, 8, group_size=16)
    inputs = torch.randn(4, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = layer(inputs)
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), layer(inputs), atol=0.05, rtol=0.02)
