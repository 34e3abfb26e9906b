"""Results survive their file, and a comparison is paired and fair."""

import json
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.comparison import compare_results, differing_modes
from evaluation.pass_at_k import pass_at_k
from evaluation.results import Interval, Results, bootstrap, share_difference, share_interval
from evaluation.results_folder import ResultsFolder, read_results

SCORES = {f"problem {index}": index % 3 / 2 for index in range(30)}


def results(scores=SCORES, benchmark="humaneval_rust"):
    found = Results(
        benchmark, {"path": "model"}, {"pass@1": share_interval(list(scores.values()))}, {"pass@1": scores}
    )
    context = {"settings": {"seed": 0}, "versions": {"rustc": "1.95.0"}, "command": "python -m evaluation run"}
    return replace(found, verdicts={"valid": 3}, details={"curve": [1.0]}, seconds=1.5, **context)


@given(st.integers(1, 30), st.data())
def test_pass_at_k_equals_the_closed_form(samples, data):
    correct, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    expected = 1 - comb(samples - correct, k) / comb(samples, k)
    assert pass_at_k(samples, correct, k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "arguments, message",
    [((5, 6, 1), "correct must be"), ((5, 1, 6), "k must be from 1 to"), ((5, 1, 0), "k must be from 1 to")],
)
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


def wilson(successes, trials):
    """Wilson's score interval as Brown, Cai and DasGupta (2001) write it."""
    share, squared = successes / trials, 1.959964**2
    middle = (successes + squared / 2) / (trials + squared)
    half = 1.959964 * trials**0.5 / (trials + squared) * (share * (1 - share) + squared / (4 * trials)) ** 0.5
    return pytest.approx((middle - half, middle + half), abs=1e-9)


@given(st.integers(1, 200), st.data())
def test_the_interval_of_zeros_and_ones_is_wilsons(trials, data):
    successes = data.draw(st.integers(0, trials))
    interval = share_interval([1] * successes + [0] * (trials - successes))
    assert (interval.low, interval.high) == wilson(successes, trials)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_an_interval_of_shares_holds_its_mean_and_is_never_empty(shares):
    interval = share_interval(shares)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.high - interval.low > 0.01


def test_one_sample_that_passes_does_not_make_an_interval_much_narrower_than_none():
    """An average over 20 samples of each problem is not 20 problems."""
    none, one = share_interval([0.0] * 24), share_interval([0.05] + [0.0] * 23)
    assert none.limits(".1%") == "0.0% to 13.8%"
    assert one.high == pytest.approx(none.high, abs=0.005)


@pytest.mark.parametrize("problems, samples", [(24, 1), (24, 20), (104, 5), (164, 1)])
@pytest.mark.parametrize("a, b", [(0.02, 2), (0.3, 0.7), (1, 1), (5, 5)])
def test_intervals_of_shares_hold_the_truth_in_95_of_100_draws(problems, samples, a, b):
    generator = np.random.default_rng(0)
    solved = generator.binomial(samples, generator.beta(a, b, (1000, problems))) / samples
    held = [found.low <= a / (a + b) <= found.high for found in map(share_interval, solved)]
    assert np.mean(held) > 0.92


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_has_no_interval_of_shares(share):
    with pytest.raises(ValueError, match="must be f"):
        share_interval([0.5, share])


def test_one_text_has_a_mean_and_no_interval():
    found = bootstrap([3.5])
    assert (found.value, found.low, found.high) == (3.5, None, None) and "none" in found.limits(".4f")


def test_shares_in_an_older_file_get_an_interval_that_is_not_empty(tmp_path):
    old = replace(results(dict.fromkeys(SCORES, 0.0)), metrics={"pass@1": Interval(0.0, 0.0, 0.0)})
    assert Results.read(old.write(tmp_path)).metrics["pass@1"].high > 0.1


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_interval_holds_the_mean_and_stays_within_the_values(values):
    interval = bootstrap(values)
    assert min(values) - 1e-9 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= max(values) + 1e-9


def test_a_model_does_not_differ_from_itself():
    (found,) = compare_results(results(), results())
    assert found.difference.value == 0 and found.p_value == 1


@pytest.mark.parametrize("scores", [SCORES, dict.fromkeys(SCORES, 0.0)])
def test_equal_results_do_not_prove_that_other_problems_would_be_equal(scores):
    (found,) = compare_results(results(scores), results(scores))
    assert found.difference.high > 0.1 and found.difference.low == pytest.approx(-found.difference.high)


@pytest.mark.parametrize("problems, samples", [(24, 1), (104, 1), (164, 5)])
def test_intervals_of_differences_hold_the_truth_in_95_of_100_draws(problems, samples):
    generator = np.random.default_rng(0)
    first, second = (generator.beta(1, 4, (1000, problems)), generator.beta(2, 4, (1000, problems)))
    drawn = (generator.binomial(samples, second) - generator.binomial(samples, first)) / samples
    held = [found.low <= 2 / 6 - 1 / 5 <= found.high for found in map(share_difference, drawn)]
    assert np.mean(held) > 0.93


def test_a_small_gain_on_every_problem_is_seen_and_one_on_few_is_not():
    lower = {name: value * 0.9 for name, value in SCORES.items()}
    everywhere = compare_results(results(lower), results({name: value + 0.01 for name, value in lower.items()}))[0]
    assert everywhere.p_value < 0.001 and everywhere.difference.low > 0
    few = {**SCORES, "problem 0": 1.0, "problem 3": 1.0}
    rarely = compare_results(results(), results(few))[0]
    assert rarely.p_value > 0.2 and rarely.second > rarely.first


def test_different_things_are_not_compared():
    with pytest.raises(ValueError, match="must be of one benchmark, got humaneval_rust and perplexity"):
        compare_results(results(), results(benchmark="perplexity"))
    with pytest.raises(ValueError, match="must have a metric on the same problems"):
        compare_results(results(), replace(results(), per_problem={"pass@1": {"another": 1.0}}))


def test_results_of_other_limits_are_compared_on_the_problems_of_both_and_say_so():
    few = dict(list(SCORES.items())[:7])
    (found,) = compare_results(results(), results(few | {"another": 1.0}))
    assert (found.num_problems, found.difference.value) == (7, 0)
    assert found.first == pytest.approx(np.mean(list(few.values())))
    (said,) = differing_modes(results(), results(few | {"another": 1.0}))
    assert said == f"The results have {len(SCORES)} and 8 problems; those of both are compared"


def test_results_of_another_model_are_not_replaced(tmp_path):
    Results("perplexity", {"path": "mine"}, {}, {}).write(tmp_path)
    ResultsFolder(tmp_path, {"path": "mine"}, "").check(["perplexity", "humaneval_rust"])
    with pytest.raises(ValueError, match="perplexity.json holds the results of mine, which those of yours would"):
        ResultsFolder(tmp_path, {"path": "yours"}, "").check(["perplexity"])


def test_results_of_another_depth_are_not_replaced(tmp_path):
    """`--num-loops 2` after `--num-loops 4` would lose the first of two results that are to be compared."""
    Results("perplexity", {"path": "mine", "num_loops": 4}, {}, {}).write(tmp_path)
    with pytest.raises(ValueError, match="perplexity.json holds results of mine with num_loops 4 instead of 2, which"):
        ResultsFolder(tmp_path, {"path": "mine", "num_loops": 2}, "").check(["perplexity"])
    ResultsFolder(tmp_path, {"path": "mine", "num_loops": 2}, "").check(["humaneval_rust"])


def test_results_beside_the_files_of_a_model_are_read_alone(tmp_path):
    """`publish` puts them there."""
    results().write(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "looplm"}')
    assert [each.benchmark for each in read_results(tmp_path)] == ["humaneval_rust"]
    (tmp_path / "perplexity.json").write_text("{")
    with pytest.raises(ValueError, match="perplexity.json must be a results file, got no JSON"):
        read_results(tmp_path)
