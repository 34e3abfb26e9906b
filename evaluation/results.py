"""The one form in which every benchmark's results are kept, and the comparison of two of them."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

SCHEMA_VERSION = 1
RESAMPLINGS = 10_000


@dataclass(frozen=True)
class Interval:
    """
    A mean over problems with its 95 % confidence interval.

    Attributes:
        value: The mean.
        low, high: Percentiles 2.5 and 97.5 of the means of problems drawn with replacement.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """
    The mean of per-problem values with its bootstrap confidence interval.

    Raises:
        ValueError: There are no values, or some are not finite.
    """
    values = _checked(values)
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
        verdicts: How often the verifier said what, where programs were run.
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
            ValueError: The file does not hold results of this form.
        """
        try:
            content = json.loads(path.read_text())
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
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
        differences.append(
            Difference(
                metric,
                float(np.mean(list(values.values()))),
                float(np.mean(list(others.values()))),
                Interval(float(pairs.mean()), *_percentiles(pairs, seed)),
                _permutation_test(pairs, seed),
                pairs.size,
            )  # fmt: skip
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
