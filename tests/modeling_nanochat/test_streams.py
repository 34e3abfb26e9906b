"""Residual streams: exactly doubly stochastic, a plain residual if there is one, and alive if there are several."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.profiler import ProfilerActivity, profile

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.streams_nanochat import (
    LoopRMSNorm,
    ResidualStreams,
    collapse_streams,
    expand_streams,
    stream_divergence,
)
from tests.helpers.tiny import random_tokens, tiny_config, tiny_model


def make_streams(num_streams, dynamic, sublayer_index=0, hidden_size=8):
    streams = ResidualStreams(num_streams, hidden_size, sublayer_index, dynamic, 1e-6)
    streams.reset_parameters()
    return streams


@settings(max_examples=30)
@given(st.sampled_from([2, 4]), st.booleans(), st.integers(0, 2**16), st.floats(0.1, 20.0))
def test_the_residual_mixing_is_doubly_stochastic(num_streams, dynamic, seed, spread):
    torch.manual_seed(seed)
    module = make_streams(num_streams, dynamic)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, spread)
    pre, post, mixing = module.coefficients(torch.randn(num_streams, 2, 3, 8) * spread)
    assert (mixing >= 0).all()
    for dim in (-1, -2):
        torch.testing.assert_close(mixing.sum(dim), torch.ones_like(mixing.sum(dim)), atol=1e-6, rtol=0)
    assert ((pre >= 0) & (pre <= 1)).all() and ((post >= 0) & (post <= 2)).all()
    assert mixing.shape == ((2, 3) if dynamic else ()) + (num_streams, num_streams)


@pytest.mark.parametrize("num_streams", [2, 4])
@pytest.mark.parametrize("dynamic", [False, True])
def test_the_step_is_the_matrix_formula(num_streams, dynamic):
    torch.manual_seed(1)
    module = make_streams(num_streams, dynamic)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    branch = nn.Linear(8, 8)
    streams = torch.randn(num_streams, 2, 3, 8)
    pre, post, mixing = module.coefficients(streams)
    pre, post, mixing = pre.expand(2, 3, -1), post.expand(2, 3, -1), mixing.expand(2, 3, -1, -1)
    tokens = streams.permute(1, 2, 0, 3)
    output = branch((pre.unsqueeze(-2) @ tokens).squeeze(-2))
    expected = mixing @ tokens + post.unsqueeze(-1) * output.unsqueeze(-2)
    torch.testing.assert_close(module(streams, branch), expected.permute(2, 0, 1, 3))


@pytest.mark.parametrize("num_streams", [2, 4])
def test_the_coefficients_take_one_product_of_all_streams_in_fp32_also_under_autocast(num_streams):
    torch.manual_seed(2)
    module = make_streams(num_streams, dynamic=True, hidden_size=32)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    streams = torch.randn(num_streams, 2, 3, 32)
    expected = module.coefficients(streams)
    with torch.autocast("cpu", torch.bfloat16), profile(activities=[ProfilerActivity.CPU]) as profiler:
        found = module.coefficients(streams)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    products = [event for event in profiler.events() if event.name in ("aten::mm", "aten::addmm", "aten::bmm")]
    assert len(products) == 1


@pytest.mark.parametrize("num_streams", [2, 4])
def test_the_start_is_next_to_the_identity_and_staggered(num_streams):
    for index in range(2 * num_streams):
        pre, post, mixing = make_streams(num_streams, dynamic=False, sublayer_index=index).coefficients(
            torch.zeros(num_streams, 1, 1, 8)
        )
        assert (mixing.diagonal() > 0.98).all()
        assert pre.argmax() == post.argmax() == index % num_streams


class PlainBlock(nn.Module):
    """The textbook residual block over the same submodules."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, hidden_states, **kwargs):
        block = self.block
        hidden_states = hidden_states + block.self_attn(block.input_layernorm(hidden_states), **kwargs)[0]
        return hidden_states + block.mlp(block.post_attention_layernorm(hidden_states))


@torch.no_grad()
def test_one_stream_is_bit_for_bit_the_plain_residual_with_a_norm_between_loops():
    model, tokens = tiny_model(mhc_num_streams=1, activation_bits=8), random_tokens(2, 9)
    logits = model(tokens).logits
    hidden_states = model.model.embed_tokens(tokens)
    positions = torch.arange(9)[None]
    arguments = dict(position_embeddings=model.model.rotary_emb(hidden_states, positions), attention_mask=None)
    for loop in range(3):
        for block in model.model.layers:
            hidden_states = PlainBlock(block)(hidden_states, loop=loop, **arguments)
        hidden_states = model.model.norm(hidden_states)
    assert torch.equal(model.lm_head(hidden_states), logits)
    assert not any(isinstance(module, ResidualStreams) for module in model.modules())


@pytest.mark.slow
@pytest.mark.parametrize("num_streams", [2, 4])
@pytest.mark.parametrize("dynamic", [False, True])
def test_after_training_the_streams_differ_and_the_mixing_gets_a_gradient(num_streams, dynamic):
    torch.manual_seed(0)
    model = LoopLMForCausalLM(
        tiny_config(mhc_num_streams=num_streams, mhc_dynamic=dynamic, initializer_range=0.02, num_loops=2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(50):
        tokens = random_tokens(2, 4, seed=step).repeat(1, 3)
        optimizer.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        optimizer.step()

    sublayers = [module for module in model.modules() if isinstance(module, ResidualStreams)]
    num_mixing = sublayers[0].split_sizes[2]
    # With streams that stay equal these are rounding noise, up to 4e-9 here.
    assert max(module.bias.grad[-num_mixing:].abs().max() for module in sublayers) > 2e-7
    if dynamic:
        assert max(module.projection.grad[:, -num_mixing:].abs().max() for module in sublayers) > 2e-9
    captured = []
    for module in sublayers:
        module.register_forward_hook(lambda _, __, output: captured.append(output))
    model(tokens)
    spreads = [((x - x.mean(0)).square().mean() / x.square().mean()).sqrt() for x in captured]
    assert min(spreads) > 0.05, f"the streams stayed equal: relative spreads {spreads}"


def test_between_loops_all_streams_share_one_norm():
    streams = torch.randn(2, 3, 4, 8) * torch.tensor([1.0, 30.0])[:, None, None, None]
    normed = LoopRMSNorm(8, 1e-6)(streams, dim=(0, -1))
    torch.testing.assert_close(normed.square().mean((0, -1)), torch.ones(3, 4))
    torch.testing.assert_close(normed[1] / normed[0], streams[1] / streams[0])
    hidden_states = torch.randn(3, 4, 8)
    assert torch.equal(collapse_streams(expand_streams(hidden_states, 4), 4), hidden_states)


def test_padding_does_not_count_for_how_far_streams_are_apart():
    streams = torch.randn(2, 3, 4, 8)
    padded = torch.cat([torch.full((2, 3, 2, 8), 9.0), streams], dim=2)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1]]).expand(3, 6)
    torch.testing.assert_close(stream_divergence(padded, mask), stream_divergence(streams))


@pytest.mark.parametrize("dynamic", [False, True])
def test_mixing_stays_exact_in_a_bf16_model(dynamic):
    model = tiny_model(mhc_num_streams=4, mhc_dynamic=dynamic)
    module = model.bfloat16().model.layers[0].mlp_residual
    _, _, mixing = module.coefficients(torch.randn(4, 1, 5, 32, dtype=torch.bfloat16))
    assert mixing.dtype == torch.float32
    torch.testing.assert_close(mixing.sum(-1), torch.ones_like(mixing.sum(-1)), atol=1e-6, rtol=0)
