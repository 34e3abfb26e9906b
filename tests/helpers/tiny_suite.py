"""A suite of one's own: the share of numbers whose token is above the median of the model's scores."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from evaluation.results import Results, share_interval
from evaluation.settings import EvaluationSettings
from evaluation.suites.suite import Suite, SuiteRun


@dataclass(frozen=True)
class TinySuite(Suite):
    """Without programs and verdicts, as suites of likelihoods are."""

    numbers: tuple[int, ...]

    name = "tiny"
    benchmark = "tiny_numbers"
    title = "Tiny numbers"
    unit = "numbers"
    training_metric = "tiny"

    @classmethod
    def load(cls, settings: EvaluationSettings) -> Self:
        return cls(tuple(range(1, 9))[: settings.limit])

    @torch.no_grad()
    def run(self, run: SuiteRun) -> Results:
        model, _ = run.loaded
        scores = model(torch.tensor([[1]])).logits[0, -1]
        values = {str(number): float(scores[number] > scores.median()) for number in self.numbers}
        metrics = {"above": share_interval(list(values.values()))}
        return Results(self.benchmark, {}, metrics, {"above": values}, settings={"first_token": 1}, unit=self.unit)

    def measure_in_training(self, run: SuiteRun, deadline: float) -> Mapping[str, float]:
        if time.monotonic() >= deadline:
            return {}
        return {"tiny": self.run(run).metrics["above"].value, "tiny_of": len(self.numbers)}

    @classmethod
    def has_shares(cls, results: Results) -> bool:
        return True

    @classmethod
    def extra_rows(cls, results: Results):
        yield "a row of its own", "1", "of 1"

    @classmethod
    def plots(cls, results: Results, folder: Path) -> list[Path]:
        (folder / "tiny.png").write_bytes(b"")
        return [folder / "tiny.png"]
