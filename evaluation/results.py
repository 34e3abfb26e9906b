"""The one form in which every benchmark's results are kept, and the comparison of two of them."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.text_files import read_text

SCHEMA_VERSION = 1
RESAMPLINGS = 10_000
Z = 1.959964  # of a normal distribution, 95 % lie within so many standard deviations
UNITS = {"perplexity": "texts", "performance_benchmarks": "rounds"}
"""The unit of a benchmark's values, where it is not problems."""


@dataclass(frozen=True)
class Interval:
    """
    A mean over problems (or texts, or rounds) with its 95 % confidence interval.

    Attributes:
        value: The mean.
        low, high: The limits; None where there is one value only, which says nothing of how others would be.
    """

    value: float
    low: float | None
    high: float | None

    def limits(self, format_spec: str) -> str:
        """The limits in words, each formatted so."""
        if self.low is None:
            return "none, of one value"
        return f"{self.low:{format_spec}} to {self.high:{format_spec}}"

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.limits('.4g')}]"


def share_interval(values: Sequence[float]) -> Interval:
    """
    The mean of shares with Wilson's interval for it, which has a width at 0 and at 1, too.

    Args:
        values: Of each problem 0 or 1, or a share: what an average over its samples, or pass@k, gives.

    Zeros and ones have Wilson's score interval for `n` trials. Shares vary less around the same mean, by a factor
    `ratio`, and count as `n / ratio` trials. The factor is taken with Wilson's own pseudo-observations, `Z**2` of
    them, half 0 and half 1: where all problems agree, their variance alone would claim certainty.

    Raises:
        ValueError: There are no values, or some are not from 0 to 1.
    """
    values = _checked(values)
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"shares must be from 0 to 1, got {values.min()} to {values.max()}")
    mean, pseudo = values.mean(), Z**2
    center = (values.sum() + pseudo / 2) / (values.size + pseudo)
    variance = ((values**2).sum() + pseudo / 2) / (values.size + pseudo) - center**2
    ratio = variance / (center * (1 - center))
    trials = values.size / ratio
    middle = (mean + pseudo / (2 * trials)) / (1 + pseudo / trials)
    width = Z * math.sqrt(mean * (1 - mean) / trials + pseudo / (4 * trials**2)) / (1 + pseudo / trials)
    # At 0 and 1 the formula gives these limits, up to rounding.
    low, high = (0.0 if mean == 0 else middle - width), (1.0 if mean == 1 else middle + width)
    return Interval(float(mean), float(low), float(high))


def share_difference(differences: Sequence[float]) -> Interval:
    """
    The mean of differences of shares, problem by problem, with the interval of `share_interval`, scaled: a problem
    that was not asked may differ as much as the one that differs most, in either direction; by 1 where none differs.

    Raises:
        ValueError: There are no differences, or some are not from -1 to 1.
    """
    differences = _checked(differences)
    most = float(abs(differences).max()) or 1.0
    if most > 1:
        raise ValueError(f"differences of shares must be from -1 to 1, got one of {most}")
    scaled = share_interval((differences / most + 1) / 2)
    return Interval(float(differences.mean()), most * (2 * scaled.low - 1), most * (2 * scaled.high - 1))


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """
    The mean of values without bounds, such as bits per byte, with percentiles 2.5 and 97.5 of the means of values
    drawn with replacement. For shares it would be empty where all are equal: see [`share_interval`].

    Raises:
        ValueError: There are no values, or some are not finite.
    """
    values = _checked(values)
    if values.size == 1:
        return Interval(float(values[0]), None, None)
    return Interval(float(values.mean()), *_percentiles(values, seed))


def _checked(values: Sequence[float]) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values must be finite and at least one, got {values.tolist()[:5]}")
    return values


def _percentiles(values: np.ndarray, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    # One resampling at a time: a matrix of all would be large where there are many problems.
    means = [values[generator.integers(values.size, size=values.size)].mean() for _ in range(RESAMPLINGS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Results:
    """
    What one benchmark found of one model.

    Attributes:
        benchmark: Such as "humaneval_rust"; also the file's name.
        model: Path, counted parameters, number of loops, exit settings.
        metrics: Means by their name, such as "pass@1".
        per_problem: For each metric its value by the problem's name; what a comparison pairs.
        verdicts: How often the verifier said what, where programs were verified; the metrics are shares then.
        details: What a benchmark found beyond its metrics, such as a curve.
        settings: Of the benchmark: sampling, seed, edition, source of the problems.
        versions: Of the compiler and the libraries.
        command: That makes these results again.
        seconds: Wall time.
    """

    benchmark: str
    model: Mapping[str, Any]
    metrics: Mapping[str, Interval]
    per_problem: Mapping[str, Mapping[str, float]]
    verdicts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    command: str = ""
    seconds: float = 0.0

    @property
    def num_problems(self) -> int:
        """Of the metric with the most."""
        return max((len(values) for values in self.per_problem.values()), default=0)

    @property
    def unit(self) -> str:
        """The unit that `num_problems` counts."""
        return UNITS.get(self.benchmark, "problems")

    def write(self, folder: Path) -> Path:
        """Into `folder`, as `benchmark.json`, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.benchmark}.json"
        unfinished = path.with_suffix(".json.new")
        content = {"schema_version": SCHEMA_VERSION, "num_problems": self.num_problems, **asdict(self)}
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(unfinished, path)
        return path

    @classmethod
    def read(cls, path: Path) -> "Results":
        """
        Raises:
            ValueError: The file cannot be read, or does not hold results of this form.
        """
        try:
            content = json.loads(read_text(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} must be a results file, got no JSON: {error}") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise ValueError(f"{path} must be a results file of schema_version {SCHEMA_VERSION}, got {version!r}")
        names = [each.name for each in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"{path} must hold the fields of a results file, it lacks {', '.join(missing)}")
        found = {name: content[name] for name in names}
        found["metrics"] = {name: Interval(**value) for name, value in content["metrics"].items()}
        if found["verdicts"]:
            # Older files have bootstrap intervals of shares, which are empty at 0 and 1.
            found["metrics"] = {
                name: share_interval(list(found["per_problem"][name].values())) for name in found["metrics"]
            }
        return cls(**found)


@dataclass(frozen=True)
class Difference:
    """
    One metric of two models on the same problems.

    Attributes:
        metric: Its name.
        first, second: The means.
        difference: Second minus first, with its confidence interval over the problems.
        p_value: Probability of a mean difference at least this large if each problem's difference were as likely to
            have the other sign (paired permutation test).
        num_problems: That were compared.
    """

    metric: str
    first: float
    second: float
    difference: Interval
    p_value: float
    num_problems: int


def compare(first: Results, second: Results, seed: int = 0) -> list[Difference]:
    """
    What two results of one benchmark differ in, problem by problem.

    Raises:
        ValueError: They are of different benchmarks, or have no metric on the same problems.
    """
    if first.benchmark != second.benchmark:
        raise ValueError(f"both results must be of one benchmark, got {first.benchmark} and {second.benchmark}")
    differences = []
    for metric, values in first.per_problem.items():
        others = second.per_problem.get(metric, {})
        if not values or values.keys() != others.keys():
            continue
        pairs = _checked([others[name] - value for name, value in values.items()])
        interval = share_difference(pairs) if first.verdicts else bootstrap(pairs, seed)
        differences.append(
            Difference(
                metric,
                float(np.mean(list(values.values()))),
                float(np.mean(list(others.values()))),
                interval,
                _permutation_test(pairs, seed),
                pairs.size,
            )
        )
    if not differences:
        raise ValueError("both results must have a metric on the same problems; were both run with the same settings?")
    return differences


def _permutation_test(differences: np.ndarray, seed: int) -> float:
    generator = np.random.default_rng(seed)
    observed = abs(differences.mean())
    signs = (generator.choice((-1.0, 1.0), size=differences.size) for _ in range(RESAMPLINGS))
    # Rounding must not make an equal mean a smaller one; the observed signs count as one of the permutations.
    reached = sum(abs((differences * sign).mean()) >= observed - 1e-12 for sign in signs)
    return (reached + 1) / (RESAMPLINGS + 1)
