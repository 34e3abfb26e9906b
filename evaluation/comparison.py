"""The paired comparison of two results."""

import json
from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from evaluation.models.digest import differing_digests
from evaluation.results import RESAMPLINGS, Interval, Results, bootstrap, checked_values, share_difference
from evaluation.suites.registry import suite_of

MODE = {"mode": "base", "instruction": None, "chat_template_sha256": None, "token_healing": False}
"""Settings that say how a model was asked, with their values in files of earlier versions."""


@dataclass(frozen=True)
class Difference:
    """
    Difference of one metric between two results on the same problems.

    Attributes:
        metric: Name of the metric.
        first, second: The means.
        difference: Second minus first, with its confidence interval over the problems.
        p_value: Of a paired permutation test: probability of a mean difference at least this large if each problem's
            difference had either sign with equal probability.
        num_problems: Number of problems that were compared.
    """

    metric: str
    first: float
    second: float
    difference: Interval
    p_value: float
    num_problems: int


def compare_results(first: Results, second: Results, seed: int = 0) -> list[Difference]:
    """
    Compare two results of one benchmark, problem by problem.

    Args:
        first, second: Results of two models, or of one model with two settings.
        seed: Of the bootstrap and the permutation test.

    Returns:
        A difference for each metric that both have on some problems, over the problems that both have.

    Raises:
        ValueError: They are of different benchmarks, have no metric on the same problems, or are of one model that has
            changed between them.
    """
    if first.benchmark != second.benchmark:
        raise ValueError(f"both results must be of one benchmark, got {first.benchmark} and {second.benchmark}")
    if differing_digests(first.model, second.model):
        raise ValueError(
            f"both results are of {first.model['path']}, but its weights have changed between them (SHA-256 "
            f"{first.model['digest']} and {second.model['digest']}): keep each model in a folder of its own, and "
            "evaluate both again"
        )
    shares = suite_of(first.benchmark).has_shares(first)
    differences = []
    for metric, values in first.per_problem.items():
        others = second.per_problem.get(metric, {})
        shared = [name for name in values if name in others]
        if not shared:
            continue
        ours, theirs = [values[name] for name in shared], [others[name] for name in shared]
        pairs = checked_values([after - before for before, after in zip(ours, theirs, strict=True)])
        interval = share_difference(pairs) if shares else bootstrap(pairs, seed)
        differences.append(
            Difference(
                metric,
                float(np.mean(ours)),
                float(np.mean(theirs)),
                interval,
                _permutation_test(pairs, seed),
                pairs.size,
            )
        )
    if not differences:
        raise ValueError(
            f"both results must have a metric on the same problems, got {_metrics(first)}, and {_metrics(second)}"
        )
    return differences


def _permutation_test(differences: np.ndarray, seed: int) -> float:
    generator = np.random.default_rng(seed)
    observed = abs(differences.mean())
    signs = (generator.choice((-1.0, 1.0), size=differences.size) for _ in range(RESAMPLINGS))
    # The tolerance keeps equal means equal after rounding; the observed signs count as one permutation.
    reached = sum(abs((differences * sign).mean()) >= observed - 1e-12 for sign in signs)
    return (reached + 1) / (RESAMPLINGS + 1)


def _metrics(results: Results) -> str:
    return ", ".join(f"{name} of {len(values):,} {results.unit}" for name, values in results.per_problem.items())


def differing_modes(first: Results, second: Results) -> list[str]:
    """Return a sentence for each setting by which the two models were asked in different ways, or other problems."""
    found = []
    counts = first.num_problems, second.num_problems
    if counts[0] != counts[1]:
        found.append(f"The results have {counts[0]:,} and {counts[1]:,} {first.unit}; those of both are compared")
    loops = [each.model.get("num_loops") for each in (first, second)]
    if loops[0] != loops[1]:
        found.append(f"The models ran different numbers of loops: {' and '.join(map(json.dumps, loops))}")
    for name, default in MODE.items():
        values = [each.settings.get(name, default) for each in (first, second)]
        if values[0] != values[1]:
            words = " and ".join(map(json.dumps, values))
            found.append(f"The models were asked in different ways: {name} {words}")
    return found


def comparison_table(first: Results, differences: list[Difference], title: str) -> Table:
    """Return the differences as a table; `first` says what the values are measured over."""
    table = Table(title=Text(title))
    for column in ("metric", first.unit, "first", "second", "second - first", "95 % interval", "p"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for found in differences:
        table.add_row(
            found.metric,
            str(found.num_problems),
            f"{found.first:.4f}",
            f"{found.second:.4f}",
            f"{found.difference.value:+.4f}",
            found.difference.limits("+.4f"),
            f"{found.p_value:.4f}",
        )
    return table
