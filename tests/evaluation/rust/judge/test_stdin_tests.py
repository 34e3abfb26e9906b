"""Stdin tests: a program passes by its output alone, whatever else it does, and alone as in a batch."""

import tomllib

import pytest

from evaluation.rust import HiddenTests, RustVerifier, StdinCase, StdinTests, tests_text
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.judge.stdin_tests import MAX_CASES, MAX_TEXT_BYTES
from tests.helpers.paths import HELPERS

HACKS = tomllib.loads((HELPERS / "stdin_hacks.toml").read_text())["hack"]
SUM = """use std::io::Read;
macro_rules! numbers {{ ($text:expr) => {{ $text.split_whitespace().map(|n| n.parse::<i64>().unwrap()) }} }}
fn main() {{
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    {body}
}}
"""
HONEST = SUM.format(body='println!("{}", numbers!(text).sum::<i64>());')
CASES = (StdinCase("1 2 3\n", "6\n"), StdinCase("", "0\n"), StdinCase("-5\n5 9\n", "9\n"))
TESTS = StdinTests(CASES)


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=0.3) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def test_no_program_that_only_seems_right_passes_and_what_looks_around_is_refused_or_sees_nothing(verifier):
    codes = [hack["code"] for hack in HACKS]
    refused = {code for code in codes if refusals(code.encode(), TESTS)}
    assert refused >= {hack["code"] for hack in HACKS if hack.get("data")}
    # What the rules for rewards refuse is run without them.
    verdicts = verifier.verify(codes, TESTS)
    assert [hack["name"] for hack, verdict in zip(HACKS, verdicts, strict=True) if verdict.ok] == []
    assert all(verdict.tests_total == len(CASES) for verdict in verdicts), "all of them compile and are run"


def test_a_verdict_does_not_depend_on_what_else_is_judged_with_it(verifier):
    wrong = SUM.format(body='println!("{}", numbers!(text).max().unwrap_or(0));')
    panics = SUM.format(body='println!("{}", numbers!(text).reduce(|a, b| a + b).unwrap());')
    codes = [
        HONEST,
        wrong,
        panics,
        SUM.format(body="missing();"),
        "fn helper() {}",
        "fn main( {",
        "fn main() -> u8 { 1 }",
    ]
    together = verifier.verify(codes, TESTS, rules="reward")
    assert [(each.status, each.tests_passed) for each in together] == [
        ("valid", 3),
        ("tests_failed", 2),
        ("tests_failed", 2),
        ("compilation_failed", 0),
        ("refused", 0),
        ("invalid_syntax", 0),
        ("semantic_error", 0),
    ]
    assert "case 2: ended with status 101" in together[2].diagnostics[0].message
    with RustVerifier(run_timeout=0.3) as other:
        alone = [other.verify([code], TESTS, rules="reward")[0] for code in codes[1:4]]
    for one, each in zip(alone, together[1:4], strict=True):
        assert (one.status, one.tests_passed) == (each.status, each.tests_passed)


def test_the_time_limit_is_one_of_each_case_and_ends_the_run(verifier):
    spins = SUM.format(body='if text.len() > 2 { loop { std::hint::black_box(&text); } } println!("1")')
    tests = StdinTests((StdinCase("1", "1"), *(StdinCase(f"{n} 2", "1") for n in range(50))))
    (verdict,) = verifier.verify([spins], tests)
    assert (verdict.status, verdict.tests_passed, verdict.tests_total) == ("timeout", 1, 51)
    assert verdict.seconds < 10, "the cases behind it are not run"


def test_a_program_that_passes_only_sometimes_is_not_valid_in_several_runs(verifier):
    chance = "use std::hash::{BuildHasher, RandomState};\n" + SUM.format(
        body='print!("{}", numbers!(text).sum::<i64>() + (RandomState::new().hash_one(0) % 4 == 0) as i64);'
    )
    (verdict,) = verifier.verify([chance], StdinTests(CASES[:1]), runs=60)
    assert verdict.status == "tests_failed"


@pytest.mark.parametrize(
    ("stdout", "exact", "tokens"),
    [(b"a b\n", True, True), (b"a b", False, True), (b" a\tb\r\n\n", False, True), (b"ab\n", False, False)],
)
def test_tokens_allow_other_white_space_and_exact_does_not(stdout, exact, tokens):
    case = StdinCase("", "a b\n")
    assert (case.holds(stdout, "exact"), case.holds(stdout, "tokens")) == (exact, tokens)
    assert not case.holds(b"a b\xff\n", "tokens")


def test_a_text_gives_equal_tests_and_is_not_taken_for_another_kind():
    tests = StdinTests((StdinCase("ä\r\n", '"stdin_tests": x'), StdinCase(" ", "\u2028")), "exact")
    assert tests_text.tests_from_text(tests.to_text()) == tests
    holes = HoleTests("a", "1", "f", ("stdin_tests", "stdin_tests:"))
    assert tests_text.tests_from_text(holes.as_text()) == holes
    assert isinstance(tests_text.tests_from_text('fn f() -> u8; check!(f() == 1); // "stdin_tests": []'), HiddenTests)


CASE = {"stdin": "1", "expected": "1"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], f"1 to {MAX_CASES} cases, got 0"),
        ([CASE | {"stdin": str(n)} for n in range(MAX_CASES + 1)], f"got {MAX_CASES + 1}"),
        ([CASE, CASE | {"expected": "2"}], "equal stdin must have equal expected"),
        ([CASE | {"expected": " \n"}], "some case must expect an output"),
        ([CASE | {"stdin": "a\0"}], "case 1: stdin of a case must have no NUL character, got one at index 1"),
        ([CASE | {"stdin": "\ud800"}], "case 1: stdin of a case must be Unicode"),
        ([CASE | {"expected": "a" * (MAX_TEXT_BYTES + 1)}], "case 1: expected of a case must have at most"),
        ([CASE | {"stdin": str(n) + "a" * (MAX_TEXT_BYTES - 9)} for n in range(17)], "bytes together"),
        ([CASE | {"stdin": b"1"}], "case 1: stdin of a case must be a text, got bytes"),
        ([CASE, {"input": "1", "output": "1"}], "case 2 must be an object with stdin and expected"),
        ("1", "stdin tests must be a list of cases, got str"),
    ],
)
def test_faulty_cases_are_named_with_their_rule(rows, said):
    with pytest.raises(ValueError) as raised:
        StdinTests.of(rows)
    assert said in str(raised.value)
