"""Advantages: their expectations are those of the formulas, by enumeration."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.reinforcement.advantages import ESTIMATORS, maxrl_advantages

COUNTS, RATES = (2, 8, 16), (0.002, 0.02, 0.2, 0.8)
# Weight of grad p: n, p -> unbiased, maxrl, and grpo with 1e-4 added to its deviation.
KNOWN = {
    (2, 0.002): (1.998, 1.0, 0.707),
    (2, 0.02): (1.98, 1.0, 0.707),
    (2, 0.2): (1.8, 1.0, 0.707),
    (2, 0.8): (1.2, 1.0, 0.707),
    (8, 0.002): (7.9442, 6.9581, 2.4672),
    (8, 0.02): (7.4618, 6.5937, 2.4063),
    (8, 0.2): (4.1611, 3.9514, 1.9702),
    (8, 0.8): (1.25, 1.25, 1.9702),
    (16, 0.002): (15.7622, 14.7918, 3.7206),
    (16, 0.02): (13.8101, 13.0715, 3.4874),
    (16, 0.2): (4.8593, 4.8241, 2.2711),
    (16, 0.8): (1.25, 1.25, 2.2711),
}


def weight_of_gradient(n: int, p: float, estimator: str) -> float:
    """What multiplies grad p in the expected gradient, from the advantages of every number of successes."""
    total = 0.0
    for k in range(n + 1):
        group = torch.tensor([[1.0] * k + [0.0] * (n - k)], dtype=torch.float64)
        advantages = maxrl_advantages(group, estimator)[0]
        # E[score | success] = grad p / p and E[score | failure] = -grad p / (1 - p).
        gradient = advantages[:k].sum() / p - advantages[k:].sum() / (1 - p)
        total += math.comb(n, k) * p**k * (1 - p) ** (n - k) * gradient.item() / n
    return total


def order(n: int, p: float) -> float:
    """The weight of order T = n: (1 - (1 - p)^n) / p."""
    return -math.expm1(n * math.log1p(-p)) / p


def grpo(n: int, p: float) -> float:
    """The same for GRPO: sqrt((n - 1)/n) E[sqrt(m(1 - m))] / (p(1 - p)), m the share of successes."""
    spread = [math.comb(n, k) * p**k * (1 - p) ** (n - k) * math.sqrt(k / n * (1 - k / n)) for k in range(n + 1)]
    return math.sqrt((n - 1) / n) * sum(spread) / (p * (1 - p))


@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("p", RATES)
def test_expected_gradient_has_the_weight_of_the_closed_form(n: int, p: float):
    assert weight_of_gradient(n, p, "maxrl") == pytest.approx(order(n - 1, p), rel=1e-9)
    assert weight_of_gradient(n, p, "maxrl_unbiased") == pytest.approx(order(n, p), rel=1e-9)
    assert weight_of_gradient(n, p, "maxrl_nobaseline") == pytest.approx(order(n, p), rel=1e-9)
    assert weight_of_gradient(n, p, "rloo") == pytest.approx(1, rel=1e-9)
    assert weight_of_gradient(n, p, "sft") == pytest.approx(1, rel=1e-9)
    assert weight_of_gradient(n, p, "grpo") == pytest.approx(grpo(n, p), rel=1e-9)
    known = dict(zip(("maxrl_unbiased", "maxrl", "grpo"), KNOWN[n, p], strict=True))
    assert known == {name: pytest.approx(weight_of_gradient(n, p, name), rel=1e-3) for name in known}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradient_of_a_bandit_over_all_groups_is_the_weight_times_grad_p(estimator: str):
    """Four arms of which two succeed, groups of three: all 64 with their probabilities."""
    logits = torch.tensor([0.3, -1.0, 0.5, -0.2], dtype=torch.float64, requires_grad=True)
    succeeds, n = torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64), 3
    log_probabilities = logits.log_softmax(0)
    p = (log_probabilities.exp() * succeeds).sum()
    expected = torch.autograd.grad(p, logits, retain_graph=True)[0] * weight_of_gradient(n, p.item(), estimator)

    arms = torch.tensor(list(itertools.product(range(4), repeat=n)))
    advantages = maxrl_advantages(succeeds[arms], estimator)
    chosen = log_probabilities[arms]
    objective = (chosen.sum(dim=1).exp().detach() * (advantages * chosen).mean(dim=1)).sum()
    gradient = torch.autograd.grad(objective, logits)[0]
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, math.nan]), min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from(ESTIMATORS),
)
def test_what_was_not_judged_changes_nothing_but_n(groups: list[list[float]], estimator: str):
    success = torch.tensor(groups)
    advantages = maxrl_advantages(success, estimator)
    for row, group in zip(advantages, success, strict=True):
        judged = ~group.isnan()
        assert (row[~judged] == 0).all()
        if judged.sum() >= 2:
            torch.testing.assert_close(row[judged], maxrl_advantages(group[judged][None], estimator)[0])
        else:
            assert (row == 0).all()


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6), st.integers(1, 6), st.floats(0, 0.99))
def test_quality_moves_weight_among_successes_only(quality: list[float], k: int, weight: float):
    success = torch.tensor([[1.0] * k + [0.0] * (6 - k)])
    advantages = maxrl_advantages(success, "maxrl", torch.tensor([quality]), weight)[0]
    assert advantages.sum().item() == pytest.approx(0, abs=1e-9)
    assert (advantages[k:] == -1).all()
    assert (advantages[:k] > -1).all()


def test_graded_rewards_have_the_advantages_of_grpo_and_no_others():
    share = torch.tensor([[0.0, 0.25, 1.0, 0.75], [1 / 3] * 3 + [math.nan], [0.1, 0.1, 0.1, math.nan]])
    advantages = maxrl_advantages(share, "grpo")
    expected = (share[0] - share[0].mean()) / share[0].std()
    torch.testing.assert_close(advantages[0].float(), expected)
    assert (advantages[1:] == 0).all(), "no variance, also where the mean is rounded"
    for estimator in set(ESTIMATORS) - {"grpo"}:
        with pytest.raises(ValueError, match=f"{estimator} is about success alone.*got 0.25"):
            maxrl_advantages(share, estimator)
    with pytest.raises(ValueError, match="from 0 to 1 or NaN; got 1.5"):
        maxrl_advantages(share * 1.5, "grpo")


def test_bad_input_is_refused_with_the_rule():
    with pytest.raises(ValueError, match="0, 1 or NaN.*got 0.5"):
        maxrl_advantages(torch.tensor([[0.5, 1.0]]))
    with pytest.raises(ValueError, match="n at least 2"):
        maxrl_advantages(torch.tensor([[1.0], [0.0]]))
    with pytest.raises(ValueError, match="estimator must be one of"):
        maxrl_advantages(torch.zeros(1, 2), "ppo")
    with pytest.raises(ValueError, match="quality_weight must be at least 0 and below 1"):
        maxrl_advantages(torch.ones(1, 2), quality_weight=1.0)
    with pytest.raises(ValueError, match="quality must be from 0 to 1, got 2.0"):
        maxrl_advantages(torch.ones(1, 2), "maxrl", torch.full((1, 2), 2.0), 0.5)
