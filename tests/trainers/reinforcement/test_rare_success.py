"""The study of rare success: its numbers are those of planted results, and its page can be read."""

import argparse
import random
from pathlib import Path

import pytest
from rare_success_methods import METHODS
from rare_success_report import Study, write_page

SAMPLES, STEPS = 64, (0, 16, 32)


def found(rate: float, seed: int, tasks: int = 40) -> dict:
    """Results of tasks that are solved at a rate."""
    generator = random.Random(seed)
    correct = [sum(generator.random() < rate for _ in range(SAMPLES)) for _ in range(tasks)]
    return {
        "samples": SAMPLES,
        "correct": correct,
        "compiled": correct,
        "distinct": [min(each, 3) for each in correct],
        "by_loop": [0.5, 0.25],
        "exit_pdf": [0.75, 0.25],
    }


@pytest.fixture
def study() -> Study:
    methods = [METHODS[name] for name in ("maxrl", "grpo", "maxrl_all")]
    ends = {"maxrl": 0.4, "grpo": 0.1, "maxrl_all": 0.5}
    held_out = {
        (name, seed, step): found(0.02 + (end - 0.02) * step / STEPS[-1], seed)
        for name, end in ends.items()
        for seed in (0, 1)
        for step in STEPS
    }
    training = {
        (name, seed): {"cpu_seconds": 120.0 if name == "grpo" else 60.0, "zero_variance": 0.5}
        for name in ends
        for seed in (0, 1)
    }
    chain = {"model": found(0.1, 2), "start": found(0.2, 3)}
    seeds = {"maxrl": (0, 1), "grpo": (0,), "maxrl_all": (0, 1)}
    return Study(methods, seeds, STEPS, held_out, training, chain, {"sum": 0.02}, (100, 40))


def test_gains_times_and_samples_for_an_equal_rate_are_those_of_the_results(study):
    assert study.gain("maxrl", 1).value == pytest.approx(0.38, abs=0.02)
    assert study.difference("maxrl", "grpo", 1).low > 0.2
    # A model that solves a task at rate 0.1 needs 4.8 samples for the pass rate of one at rate 0.4.
    assert study.samples_for("grpo", 0.4) == pytest.approx(4.8, abs=0.7)
    assert study.samples_for("grpo", 1.1) is None
    # In the minute of MaxRL's 32 steps GRPO makes 16, whose rate was measured.
    (_, steps, rate) = study.at_equal_time().rows[1]
    assert steps == "16" and float(rate.rstrip("%")) == pytest.approx(6, abs=1.5)


def test_the_page_names_every_method_and_the_intervals_decide_what_it_says(study, tmp_path):
    options = argparse.Namespace(
        report=tmp_path / "maxrl.md",
        title="Rare success",
        model=Path("nano"),
        num_loops=2,
        sft_steps=10,
        steps=32,
        samples_per_step=128,
        learning_rate=3e-5,
        rates=[0.005, 0.05],
    )
    write_page(study, options, "python benchmarks/rare_success.py", "a machine")
    text = options.report.read_text()
    assert all(method.title in text for method in study.methods)
    assert "in pass@1 MaxRL is better" in text
    assert (tmp_path / "maxrl.png").stat().st_size > 10_000
