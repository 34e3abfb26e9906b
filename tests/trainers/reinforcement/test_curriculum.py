"""The curriculum: prompts that teach are visited, none is forgotten, and its state is all there is to it."""

import json

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.reinforcement import PROMPTS, arguments, first_token_is_low, looped, prompts_tokenizer, trainer_of
from trainers.reinforcement.curriculum import LEAST_WEIGHT, Curriculum, Outcome, largest_part
from trainers.reinforcement.maxrl import MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

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


def test_a_family_that_is_too_hard_is_visited_less_also_where_its_prompts_are_new():
    families = [str(number // 100) for number in range(400)]
    rate, num_zero_variance = {"0": 0.0, "1": 0.0, "2": 0.3, "3": 1.0}, []
    for of_prompts in (None, families):
        curriculum = Curriculum([0] * 400, num_generations=8, families=of_prompts)
        generator = np.random.default_rng(0)
        count = 0
        for _ in range(40):
            for prompt in curriculum.sample(8):
                solved = int(generator.binomial(8, rate[families[prompt]]))
                curriculum.update([Outcome(prompt, 8, solved)])
                count += solved in (0, 8)
        num_zero_variance.append(count)
    assert num_zero_variance[1] < 0.6 * num_zero_variance[0]


def test_a_family_that_becomes_solvable_is_visited_again():
    curriculum = Curriculum([0] * 100, num_generations=8, families=["easy"] * 50 + ["hard"] * 50)
    curriculum.update([Outcome(prompt, 8, 0) for prompt in range(50, 75)])
    before = curriculum.weights()[99]
    curriculum.update([Outcome(prompt, 8, 3) for prompt in range(75, 85)])
    assert curriculum.weights()[99] > 4 * before


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


@pytest.mark.parametrize(("share", "count"), [(0.0, 8), (0.3, 10), (0.5, 8), (0.55, 7), (1.0, 8)])
def test_a_share_of_prompts_to_compile_is_kept_while_one_kind_is_solved_more_and_more(share, count):
    curriculum = Curriculum([0] * 50 + [5] * 10, 8, only_compile=[False] * 50 + [True] * 10, compile_share=share)
    chosen = []
    for _ in range(40):
        chosen += curriculum.sample(count)
        curriculum.update([Outcome(prompt, 8, 4 if prompt >= 50 else 0) for prompt in chosen[-count:]])
    assert sum(prompt >= 50 for prompt in chosen) == round(40 * count * share)


def test_a_share_needs_enough_prompts_of_both_kinds():
    curriculum = Curriculum([0] * 8, 8, only_compile=[True] * 2 + [False] * 6, compile_share=0.5)
    with pytest.raises(ValueError, match="at least 3 prompts without hidden tests, for compile_share=0.5.*got 2"):
        curriculum.check(6)
    curriculum.check(4)


def test_a_whole_part_is_not_rounded_up():
    assert 10 * (1 - 0.7) > 3
    assert [largest_part(10, 1 - 0.7), largest_part(8, 0.5), largest_part(7, 0.5), largest_part(8, 0)] == [3, 4, 4, 0]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_all_or_none_needs_one_kind_alone(share):
    curriculum = Curriculum([0] * 4, 8, only_compile=[share == 1.0] * 4, compile_share=share)
    assert len(set(curriculum.sample(3))) == 3


def test_the_trainer_keeps_the_share_of_rows_without_tests(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    tokenizer = prompts_tokenizer()
    rows = [
        {
            "prompt": prompt,
            "signature": prompt.removesuffix(" {") + ";",
            "checker": "" if number < 4 else "check!(true);",
        }
        for number, prompt in enumerate(PROMPTS)
    ]

    def trainer(given: float) -> MaxRLTrainer:
        return MaxRLTrainer(
            model=looped(tokenizer),
            reward_funcs=RustReward("mixed", workers=1),
            args=arguments(tmp_path, compile_share=given, per_device_train_batch_size=16),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
        )

    curriculum = trainer(0.75).curriculum
    assert [sum(prompt < 4 for prompt in curriculum.sample(4)) for _ in range(5)] == [3] * 5
    with pytest.raises(ValueError, match="at least 4 prompts with hidden tests, for compile_share=0.0.*got 2"):
        trainer(0.0)


def test_a_share_needs_a_reward_that_knows_two_kinds(tmp_path):
    with pytest.raises(ValueError, match='compile_share must be None without RustReward\\(mode="mixed"\\), got 0.5'):
        trainer_of(prompts_tokenizer(), tmp_path, reward=first_token_is_low, compile_share=0.5)
    for settings in ({"compile_share": 1.5}, {"compile_share": 0.5, "curriculum": False}):
        with pytest.raises(ValueError, match="compile_share must be from 0 to 1, or None"):
            arguments(tmp_path, **settings)


def test_a_restored_curriculum_chooses_what_the_first_would_have():
    families = ["a", "a", "a", None, "b", "b"]
    one = Curriculum([0, 0, 1, 1, 2, 2], 4, seed=3, families=families)
    one.sample(2)
    one.update([Outcome(0, 4, 2), Outcome(5, 3, 0)])
    other = Curriculum([0, 0, 1, 1, 2, 2], 4, seed=3, families=families)
    other.restore(json.loads(json.dumps(one.state())))
    assert one.state()["families"] != [[0.0, 0.0]] * 4
    assert [one.sample(3) for _ in range(5)] == [other.sample(3) for _ in range(5)]


def test_a_checkpoint_without_counts_of_families_has_them_of_its_prompts():
    one = Curriculum([0, 0, 1], 4, families=["a", "b", "b"])
    one.update([Outcome(0, 4, 2), Outcome(2, 4, 1)])
    state = one.state()
    del state["families"]
    other = Curriculum([0, 0, 1], 4, families=["a", "b", "b"])
    other.restore(state)
    assert other.of_families.tolist() == one.of_families.tolist() == [[2, 2], [0, 0], [1, 3]]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 3 prompts.*got 2"):
        Curriculum([0, 0], 4).sample(3)
    with pytest.raises(ValueError, match="for the same 3 prompts of 1 families, got 2 of 1"):
        Curriculum([0, 0, 0], 4).restore(Curriculum([0, 0], 4).state())
