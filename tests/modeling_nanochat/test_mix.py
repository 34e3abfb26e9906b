"""Ternary layers between float and ternary: exact at both ends, one gradient, and nothing of it outside training."""

import copy
import pickle

import pytest
import torch
from torch._dynamo.utils import counters
from torch.nn import functional as F

from modeling_nanochat.mix_nanochat import TernaryMix
from modeling_nanochat.ternary_nanochat import BitLinear, quantize_activation, quantize_weight
from tests.helpers.tiny import random_tokens, tiny_model

TOKENS = random_tokens(2, 10)
HALF = (0.5, 0.75, 0.5)


def mixed_model(*shares, **settings):
    """A model in training mode, whose layers all have these shares."""
    model = tiny_model(activation_bits=8, **settings).train()
    mix = TernaryMix.on(torch.device("cpu"))
    mix.set(*shares)
    for layer in model.model.ternary_layers():
        layer.mix = mix
    return model, mix


def gradients(model):
    model.zero_grad()
    output = model(TOKENS, labels=TOKENS, use_cache=False, return_logits=True)
    output.loss.backward()
    return {"logits": output.logits.detach()} | {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("shares, ternary", [((0, 1, 0), False), ((1, 0, 1), True)])
def test_both_ends_of_the_mix_are_the_float_and_the_ternary_model_bit_by_bit(shares, ternary):
    model, _ = mixed_model(*shares)
    end = tiny_model(activation_bits=8, ternary=ternary).train()
    end.load_state_dict(model.state_dict())
    found, expected = gradients(model), gradients(end)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradient_of_the_latent_weight_is_that_of_the_weight_times_both_shares(dtype):
    layer = BitLinear(32, 8, group_size=16).train()
    layer.mix = TernaryMix.on(torch.device("cpu"))
    layer.mix.set(*HALF)
    inputs = torch.randn(4, 32, requires_grad=True)
    rounded = quantize_activation(inputs.detach(), torch.float32)
    middle = (inputs.detach() + 0.5 * (rounded - inputs.detach())).to(dtype).requires_grad_()
    latent = layer.weight.detach()
    weight = (0.5 * quantize_weight(latent, 16) + 0.75 * latent).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        found = layer(inputs)
    expected = F.linear(middle, weight)
    torch.testing.assert_close(found, expected)
    gradient = torch.randn(4, 8).to(dtype)
    found.backward(gradient)
    expected.backward(gradient)
    torch.testing.assert_close(layer.weight.grad, 1.25 * weight.grad.float())
    torch.testing.assert_close(inputs.grad, middle.grad.float())


@pytest.mark.parametrize("granularity, reentrant", [("selective", False), ("loop", False), ("layer", True)])
def test_recomputed_activations_are_those_of_the_mix(granularity, reentrant):
    expected = gradients(mixed_model(*HALF)[0])
    model, _ = mixed_model(*HALF)
    model.activation_checkpointing_enable({"use_reentrant": reentrant, "granularity": granularity})
    if reentrant:
        model.enable_input_require_grads()
    found = gradients(model)
    for name in expected:
        # Reentrant checkpoints add the gradients of the loops in another order.
        torch.testing.assert_close(found[name], expected[name], atol=2e-6 * reentrant, rtol=1e-4 * reentrant)


def test_compiled_blocks_see_new_shares_without_another_compilation():
    torch._dynamo.reset()
    counters.clear()
    settings = dict(initializer_range=0.02, num_loops=2, mhc_num_streams=1)
    model, mix = mixed_model(0, 1, 0, **settings)
    eager, eager_mix = mixed_model(0, 1, 0, **settings)
    model.compile_blocks(backend="eager")
    for step in range(3):
        for each in (mix, eager_mix):
            each.set(step / 3, 1 - step / 3, step / 3)
        found, expected = gradients(model), gradients(eager)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-3)
    assert counters["stats"]["unique_graphs"] == 2  # of the block and of its weights


@torch.no_grad()
def test_outside_training_a_model_in_the_middle_is_the_ternary_one_and_is_packed_and_saved_as_such(tmp_path):
    model, _ = mixed_model(*HALF)
    plain = tiny_model(activation_bits=8)
    assert model.state_dict().keys() == plain.state_dict().keys()
    expected, trained = plain(TOKENS).logits, model(TOKENS).logits
    assert not torch.allclose(trained, expected)
    # With weights that are kept for several passes, too.
    with model.model.cached_weights():
        assert torch.equal(model(TOKENS).logits, trained)
        assert torch.equal(model.eval()(TOKENS).logits, expected)
        assert torch.equal(model.train()(TOKENS).logits, trained)
    assert torch.equal(model.pack()(TOKENS).logits, expected)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(TOKENS).logits, trained)
        assert torch.equal(twin.eval()(TOKENS).logits, expected)
