"""Which failures are evidence against a source, and which only say that a file is part of something."""

import pytest

from evaluation.rust import RustVerifier
from trainers.data.preparation.fixes import fix
from trainers.data.preparation.outcome import judge
from trainers.data.sources import COMPILE_FAIL, EXAMPLE, FILE, Document


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


@pytest.mark.parametrize(
    ("kind", "code", "outcome", "reason"),
    [
        (FILE, "pub fn one() -> u8 { 1 }", "verified", ""),
        (FILE, 'pub fn one() -> u8 { "1" }', "rejected", "types"),
        (FILE, "pub fn one( -> u8 { 1 }", "rejected", "syntax"),
        (FILE, "use crate::other::Thing;\npub fn one(_: Thing) {}", "not_judged", "other crates or files"),
        (FILE, "use super::*;\npub fn one(_: Thing) {}", "not_judged", "other crates or files"),
        (FILE, "mod other;", "not_judged", "other crates or files"),
        (FILE, "pub fn one() { some_macro_of_the_crate!(1) }", "not_judged", "other crates or files"),
        (FILE, "#![feature(never_type)]\npub fn one() -> ! { loop {} }", "not_judged", "nightly"),
        (EXAMPLE, "fn main() { let n: Missing = 1; }", "rejected", "resolve"),
        (EXAMPLE, "use serde::Serialize;\nfn main() {}", "not_judged", "other crates or files"),
        (EXAMPLE, "fn main() { let v = vec![1]; drop(v); drop(v); }", "rejected", "ownership"),
        (COMPILE_FAIL, "fn main() { let n: u8 = 256; }", "not_judged", "meant to be rejected"),
        (COMPILE_FAIL, "fn main() {}", "not_judged", "meant to be rejected"),
    ],
)
def test_only_errors_of_the_code_itself_count(verifier, kind, code, outcome, reason):
    document = Document.of("web", "a.rs", kind, "MIT", code)
    judgment = judge(document, verifier.verify([code])[0])
    assert (judgment.outcome, judgment.reason) == (outcome, reason)


@pytest.mark.parametrize(
    ("code", "fixed"),
    [
        ("fn main() { let x = 5; x += 1; drop(x); }", "fn main() { let mut x = 5; x += 1; drop(x); }"),
        ("pub fn f() -> u8 { 1; }", "pub fn f() -> u8 { 1 }"),
        # After the first repair the compiler finds the second error.
        (
            "pub fn é() -> u8 { let v = vec![1]; drop(v); drop(v); 1; }",
            "pub fn é() -> u8 { let v = vec![1]; drop(v.clone()); drop(v); 1 }",
        ),
        ('pub fn f() -> u8 { "text" }', None),
    ],
)
def test_rejected_code_is_fixed_by_suggestions_that_the_compiler_is_sure_of(verifier, code, fixed):
    assert fix([code], verifier.verify([code]), verifier) == [fixed]
