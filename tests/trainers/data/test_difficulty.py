"""A target distribution of the difficulty: shares, order, seeds and levels that are too small."""

import random
import warnings

import pytest

from trainers.data.difficulty import DEFAULT_TARGET, LEVELS, target_distribution


def rows(easy: int, medium: int, hard: int) -> list[dict[str, str]]:
    sizes = random.Random(0)
    counts = zip(LEVELS, (easy, medium, hard), strict=True)
    return [
        {"id": f"{level}-{index}", "level": level, "code": "é" * sizes.randrange(10, 400)}
        for level, count in counts
        for index in range(count)
    ]


def kept_bytes(selection, given) -> dict[str, int]:
    return {
        level: sum(len(row["code"].encode()) for row in given if row["level"] == level and selection.keeps(row))
        for level in LEVELS
    }


def test_the_bytes_have_the_target_distribution_and_the_scarcest_level_is_kept_whole():
    given = rows(3000, 4500, 1500)
    selection = target_distribution(given)
    assert selection.achieved == pytest.approx(DEFAULT_TARGET, abs=0.001)
    assert selection.scarcest == "hard"
    assert selection.kept["hard"] == selection.available["hard"]


def test_the_report_counts_what_is_kept():
    given = rows(600, 900, 300)
    selection = target_distribution(given)
    assert kept_bytes(selection, given) == selection.kept
    assert f"{selection.kept['easy']:,}" in selection.table().columns[3]._cells


def test_the_choice_depends_on_the_seed_and_not_on_the_order():
    given = rows(600, 900, 300)
    shuffled = random.Random(1).sample(given, len(given))
    first, second, other = (
        target_distribution(given),
        target_distribution(shuffled),
        target_distribution(given, seed=1),
    )
    assert first == second
    assert [first.keeps(row) for row in given] != [other.keeps(row) for row in given]


def test_a_level_without_share_is_left_out_and_shares_are_normalized():
    given = rows(600, 900, 300)
    selection = target_distribution(given, {"easy": 2, "medium": 3})
    assert selection.achieved == pytest.approx({"easy": 0.4, "medium": 0.6, "hard": 0}, abs=0.01)
    assert not any(selection.keeps(row) for row in given if row["level"] == "hard")


def test_the_natural_distribution_keeps_everything():
    given = rows(30, 20, 10)
    sizes = target_distribution(given, dict.fromkeys(LEVELS, 1)).available
    assert all(map(target_distribution(given, {str(level): size for level, size in sizes.items()}).keeps, given))


def test_a_scarce_level_is_warned_about():
    with pytest.warns(UserWarning, match="the target of 20% hard keeps only .* because only .* bytes are hard"):
        target_distribution(rows(1000, 1000, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        target_distribution(rows(300, 500, 200))


def test_a_level_without_rows_is_an_error():
    with pytest.raises(ValueError, match="must name levels that rows have; there is no row that is hard"):
        target_distribution(rows(10, 10, 0))
    with pytest.raises(ValueError, match="there is no row that is easy, medium, hard"):
        target_distribution([])


@pytest.mark.parametrize("target", [{}, {"easy": -1}, {"simple": 1}, {"easy": 0}, {"easy": float("inf")}])
def test_an_invalid_target_is_an_error(target):
    with pytest.raises(ValueError, match="target must map easy, medium, hard to shares that are not negative, got"):
        target_distribution(rows(1, 1, 1), target)


def test_an_unknown_level_is_an_error_that_names_the_row():
    with pytest.raises(ValueError, match="level must be one of easy, medium, hard, got 'easier' in row 7"):
        target_distribution([{"id": "7", "level": "easier", "code": ""}])
