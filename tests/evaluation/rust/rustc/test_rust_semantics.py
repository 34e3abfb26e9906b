"""Every error has a kind, and the first failing phase of the compiler decides."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rust import RustVerifier
from evaluation.rust.rustc.semantics import (
    CATEGORIES,
    CHECK_OF,
    CODES,
    LINTS,
    MESSAGES,
    PHASES,
    UNUSUAL_PHASES,
    USUAL_PHASE,
    category,
    classify,
    known_codes,
    phase,
)
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.verdict import CHECKS, Diagnostic

DATA = os.environ.get("NANOCHAT_DATA")


def error(code, message="message", rendered=""):
    return Diagnostic(code, category(code, message, rendered), message, rendered=rendered)


def test_the_table_speaks_of_known_kinds_only():
    assert set(CODES.values()) <= set(CATEGORIES) - {"other"}
    assert {name for _, name in MESSAGES} | set(LINTS.values()) <= set(CATEGORIES) - {"other"}
    assert set(USUAL_PHASE) == set(CATEGORIES)
    assert set(UNUSUAL_PHASES.values()) <= set(PHASES)
    assert all(phase != USUAL_PHASE[CODES[code]] for code, phase in UNUSUAL_PHASES.items())


@pytest.mark.skipif(DATA is None, reason="NANOCHAT_DATA is not set: the measured error codes are there")
def test_every_code_that_was_ever_measured_is_known():
    codes = set()
    for name in ("rustc_ui", "rust_tests_ui", "std_doc_examples"):
        with gzip.open(Path(DATA, f"{name}.jsonl.gz")) as file:
            for line in file:
                codes |= {code for code in json.loads(line)["error_codes"] if code[0] == "E" and code[1:].isdigit()}
    assert codes - known_codes() == set()


@pytest.mark.slow
def test_every_code_the_installed_compiler_explains_is_known():
    rustc = find_toolchain().rustc
    numbers = (f"E{number:04}" for number in range(1, 1000))
    explained = [
        code for code in numbers if subprocess.run([rustc, "--explain", code], capture_output=True).returncode == 0
    ]
    assert len(explained) > 500
    assert set(explained) == known_codes()


def test_an_unknown_code_is_another_kind_never_dropped():
    assert category("E9999", "something new") == "other"
    found = classify([error("E9999")])
    assert found.status == "compilation_failed"


@pytest.mark.parametrize(
    "codes, status, checks",
    [
        ([None], "invalid_syntax", ("not_reached", "not_reached", "not_reached")),
        (["E0425"], "compilation_failed", ("not_reached", "not_reached", "not_reached")),
        (["E0106"], "semantic_error", ("not_reached", "not_reached", "error")),
        (["E0425", "E0106"], "compilation_failed", ("not_reached", "not_reached", "error")),
        (["E0308"], "semantic_error", ("error", "not_reached", "not_reached")),
        (["E0277"], "semantic_error", ("error", "not_reached", "not_reached")),
        (["E0004"], "compilation_failed", ("ok", "not_reached", "not_reached")),
        (["E0004", "E0308"], "semantic_error", ("error", "not_reached", "not_reached")),
        (["E0382"], "semantic_error", ("ok", "error", "ok")),
        (["E0499"], "semantic_error", ("ok", "error", "ok")),
        (["E0597"], "semantic_error", ("ok", "ok", "error")),
        (["E0597", "E0382"], "semantic_error", ("ok", "error", "error")),
        (["E0133"], "compilation_failed", ("ok", "not_reached", "not_reached")),
        (["E0310", "E0382"], "semantic_error", ("ok", "error", "error")),
        (["E0323", "E0308"], "semantic_error", ("error", "not_reached", "not_reached")),
        (["E0379"], "invalid_syntax", ("not_reached", "not_reached", "not_reached")),
    ],
)
def test_the_ladder(codes, status, checks):
    found = classify([error(code, "expected one of" if code is None else "message") for code in codes])
    assert found.status == status
    assert tuple(found.checks[check] for check in CHECKS) == checks


errors = st.sampled_from(sorted(CODES)).map(error)


@given(st.lists(errors, min_size=1, max_size=5), st.lists(errors, max_size=5))
def test_what_a_later_phase_reports_changes_nothing(deciding, more):
    first = min(PHASES.index(phase(diagnostic)) for diagnostic in deciding)
    later = [diagnostic for diagnostic in more if PHASES.index(phase(diagnostic)) > first]
    alone, together = classify(deciding), classify(deciding + later)
    assert (alone.status, alone.checks, alone.phase) == (together.status, together.checks, together.phase)


@given(st.lists(errors, min_size=1, max_size=6), st.randoms())
def test_the_order_of_errors_changes_nothing(diagnostics, random):
    shuffled = random.sample(diagnostics, len(diagnostics))
    assert classify(diagnostics) == classify(shuffled)


@given(st.lists(errors, min_size=1, max_size=6))
def test_a_check_fails_only_by_an_error_of_its_kind(diagnostics):
    kinds = {CHECK_OF.get(diagnostic.category) for diagnostic in diagnostics}
    assert {check for check, value in classify(diagnostics).checks.items() if value == "error"} <= kinds


@pytest.mark.parametrize(
    "codes, kind",
    [
        (["E0425", "E0106"], "resolve"),  # compilation_failed: not for the lifetime
        (["E0004", "E0308"], "types"),  # semantic_error: not for the pattern
        (["E0382", "E0308"], "types"),
        (["E0379"], "types"),
    ],
)
def test_the_kind_is_one_the_status_speaks_of(codes, kind):
    assert classify([error(code) for code in codes]).category == kind


@pytest.mark.parametrize(
    "word", ["crate", "argument", "macro", "attribute", "prelude", "operand", "does not implement"]
)
def test_a_name_in_the_code_does_not_make_the_kind(word):
    assert category(None, f"expected one of `!`, `.`, or an operator, found `{word}`") == "syntax"


def test_a_macro_may_complain_in_any_words():
    complaint = error(None, "expected one of `this` or that", ' | compile_error!("expected one of `this` or that")')
    assert (complaint.category, phase(complaint)) == ("macro", "resolve")


def test_whatever_a_macro_complains_of_is_the_macros():
    with RustVerifier() as verifier:
        (verdict,) = verifier.verify(['compile_error!("expected one of everything");'])
    assert (verdict.status, verdict.diagnostics[0].category) == ("compilation_failed", "macro")


KINDS = {
    "lifetimes": "pub fn f<'a>(x: &'a u8, y: &u8) -> &'a u8 { let _ = x; y }",
    "macro": "pub fn f() { absent!() }",
    "syntax": "pub fn f() { let = 1; }",
    "types": 'pub fn f() -> u8 { "" }',
    "traits": "pub fn f() -> u8 { 1u8.clone_twice() }",
    "ownership": "pub fn f(x: String) -> (String, String) { (x, x) }",
    "borrows": "pub fn f(x: u8) { let y = &mut x; *y = 1; }",
    "resolve": "pub fn f() { absent() }",
    "const": "pub const X: u8 = 255 + 1;",
    "attribute": "#[repr(sideways)] pub struct S;",
    "unsafe": "pub fn f(x: *const u8) -> u8 { *x }",
    "visibility": "mod m { fn g() {} } pub fn f() { m::g() }",
    "pattern": "pub fn f(x: bool) { match x { true => {} } }",
    "async": "pub fn f() { g().await } async fn g() {}",
    "feature": "#![feature(never_type)]",
}


# rustc gives these no code, and their words are those of other errors.
WORDS = {
    "pub fn f() { this is a crate }": ("invalid_syntax", "syntax"),
    "pub fn f() { let x = 1; #![allow(unused)] }": ("invalid_syntax", "syntax"),
    "pub fn f() {}\n#[inline]": ("invalid_syntax", "syntax"),
    "mod m { pub struct A(B); struct B; impl A { pub fn b(&self) -> &B { &self.0 } } pub fn a() -> A { A(B) } }\n"
    "pub fn f() { let _x = m::a().b(); }": ("compilation_failed", "visibility"),
    "pub const X: usize = { let x = 0u8; &x as *const u8 as usize };": ("compilation_failed", "const"),
    "macro_rules! m { ($a:expr, $a:expr) => {} }": ("compilation_failed", "macro"),
}


def test_errors_without_a_code_are_told_apart_by_the_compilers_own_words():
    with RustVerifier() as verifier:
        verdicts = verifier.verify([*WORDS])
    found = {
        code: (verdict.status, verdict.diagnostics[0].category) for code, verdict in zip(WORDS, verdicts, strict=True)
    }
    assert found == WORDS


def test_the_installed_compilers_messages_are_of_the_right_kind():
    with RustVerifier() as verifier:
        verdicts = verifier.verify([*KINDS.values()])
    found = {kind: verdict.diagnostics[0].category for kind, verdict in zip(KINDS, verdicts, strict=True)}
    assert found == {kind: kind for kind in KINDS}


EXTERNAL = [
    "use serde::Serialize;\n#[derive(Serialize)]\npub struct A;",
    "use anyhow::Result;\npub fn f() -> Result<u8> { Ok(1) }",
    "#[tokio::main]\nasync fn main() {}",
    "pub fn f() -> u8 { rand::random() }",
    "extern crate nowhere;",
    "mod other;",
    "use crate::other::Thing;\npub fn f(_: Thing) {}",
    "use super::Thing;\npub fn f(_: Thing) {}",
    "pub fn f() { crate::other::g() }",
    'pub const X: &str = include_str!("absent.txt");',
    "use serde::Serialize;\n#[derive(Serialize)]\n#[serde(transparent)]\npub struct A(u8);",
    "use {rand::Rng, tokio::fs};",
]
OWN_FAULT = [
    "use std::collections::HashMop;",
    "mod a {}\nuse a::b;",
    "mod a {}\nuse crate::a::b;",
    "mod a { use super::absent; }",
    "mod a { pub fn f() { super::absent::g() } }",
    "use self::absent::Thing;",
    "use {rand::Rng, std::absent};",
    "use rand::Rng;\n#[serde(transparent)]\npub struct A(u8);",
    "use Shape::Circle;",
    "pub fn f() { absent::<u8>() }",
    "pub fn f() -> Foo { Foo::new() }",
    'use rand::Rng;\npub fn f() -> u8 { "" }',
    "async fn main() {}",
    "pub fn f() { json!({}) }",
]


def test_only_missing_crates_and_files_are_external():
    with RustVerifier() as verifier:
        verdicts = verifier.verify([*EXTERNAL, *OWN_FAULT])
    assert [verdict.external for verdict in verdicts] == [True] * len(EXTERNAL) + [False] * len(OWN_FAULT)
    assert not any(verdict.ok for verdict in verdicts)
