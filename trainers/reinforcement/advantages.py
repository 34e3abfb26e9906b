"""Advantages for groups of completions with binary success: MaxRL's, and those it is compared with."""

import torch

from trainers.reinforcement.choices import ESTIMATORS, Estimator


def maxrl_advantages(
    success: torch.Tensor,
    estimator: Estimator = "maxrl",
    quality: torch.Tensor | None = None,
    quality_weight: float = 0.0,
) -> torch.Tensor:
    """
    Return the advantage of each completion, for the policy gradient `mean_i A_i grad log pi(completion_i)`.

    With n completions of a prompt of which k succeed (arXiv 2602.02710; T is the truncation order of the
    log-likelihood of success that the expected gradient maximizes: `grad p` has the weight `(1 - (1 - p)^T) / p`):

    | estimator          | success               | failure     | k = 0    | k = n | expected T |
    |--------------------|-----------------------|-------------|----------|-------|------------|
    | `maxrl`            | n/k - 1               | -1          | 0        | 0     | n - 1      |
    | `maxrl_unbiased`   | n/k - 1               | -1          | -1 (all) | 0     | n          |
    | `maxrl_nobaseline` | n/k                   | 0           | 0        | 1     | n          |
    | `grpo`             | (1 - m)/s             | -m/s        | 0        | 0     | none       |
    | `rloo`             | (n - k)/(n - 1)       | -k/(n - 1)  | 0        | 0     | 1          |
    | `sft`              | 1                     | 0           | 0        | 1     | 1          |

    where m = k/n and s is the sample standard deviation. `maxrl` is the form that the paper's authors run,
    (r - mean)/mean. With two completions it is REINFORCE with a baseline, T = 1. `sft` is supervised fine-tuning on
    the policy's own successes (rejection sampling), each with the same weight. `grpo` also takes graded rewards r
    from 0 to 1, such as the share of the tests that pass: (r - mean)/s.

    Args:
        success: (groups, n), 0 or 1, with `grpo` from 0 to 1; NaN for a completion that could not be judged, which is
            not counted in n.
        estimator: A row of the table.
        quality: (groups, n) in [0, 1], for `maxrl` only: the successes of a group share its positive advantage in
            proportion to `1 + quality_weight (q - mean q of the successes)`. The sum over the group stays 0.
        quality_weight: At least 0 and below 1, so that the weights are positive.

    Returns:
        (groups, n) in float64; 0 for completions that could not be judged, and for groups in which fewer than two
        could.

    Raises:
        ValueError: A success is not as above; a group has fewer than two completions; the estimator is unknown;
            `quality` or `quality_weight` is out of range or not 0 with an estimator other than `maxrl`.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if success.dim() != 2 or success.shape[1] < 2:
        raise ValueError(f"success must be (groups, n) with n at least 2, got the shape {tuple(success.shape)}")
    success = success.double()
    judged = ~success.isnan()
    if estimator == "grpo":
        valid, rule = (success >= 0) & (success <= 1), "from 0 to 1 or NaN"
    else:
        valid = (success == 0) | (success == 1)
        rule = f"0, 1 or NaN: {estimator} is about success alone, not graded rewards, which only grpo takes"
    if not (valid | ~judged).all():
        raise ValueError(f"success must be {rule}; got {success[~valid & judged][0].item()}")
    if quality_weight and estimator != "maxrl":
        raise ValueError(f"quality_weight must be 0 with estimator={estimator}, got {quality_weight}")
    if not 0 <= quality_weight < 1:
        raise ValueError(f"quality_weight must be at least 0 and below 1, got {quality_weight}")

    success = success.nan_to_num(0.0)
    n = judged.sum(dim=1, keepdim=True).double()
    k = success.sum(dim=1, keepdim=True)
    # Avoids a division by 0; groups with k = 0 are set below.
    some = k.clamp(min=1)
    if estimator in ("maxrl", "maxrl_unbiased"):
        advantages = n / some * success - 1
        if quality is not None and quality_weight:
            advantages = n * _shares(success, quality, quality_weight) - 1
        if estimator == "maxrl":
            advantages = torch.where(k > 0, advantages, 0.0)
    elif estimator == "maxrl_nobaseline":
        advantages = n / some * success
    elif estimator == "sft":
        advantages = success
    else:
        mean = k / n.clamp(min=1)
        differences = torch.where(judged, success - mean, 0.0)
        deviation = (differences.square().sum(dim=1, keepdim=True) / (n - 1).clamp(min=1)).sqrt()
        # Rewards that are equal up to rounding have zero variance.
        varies = deviation > 1e-9
        scale = n / (n - 1).clamp(min=1) if estimator == "rloo" else varies / torch.where(varies, deviation, 1.0)
        advantages = differences * scale
    return torch.where(judged & (n >= 2), advantages, 0.0)


def _shares(success: torch.Tensor, quality: torch.Tensor, quality_weight: float) -> torch.Tensor:
    """Share of each success in its group; the shares of a group with a success sum to 1."""
    quality = quality.double()
    valid = (success == 0) | ((quality >= 0) & (quality <= 1))
    if not valid.all():
        raise ValueError(f"quality must be from 0 to 1, got {quality[~valid][0].item()}")
    quality = torch.where(success > 0, quality, 0.0)
    mean = quality.sum(dim=1, keepdim=True) / success.sum(dim=1, keepdim=True).clamp(min=1)
    weights = success * (1 + quality_weight * (quality - mean))
    total = weights.sum(dim=1, keepdim=True)
    return weights / torch.where(total > 0, total, 1.0)
