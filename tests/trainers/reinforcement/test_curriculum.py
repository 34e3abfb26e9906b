"""The curriculum: prompts that teach are visited, none is forgotten, and its state is all there is to it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.reinforcement.curriculum import LEAST_WEIGHT, Curriculum, Outcome

RATES = np.array([0.0] * 40 + [0.3] * 10 + [1.0] * 50)
"""Success rates of a hundred prompts, most of them 0 or 1."""


def visits(steps: int, curriculum: Curriculum) -> np.ndarray:
    """For each step which of its eight prompts had a group that was dead."""
    generator = np.random.default_rng(0)
    dead = np.zeros((steps, 8))
    for step in range(steps):
        chosen = curriculum.sample(8)
        solved = generator.binomial(curriculum.num_generations, RATES[chosen])
        curriculum.update([Outcome(prompt, 8, int(count)) for prompt, count in zip(chosen, solved, strict=True)])
        dead[step] = (solved == 0) | (solved == curriculum.num_generations)
    return dead


def test_groups_that_teach_nothing_become_rarer():
    dead = visits(120, Curriculum([0] * 100, num_generations=8))
    assert dead[:10].mean() > 0.75, "as with an even choice"
    assert dead[-40:].mean() < 0.65


def test_a_tier_that_is_too_hard_is_visited_less_as_a_whole():
    curriculum = Curriculum([0] * 50 + [4] * 50, num_generations=8)
    curriculum.update([Outcome(prompt, 8, 4) for prompt in range(10)])
    curriculum.update([Outcome(prompt, 8, 0) for prompt in range(50, 60)])
    untouched = curriculum.weights()[[49, 99]]
    assert untouched[0] > 3 * untouched[1]


def test_what_was_out_of_reach_is_tried_again():
    curriculum = Curriculum([0] * 10, num_generations=8)
    for _ in range(50):
        curriculum.update([Outcome(0, 8, 0)])
    assert curriculum.weights()[0] == LEAST_WEIGHT


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8)), max_size=30), st.integers(2, 32))
def test_weights_are_chances(outcomes: list[tuple[int, int]], n: int):
    curriculum = Curriculum([0, 1, 1, 2, 2], n)
    curriculum.update([Outcome(prompt, 8, solved) for prompt, solved in outcomes])
    assert ((curriculum.weights() >= LEAST_WEIGHT) & (curriculum.weights() <= 1)).all()
    assert len(set(curriculum.sample(3))) == 3


def test_rows_with_a_larger_weight_are_sampled_more_often():
    curriculum = Curriculum([0] * 100, 8, own_weights=[1.0] * 90 + [9.0] * 10)
    heavy = sum(prompt >= 90 for _ in range(200) for prompt in curriculum.sample(1))
    assert 80 <= heavy <= 120, "half of them"


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0], [1.0, float("nan")], [1.0, None], ["a", "b"]])
def test_each_row_needs_a_positive_weight(weights):
    with pytest.raises(ValueError, match="weight must be a positive number in each row of the prompts"):
        Curriculum([0, 0], 4, own_weights=weights)


def test_a_restored_curriculum_chooses_what_the_first_would_have():
    one = Curriculum([0, 0, 1, 1, 2, 2], 4, seed=3)
    one.sample(2)
    one.update([Outcome(0, 4, 2), Outcome(5, 3, 0)])
    other = Curriculum([0, 0, 1, 1, 2, 2], 4, seed=3)
    other.restore(json.loads(json.dumps(one.state())))
    assert [one.sample(3) for _ in range(5)] == [other.sample(3) for _ in range(5)]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 3 prompts.*got 2"):
        Curriculum([0, 0], 4).sample(3)
    with pytest.raises(ValueError, match="for the same 3 prompts, got 2"):
        Curriculum([0, 0, 0], 4).restore(Curriculum([0, 0], 4).state())
