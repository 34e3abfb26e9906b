"""The unbiased estimator of pass@k."""

from math import prod


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """
    Return the probability that at least one of `k` samples passes, drawn without replacement from `samples` of which
    `correct` pass: `1 - C(n - c, k) / C(n, k)` (Chen et al., 2021, arXiv 2107.03374, equation 1), as a stable product.

    Raises:
        ValueError: `k` or the counts are out of range.
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"correct must be from 0 to samples={samples}, got {correct}")
    if not 1 <= k <= samples:
        raise ValueError(f"k must be from 1 to the number of samples per problem, {samples}, got {k}")
    return 1.0 - prod(1.0 - k / size for size in range(samples - correct + 1, samples + 1))
