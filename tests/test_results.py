"""Results survive their file, and a comparison is paired and fair."""

import json
from dataclasses import replace
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.pass_at_k import pass_at_k
from evaluation.results import Results, bootstrap, compare

SCORES = {f"problem {index}": index % 3 / 2 for index in range(30)}


def results(scores=SCORES, benchmark="humaneval_rust"):
    found = Results(benchmark, {"path": "model"}, {"pass@1": bootstrap(list(scores.values()))}, {"pass@1": scores})
    context = {"settings": {"seed": 0}, "versions": {"rustc": "1.95.0"}, "command": "python -m evaluation run"}
    return replace(found, verdicts={"valid": 3}, details={"curve": [1.0]}, seconds=1.5, **context)


@given(st.integers(1, 30), st.data())
def test_pass_at_k_equals_the_closed_form(samples, data):
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    expected = 1 - comb(samples - correct, k) / comb(samples, k)
    assert pass_at_k(samples, correct, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("arguments, message", [((5, 6, 1), "correct must be"), ((5, 1, 6), "k must be from 1 to"),
                                               ((5, 1, 0), "k must be from 1 to")])  # fmt: skip
def test_impossible_counts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pass_at_k(*arguments)


def test_what_is_written_is_read_again(tmp_path):
    written = results()
    path = written.write(tmp_path)
    assert path == tmp_path / "humaneval_rust.json" and Results.read(path) == written
    assert json.loads(path.read_text())["num_problems"] == 30
    assert [entry.name for entry in tmp_path.iterdir()] == ["humaneval_rust.json"]


@pytest.mark.parametrize(
    "content, message",
    [
        ("no", "must be a results file, got no JSON"),
        ("[]", "of schema_version 1, got None"),
        ('{"schema_version": 9}', "of schema_version 1, got 9"),
        ('{"schema_version": 1, "benchmark": "x"}', "it lacks model, metrics"),
    ],
)
def test_another_file_is_no_results_file(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        Results.read(tmp_path / "x.json")


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_the_interval_holds_the_mean_and_stays_within_the_values(values):
    interval = bootstrap(values)
    assert min(values) - 1e-9 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= max(values) + 1e-9


def test_a_model_does_not_differ_from_itself():
    (found,) = compare(results(), results())
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0) and found.p_value == 1


def test_a_small_gain_on_every_problem_is_seen_and_one_on_few_is_not():
    everywhere = compare(results(), results({name: value + 0.01 for name, value in SCORES.items()}))[0]
    assert everywhere.p_value < 0.001 and everywhere.difference.low > 0
    few = {**SCORES, "problem 0": 1.0, "problem 3": 1.0}
    rarely = compare(results(), results(few))[0]
    assert rarely.p_value > 0.2 and rarely.second > rarely.first


def test_different_things_are_not_compared():
    with pytest.raises(ValueError, match="must be of one benchmark, got humaneval_rust and perplexity"):
        compare(results(), results(benchmark="perplexity"))
    with pytest.raises(ValueError, match="must have a metric on the same problems"):
        compare(results(), replace(results(), per_problem={"pass@1": {"problem 0": 1.0}}))
