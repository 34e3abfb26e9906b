"""The result of the evaluation that closes a run."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation.results import Interval
from recipes.pipeline.stages.stage import Stage, StageResult


@dataclass(frozen=True, kw_only=True)
class Metric:
    """
    A metric of a suite.

    Attributes:
        benchmark: Name of the results.
        name: Of the metric.
        of: Number and unit of what it is a mean over.
        is_share: Whether it is a share from 0 to 1.
        interval: The mean with its 95 % interval.
    """

    benchmark: str
    name: str
    of: str
    is_share: bool
    interval: Interval

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Metric":
        """Return a metric as JSON keeps it."""
        interval = Interval(**values["interval"])
        return cls(
            benchmark=values["benchmark"],
            name=values["name"],
            of=values["of"],
            is_share=values["is_share"],
            interval=interval,
        )

    def row(self) -> tuple[str, str]:
        """Name and value for the closing table."""
        form = ".1%" if self.is_share else ".4f"
        return f"{self.benchmark}: {self.name}, {self.of}", f"{self.interval.value:{form}} ({self._limits(form)})"

    def _limits(self, form: str) -> str:
        return "no interval, of one value" if self.interval.low is None else self.interval.limits(form)


@dataclass(frozen=True, kw_only=True)
class Evaluated(StageResult):
    """
    Measurements of a run's last trained model.

    Attributes:
        stage: Stage whose model was measured.
        metrics: All metrics of the suites that ran.
        not_run: Reasons why other suites did not run, by name.
    """

    stage: str
    metrics: tuple[Metric, ...] = ()
    not_run: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # As they come out of JSON.
        metrics = tuple(each if isinstance(each, Metric) else Metric.from_json(each) for each in self.metrics)
        object.__setattr__(self, "metrics", metrics)

    def rows(self, stage: Stage) -> Iterator[tuple[str, str]]:
        for metric in self.metrics:
            yield metric.row()
        for suite, reason in self.not_run.items():
            yield f"{suite} did not run", reason

    def add_to(self, report: dict[str, Any], stage: Stage) -> None:
        report["evaluate"] = {
            "stage": self.stage,
            "metrics": [asdict(metric) for metric in self.metrics],
            "not_run": dict(self.not_run),
        }
