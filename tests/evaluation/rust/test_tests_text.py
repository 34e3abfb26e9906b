"""Tests as text and back."""

import pytest

from evaluation.rust import HiddenTests, tests_text
from evaluation.rust.crates.holes.hole_tests import HoleTests

RUST = "// The sum.\nfn add(a: i32, b: i32) -> i32;\nfn helper() {}\ncheck!(add(1, 2) == 3);"
KINDS = [
    HiddenTests("fn add(a: i32, b: i32) -> i32;", "struct Own; use Own as Other; check!(add(1, 2) == 3);"),
    HiddenTests("fn add(a: i32, b: i32) -> i32;", "", allow_unsafe=True),
    HiddenTests.parse(RUST),
    HoleTests("shapes", "1.0.0", "area::Square::area", ("tests::area",)),
    '#[test] fn works() { assert_eq!(f("{ \u2028"), 1) }',
    "{ fn main() {} }",
    None,
]


@pytest.mark.parametrize("tests", KINDS, ids=lambda tests: type(tests).__name__)
def test_every_kind_of_tests_comes_back_from_its_text(tests):
    assert tests_text.tests_from_text(tests_text.tests_to_text(tests)) == tests


def test_rust_as_text_is_hidden_tests():
    assert tests_text.tests_from_text(RUST) == HiddenTests.parse(RUST)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('{"signature": 1, "checker": ""}', "signature must be Rust as text, got int"),
        ('{"signature": "fn f();", "allow_unsafe": 1}', "allow_unsafe of hidden tests must be true or false, got 1"),
        ('{"signature": "fn f();", "cases": ""}', "must have signature, checker and allow_unsafe"),
        ('{"appended": null}', "appended tests must be Rust as text"),
        ('{"code": ""}', "must have one of the fields signature, crate, stdin_tests, appended"),
        ("{" * 100_000, "tests must be Rust or JSON"),
        ('{"a":' * 100_000, "tests must be Rust or JSON"),
    ],
)
def test_faulty_texts_are_refused_with_the_rule(text, rule):
    with pytest.raises(ValueError, match=rule):
        tests_text.tests_from_text(text)
