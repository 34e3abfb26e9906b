"""A completion loops if it ends with the same piece again and again, for long enough."""

from time import perf_counter

import pytest

from evaluation.repetition import is_repeating


@pytest.mark.parametrize(
    "text, expected",
    [
        ("    let mut x = 1;\n" * 4, True),
        ("fn f() {\n" + "    let mut x = 1;\n" * 4 + "    let mu", True),
        ("    let mut x = 1;\n" * 3, False),
        ("    let mut x = 1;\n" * 4 + "}\n", False),
        ("of the " * 12, True),
        ("of the " * 6, False),
        ("\n" * 64, True),
        ("\n" * 63, False),
        ("".join(f"let x{number} = {number};\n" for number in range(99)), False),
        ("", False),
    ],
)
def test_four_times_and_64_characters_are_a_loop(text, expected):
    assert is_repeating(text) == expected


def test_a_long_text_takes_linear_time():
    start = perf_counter()
    assert not is_repeating("a" * 50_000 + "b" + "a" * 50)
    assert perf_counter() - start < 2
