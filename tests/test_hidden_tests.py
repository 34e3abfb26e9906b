"""Published tests that are made hidden ones say of a solution what they say when appended to it, or are refused."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.assertions import as_hidden_tests

SIGNATURE = "fn f(x: i32) -> i32; fn g(x: i32) -> Result<i32, String>;"
RIGHT = """pub fn f(x: i32) -> i32 { if x < 0 { panic!("negative {x}") } x + 1 }
pub fn g(x: i32) -> Result<i32, String> { if x < 0 { Err("negative".into()) } else { Ok(x) } }"""
WRONG = "pub fn f(x: i32) -> i32 { x } pub fn g(x: i32) -> Result<i32, String> { Err(x.to_string()) }"
OTHER_MESSAGE = RIGHT.replace("negative", "below zero")
TESTS = (
    "#[test] #[should_panic] fn t() { f(-1); }",
    '#[test] #[should_panic(expected = "negative -1")] fn t() { f(-1); }',
    '#[should_panic(expected = "negative")] #[test] fn t() { let x = -3; assert_eq!(f(x), x); }',
    "#[test] fn t() -> Result<(), String> { assert_eq!(g(1)?, 1); Ok(()) }",
    "#[test] fn t() -> Result<(), String> { g(1)?; g(2).map(|_| ()) }",
    "#[cfg(test)] mod tests { use super::{f, g}; #[test] fn t() { assert_eq!(f(1), 2); assert!(g(1).is_ok()); } }",
    "#[cfg(test)] mod tests { use crate::f; #[test] fn t() { assert_eq!(f(1), 2); } }",
    "#[cfg(test)] mod tests { #[test] fn t() { assert_eq!(super::f(1), 2); std::assert_eq!(crate::f(2), 3) } }",
    '#[test] fn t() { core::assert!(f(1) == 2, "told {}", 1); debug_assert_ne!(f(1), 1); }',
    "#[cfg(test)] mod tests { use super::*; fn h() -> i32 { super::f(1) } #[test] fn t() { assert_eq!(h(), 2) } }",
)
REFUSED = (
    ("#[test] #[ignore] fn t() { assert!(f(1) == 2) }", "line 1 has `#\\[ignore\\]`"),
    ("\nmod a { mod b { #[test] fn t() { assert!(true) } } }", "line 2 has the module `b` of tests in another"),
    ("#[tokio::test] async fn t() { assert!(true) }", "has `#\\[tokio::test\\]`"),
    ("#[test] async fn t() { assert!(true) }", "the test `t` that is async"),
    ("#[test] fn t() { assert_matches!(f(1), 2) }", "has `assert_matches!`"),
    ("extern crate x; #[test] fn t() { assert!(true) }", "has `extern crate x;`"),
    ("macro_rules! c { () => { assert!(true) } } #[test] fn t() { c!() }", "a macro with assertions in it"),
    ("use super::f as h; #[test] fn t() { assert!(h(1) == 2) }", "without `as`"),
    ("mod a { use super::f; } #[test] fn t() { assert!(true) }", "in the module `a`"),
)


def test_hidden_tests_agree_with_the_published_ones(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    hidden = [as_hidden_tests(SIGNATURE, text) for text in TESTS]
    codes = [code for code in (RIGHT, WRONG, OTHER_MESSAGE) for _ in TESTS]
    with RustVerifier(run_timeout=1) as verifier:
        found = [verdict.ok for verdict in verifier.verify(codes, hidden * 3)]
        published = [verdict.ok for verdict in verifier.verify(codes, TESTS * 3)]
    assert found == published
    assert found[: len(TESTS)] == [True] * len(TESTS)
    assert not any(found[len(TESTS) : 2 * len(TESTS)])


@pytest.mark.parametrize("tests, reason", REFUSED)
def test_what_cannot_be_translated_is_refused_by_name(tests, reason):
    with pytest.raises(ValueError, match=reason):
        as_hidden_tests(SIGNATURE, tests)
