"""The limits on type errors can only be lowered."""

from tests.project.type_errors import count_errors, differences


def test_an_error_counts_for_its_innermost_package_and_warnings_do_not():
    output = "evaluation/rust/a.py:1:2: error[x] m\nevaluation/b.py:3:4: error[y] m\ntests/c.py:1:1: warning[z] m\n"
    found = count_errors(output)
    assert (found["evaluation/rust"], found["evaluation"], found["tests"]) == (1, 1, 0)


def test_more_errors_fail_and_fewer_ask_for_a_lower_limit():
    found = {"trainers": 3, "evaluation": 1, "recipes": 2, "evaluation/rust": 1}
    more, fewer = differences(found, {"trainers": 2, "evaluation": 4, "recipes": 2, "evaluation/rust": 5})
    assert [sentence.split(":")[0] for sentence in more] == [
        "trainers has 3 type errors, more than 2",
        "evaluation/rust has 1 type errors, more than 0",
    ]
    assert [sentence.split(":")[0] for sentence in fewer] == ["evaluation has 1 type errors, fewer than 4"]
