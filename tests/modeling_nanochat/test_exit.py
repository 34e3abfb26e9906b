"""The exit distribution: normalized, causal, and drawn by its loss to softmax(-CE / beta)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from modeling_nanochat.exit_nanochat import exit_entropy, exit_log_probabilities, mean_exit_loop
from modeling_nanochat.loss_nanochat import loop_loss
from tests.helpers.tiny import random_tokens, tiny_model


@settings(max_examples=50)
@given(
    loops=st.integers(1, 9),
    scale=st.floats(0, 200),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 2**16),
)
def test_the_distribution_sums_to_one_and_equals_the_product_form(loops, scale, dtype, seed):
    logits = (torch.randn(4, loops, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)
    log_probs = exit_log_probabilities(logits)
    assert torch.isfinite(log_probs).all()
    torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(4), atol=1e-5, rtol=0)
    hazards = logits.double().sigmoid()
    hazards[:, -1] = 1
    survival = torch.cat([torch.ones(4, 1), (1 - hazards).cumprod(-1)[:, :-1]], dim=-1)
    torch.testing.assert_close(log_probs.exp().double(), hazards * survival, atol=1e-5, rtol=0)
    entropy = exit_entropy(log_probs)
    assert ((entropy >= -1e-6) & (entropy <= torch.tensor(float(loops)).log() + 1e-5)).all()


def test_the_last_hazard_has_no_effect():
    logits = torch.randn(3, 4)
    changed = logits.clone()
    changed[:, -1] = 50
    assert torch.equal(exit_log_probabilities(logits), exit_log_probabilities(changed))


def test_the_mean_exit_loop_counts_from_one():
    assert torch.equal(
        mean_exit_loop(torch.tensor([[1.0, 0, 0], [0, 0, 1], [0.5, 0, 0.5]])), torch.tensor([1.0, 3, 2])
    )


def test_descent_on_the_gate_alone_reaches_softmax_of_minus_ce_over_beta():
    beta, generator = 0.3, torch.Generator().manual_seed(0)
    states = tuple(torch.randn(1, 5, 8, generator=generator) * 0.3 for _ in range(4))
    head, labels = nn.Linear(8, 12, bias=False), torch.randint(0, 12, (1, 5), generator=generator)
    torch.nn.init.normal_(head.weight, generator=generator)
    cross_entropy = torch.stack(
        [F.cross_entropy(head(h)[0], labels[0], reduction="none").detach() for h in states], -1
    )
    logits = torch.zeros(1, 5, 4, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=300, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = loop_loss(states, head, labels, exit_log_probabilities(logits), "expected", beta).loss
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = torch.softmax(-cross_entropy / beta, dim=-1)
    assert expected.std(dim=-1).max() > 0.1, "a uniform optimum would prove nothing"
    torch.testing.assert_close(exit_log_probabilities(logits)[0].exp(), expected, atol=2e-3, rtol=0)


@pytest.mark.parametrize("num_streams", [1, 4])
@torch.no_grad()
def test_the_gate_does_not_see_later_tokens(num_streams):
    model = tiny_model(mhc_num_streams=num_streams)
    tokens = random_tokens(2, 10)
    changed = tokens.clone()
    changed[:, 6:] = random_tokens(2, 4, seed=1)
    before, after = model(tokens).exit_pdf, model(changed).exit_pdf
    torch.testing.assert_close(before[:, :6], after[:, :6], atol=1e-6, rtol=0)
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@torch.no_grad()
def test_the_temperature_divides_the_gate():
    tokens = random_tokens(1, 5)
    cold, hot = tiny_model()(tokens), tiny_model(exit_temperature=4.0)(tokens)
    torch.testing.assert_close(cold.gate_logits / 4, hot.gate_logits)


@torch.no_grad()
def test_the_output_tells_the_depth_of_every_token():
    model, tokens = tiny_model(), random_tokens(2, 5)
    for arguments, depth in (({}, 3), (dict(num_loops=5), 5), (dict(exit_at_loop=2), 2)):
        output = model(tokens, **arguments, output_loop_states=True)
        assert output.exit_pdf.shape == (2, 5, depth) and len(output.loop_hidden_states) == depth
        assert torch.equal(output.loops_used, torch.full((2, 5), depth))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(num_loops=0), "num_loops must be an integer >= 1, got 0"),
        (dict(num_loops=2.0), "num_loops must be an integer >= 1, got 2.0"),
        (dict(exit_at_loop=4), "exit_at_loop must be an integer from 1 to num_loops=3, got 4"),
        (dict(exit_at_loop=0), "exit_at_loop must be an integer from 1 to num_loops=3, got 0"),
    ],
)
def test_an_impossible_depth_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(random_tokens(1, 3), **arguments)
