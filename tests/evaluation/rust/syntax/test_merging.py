"""An answer and its problem become one crate: whatever the answer repeats, leaves out or brings along."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.syntax.merging import merged_program

OPENING = """
use std::{cmp::{max, self}, collections::{HashSet, HashMap}, fmt::{self as format, *}};
#[derive(Clone)]
struct Pair(i32);
impl Pair {
    fn sum(&self) -> i32 { self.0 }
}
fn one() -> i32 { 1 }

/* The double of x. */
pub fn double(x: i32) -> i32 {
"""
TESTS = """
mod rand { pub trait Rng {} }
use rand::Rng;
#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn test_double() { assert_eq!(double(4), 8); }
}
"""
MAIN = """
fn main() {
    let candidate = double;
    assert_eq!(candidate(4), 8);
}
"""
WHOLE = "pub fn double(x: i32) -> i32 {\n    2 * x\n}\n"
OWN_TESTS = "\n#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn wrong() { panic!(); }\n}\n"
OWN_MAIN = "\n/// Shows it.\nfn main() {\n    assert_eq!(double(4), 9);\n}\n"
HELPER = (
    "\nfn twice(x: i32) -> i32 {\n    let mut seen = HashMap::new();\n    seen.insert(x, 2 * x);\n    seen[&x]\n}\n"
)
IMPORT = "use std::collections::HashMap;\n"
CALLS = "pub fn double(x: i32) -> i32 {\n    twice(x)\n}\n"
RIGHT = {
    "the whole function": WHOLE,
    "private": WHOLE.removeprefix("pub "),
    "the body": "    2 * x\n",
    "the body, its brace, and more": f"    2 * x\n}}\n{OWN_MAIN}",
    "the body in braces": "{\n    2 * x\n}\n",
    "the body, a comment last": "    2 * x // so",
    "a body that uses what there is": "    let p = Pair(one() + one());\n    p.clone().sum() * max(x, cmp::min(x, x))",
    "a body that begins with an import": IMPORT
    + "    let m: HashMap<i32, i32> = HashMap::new();\n    2 * x + m.len() as i32",
    "a body with its helper before it": HELPER + "    twice(x)\n",
    "a body with its helper behind it": f"    twice(x)\n}}\n{HELPER}",
    "a body with import and helper behind it": f"    twice(x)\n}}\n{IMPORT}{HELPER}",
    "an import that the problem has": IMPORT + HELPER + CALLS,
    "imports and helpers behind it": CALLS + HELPER + IMPORT,
    "imports in a group": "use std::{cmp::{self, max}, collections::*, fmt};\n" + HELPER + CALLS,
    "an import of another name": "use std::collections::BTreeMap as HashMap;\n" + HELPER + CALLS,
    "a function named as an import": f"fn max(x: i32) -> i32 {{\n    x\n}}\n{WHOLE.replace('2 * x', '2 * max(x)')}",
    "a helper that the problem has": "fn one() -> i32 { 2 }\n" + WHOLE.replace("2 * x", "one() * x"),
    "a type that the problem has": "struct Pair(i32);\nimpl Pair { fn sum(&self) -> i32 { 2 } }\n"
    + WHOLE.replace("2 * x", "Pair(1).sum() * x"),
    "inner attributes": f"#![allow(dead_code)]\n//! A crate.\n{WHOLE}",
    "a main of its own": WHOLE + OWN_MAIN,
    "tests of its own": WHOLE + OWN_TESTS,
    "a test without a module": f"{WHOLE}\n#[test]\nfn test_double() {{\n    assert_eq!(double(4), 9);\n}}\n",
    "all of it": IMPORT + HELPER + CALLS + OWN_MAIN + OWN_TESTS,
    "what the tests bring": "use rand::Rng;\n" + WHOLE,
    "nothing but letters beyond ASCII": "    // größer — 二\n    2 * x\n",
}


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        with RustVerifier() as verifier:
            yield verifier


@pytest.mark.parametrize("tests", [TESTS, pytest.param(TESTS.partition("#[cfg")[0] + MAIN, marks=pytest.mark.slow)])
def test_a_right_answer_passes_in_every_form_and_a_wrong_one_in_none(verifier, tests):
    programs = [merged_program(OPENING, code, tests) for code in RIGHT.values()]
    wrong = [program.replace(" * ", " + 3 + ") for program in programs]
    found = [verdict.ok for verdict in verifier.verify(programs, tests)]
    assert dict(zip(RIGHT, found, strict=True)) == dict.fromkeys(RIGHT, True)
    assert not any(verdict.ok for verdict in verifier.verify(wrong, tests))


@pytest.mark.parametrize(
    "code", ["", "    todo!()\n", "pub fn double(x: i32) -> i32 {\n    2 * x\n", "fn other() {}\n", "```"]
)
def test_an_answer_without_the_function_fails(verifier, code):
    (verdict,) = verifier.verify([merged_program(OPENING, code, TESTS)], [TESTS])
    assert not verdict.ok


def test_an_opening_without_an_open_function_is_refused():
    with pytest.raises(ValueError, match="opening must end with a function's open brace"):
        merged_program("struct A;\n", WHOLE)
