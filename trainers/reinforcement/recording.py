"""What MaxRL logs about the groups of a step."""

import torch

from evaluation.pass_at_k import pass_at_k


def group_metrics(groups: torch.Tensor) -> dict[str, float]:
    """
    Return success rate, pass@k, and the shares of zero-variance groups and of completions that could not be judged.

    Args:
        groups: (groups, n), the reward of each completion: 1 for a success, below 1 for others, NaN without a verdict.
    """
    size, known = groups.shape[1], ~groups.isnan()
    judged, solved = known.sum(dim=1).tolist(), (groups == 1).sum(dim=1).tolist()
    metrics = {"success_rate": sum(solved) / sum(judged) if sum(judged) else float("nan")}
    k = 1
    while k <= size:
        estimates = [pass_at_k(n, c, k) for n, c in zip(judged, solved, strict=True) if n >= k]
        metrics[f"pass@{k}"] = sum(estimates) / len(estimates) if estimates else float("nan")
        k *= 2
    count = len(groups)
    passed = sum(n > 0 and c == n for n, c in zip(judged, solved, strict=True)) / count
    metrics["groups/all_failed"] = sum(n > 0 and c == 0 for n, c in zip(judged, solved, strict=True)) / count
    metrics["groups/all_passed"] = passed
    # Graded rewards of failures may differ.
    lowest, highest = groups.nan_to_num(nan=float("inf")).amin(dim=1), groups.nan_to_num(nan=-float("inf")).amax(dim=1)
    metrics["groups/zero_variance"] = ((lowest == highest) & known.any(dim=1)).sum().item() / count
    metrics["unscorable"] = (~known).float().mean().item()
    return metrics
