"""The form in which the results of every suite are kept, and the confidence intervals of their metrics."""

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
Z = 1.959964  # 97.5 % quantile of the standard normal distribution
UNITS_OF_EARLIER_FILES = {"perplexity": "texts", "performance_benchmarks": "rounds"}
"""Units by benchmark, for files from before the unit was a field; all others had problems."""


Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Interval:
    """
    A mean over problems (or texts, or rounds) with its 95 % confidence interval.

    Attributes:
        value: The mean.
        low, high: The limits; None for a single value, which has no spread.
    """

    value: float
    low: float | None
    high: float | None

    def limits(self, format_spec: str) -> str:
        """Return the limits in words, each formatted by `format_spec`."""
        if self.low is None:
            return "none, of one value"
        return f"{self.low:{format_spec}} to {self.high:{format_spec}}"

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.limits('.4g')}]"


def share_interval(given: Values) -> Interval:
    """
    Return the mean of shares with Wilson's interval, which has a width at 0 and at 1, too.

    Zeros and ones get Wilson's score interval for `n` trials. Shares vary less around the same mean, by a factor
    `ratio`, and count as `n / ratio` trials. The factor includes Wilson's pseudo-observations, `Z**2` of them, half 0
    and half 1; without them the interval would be empty where all problems have the same share.

    Args:
        given: For each problem 0 or 1, or a share: an average over its samples, or pass@k.

    Raises:
        ValueError: There are no values, or some are outside 0 to 1.
    """
    values = checked_values(given)
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


def share_difference(given: Values) -> Interval:
    """
    Return the mean of differences of shares, problem by problem, with the interval of `share_interval`, rescaled:
    another problem is assumed to differ, in either direction, at most as much as the one that differs most, or by 1
    where none differs.

    Raises:
        ValueError: There are no differences, or some are outside -1 to 1.
    """
    differences = checked_values(given)
    most = float(abs(differences).max()) or 1.0
    if most > 1:
        raise ValueError(f"differences of shares must be from -1 to 1, got one of {most}")
    scaled = share_interval((differences / most + 1) / 2)
    assert scaled.low is not None and scaled.high is not None, "an interval of shares has limits"
    return Interval(float(differences.mean()), most * (2 * scaled.low - 1), most * (2 * scaled.high - 1))


def bootstrap(given: Values, seed: int = 0) -> Interval:
    """
    Return the mean of unbounded values, such as bits per byte, with the percentiles 2.5 and 97.5 of the means of
    bootstrap samples. For shares this would be empty where all are equal: see `share_interval`.

    Raises:
        ValueError: There are no values, or some are not finite.
    """
    values = checked_values(given)
    if values.size == 1:
        return Interval(float(values[0]), None, None)
    return Interval(float(values.mean()), *_percentiles(values, seed))


def checked_values(given: Values) -> np.ndarray:
    """Return finite values as an array, (values,). Raises `ValueError` for others, or if there are none."""
    values = np.asarray(given, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"values must be finite and at least one, got {values.tolist()[:5]}")
    return values


def _percentiles(values: np.ndarray, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    # One at a time: a matrix of all bootstrap samples would be large for many problems.
    means = [values[generator.integers(values.size, size=values.size)].mean() for _ in range(RESAMPLINGS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Results:
    """
    Results of one suite on one model.

    Attributes:
        benchmark: Such as "humaneval_rust"; also the file's name.
        model: Path, number of parameters, number of loops, exit settings; see `describe`.
        metrics: Means by name, such as "pass@1".
        per_problem: For each metric its values by the problem's name; comparisons are paired by these.
        verdicts: Counts by the verifier's status, for programs; the metrics are shares then.
        details: Further results, such as a curve.
        settings: Of the suite: sampling, seed, edition, source of the problems.
        versions: Of the compiler and the libraries.
        command: Command that makes these results again.
        seconds: Wall-clock time.
        unit: What the values are measured over.
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
    unit: str = "problems"

    @property
    def num_problems(self) -> int:
        """Number of problems, or other units, of the metric with the most."""
        return max((len(values) for values in self.per_problem.values()), default=0)

    def write(self, folder: Path) -> Path:
        """Write `folder/benchmark.json`, complete or not at all; return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.benchmark}.json"
        unfinished = path.with_suffix(".json.new")
        content = {"schema_version": SCHEMA_VERSION, "num_problems": self.num_problems, **asdict(self)}
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        os.replace(unfinished, path)
        return path

    @staticmethod
    def files(folder: Path) -> "list[Path]":
        """
        Return the results files of a folder by name, with damaged ones.

        Left out are JSON files with fields, but without a `schema_version`, such as those of a model.
        """
        return [path for path in sorted(folder.glob("*.json")) if _may_be_results(path)]

    @classmethod
    def read(cls, path: Path) -> "Results":
        """
        Read a file that `write` wrote, also one of an earlier version.

        Raises:
            ValueError: The file cannot be read, or is no results file.
        """
        try:
            content = json.loads(read_text(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} must be a results file, got no JSON: {error}") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA_VERSION:
            raise ValueError(f"{path} must be a results file of schema_version {SCHEMA_VERSION}, got {version!r}")
        content.setdefault("unit", UNITS_OF_EARLIER_FILES.get(content.get("benchmark"), "problems"))
        names = [each.name for each in fields(cls)]
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"{path} must hold the fields of a results file, it lacks {', '.join(missing)}")
        found = {name: content[name] for name in names}
        found["metrics"] = {name: Interval(**value) for name, value in content["metrics"].items()}
        if found["verdicts"]:
            # Earlier files have bootstrap intervals of shares, which are empty at 0 and 1.
            found["metrics"] = {
                name: share_interval(list(found["per_problem"][name].values())) for name in found["metrics"]
            }
        return cls(**found)


def _may_be_results(path: Path) -> bool:
    try:
        content = json.loads(read_text(path))
    except ValueError:
        return True
    return not (isinstance(content, dict) and content and "schema_version" not in content)
