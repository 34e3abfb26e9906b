"""The plots of a benchmark show by how much depths differ, and how sure that is."""

import math

import pytest
import torch

from evaluation import plots
from evaluation.results import Results
from evaluation.suites.perplexity import differences_to_loop_1


def test_differences_between_loops_are_means_over_tokens_with_intervals_that_pair_the_texts():
    """Texts that differ by whole nats in their level, and by a hundredth in what a loop gains."""
    levels, gains, lengths = [1.0, 5.0, 3.0, 8.0], [0.10, 0.11, 0.09, 0.10], [10, 1000, 50, 200]
    nats = {
        str(index): n * torch.tensor([level, level - gain], dtype=torch.float64)
        for index, (level, gain, n) in enumerate(zip(levels, gains, lengths, strict=True))
    }
    first, second = differences_to_loop_1(nats, dict(zip(nats, lengths, strict=True)))
    assert (first.value, first.low, first.high) == (0, 0, 0)
    expected = -sum(gain * n for gain, n in zip(gains, lengths, strict=True)) / sum(lengths)
    assert second.value == pytest.approx(expected)
    assert -0.13 < second.low < expected < second.high < -0.07


def test_the_plot_of_depth_quality_spans_its_intervals(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure) or path)
    details = {
        "perplexity_by_loop": [math.exp(2.0), math.exp(1.999)],
        "depth_quality": [{"threshold": 0.5, "mean_loops": 1.5, "loss": 1.9995}],
        "loss_minus_loop_1": [{"value": 0, "low": 0, "high": 0}, {"value": -0.001, "low": -0.2, "high": 0.3}],
    }
    plots.plot_depth_quality(Results("perplexity", {}, {}, {}, details=details), tmp_path)
    (axis,) = drawn[0].axes
    low, high = axis.get_ylim()
    assert low < -0.2 and high > 0.3 and axis.get_xlabel() and axis.get_ylabel()
