"""Published tests are counted by name, and what our own edits and limits cause is not the code's fault."""

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judge.appended import AppendedTests

RIGHT = "pub fn f(x: u8) -> u8 { x + 1 }"
WRONG = "pub fn f(x: u8) -> u8 { 2 }"
TESTS = """#[cfg(test)]
mod tests {
    use super::*;
    #[test] fn one() { assert_eq!(f(1), 2); }
    #[test] #[ignore] fn two() { assert_eq!(f(2), 3); }
}"""
HIDDEN = HiddenTests("fn f(x: u8) -> u8;", "check!(f(1) == 2);")


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(timeout=5, run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


OWN = {
    "fails": "#[cfg(test)] mod mine { #[test] fn three() { panic!() } }",
    "hangs": "#[test] fn three() { loop {} }",
    "has the module's name": "#[cfg(test)] mod tests { use super::*; #[test] fn one() { panic!() } }",
    "has the module's name without cfg": "mod tests { #[test] fn one() { panic!() } }",
    "has the module's name and only helpers": "#[cfg(all(test))] mod tests { pub fn helper() {} }",
    "does not compile": "#[cfg(test)] mod tests { #[test] fn one() { nothing() } }",
    "is documented at the end": "/// Tests.\n#[test]\nfn three() { panic!() }",
    "is made by a macro": "macro_rules! t { ($n:ident) => { #[test] fn $n() { panic!() } } }\nt!(three);",
    "ends in a comment": "// the end",
}


@pytest.mark.parametrize("code, expected", [(RIGHT, ("valid", 2, 2)), (WRONG, ("tests_failed", 1, 2))])
def test_a_candidates_own_tests_neither_count_nor_sink_it(verifier, code, expected):
    verdicts = verifier.verify([f"{code}\n{own}" for own in OWN.values()], TESTS)
    for kind, verdict in zip(OWN, verdicts, strict=True):
        assert (verdict.status, verdict.tests_passed, verdict.tests_total) == expected, (kind, verdict.diagnostics)


def test_a_line_keeps_its_number_when_tests_before_it_are_left_out(verifier):
    (verdict,) = verifier.verify(["#[test]\nfn mine() {\n}\npub fn f(x: u8) -> u8 { y }"], TESTS)
    assert [error.line for error in verdict.diagnostics] == [4]


COUNTED = {
    "by a macro": ("macro_rules! t { ($n:ident) => { #[test] fn $n() { assert_eq!(f(1), 2); } } }\nt!(a); t!(b);", 2),
    "under a cfg that is off": ("#[test] fn a() { f(1); }\n#[cfg(windows)] #[test] fn b() { panic!() }", 1),
    "under a cfg that is on": ("#[test] fn a() { f(1); }\n#[cfg(unix)] #[test] fn b() { f(1); }", 2),
    "that must panic": ("#[test] #[should_panic] fn a() { f(255); }", 1),
}


@pytest.mark.parametrize("trusted", [False, True])
def test_the_built_harness_says_how_many_tests_there_are(verifier, trusted):
    texts, totals = zip(*COUNTED.values(), strict=True)
    verdicts = verifier.verify([RIGHT] * len(texts), texts, trusted=trusted)
    assert [(v.status, v.tests_passed, v.tests_total) for v in verdicts] == [("valid", n, n) for n in totals]


def test_a_candidate_cannot_shrink_the_list(verifier):
    codes = [f"#![cfg({condition})]\n{RIGHT}" for condition in ("any()", "not(test)")]
    verdicts = verifier.verify(codes, TESTS)
    assert [(v.status, v.tests_passed, v.tests_total) for v in verdicts] == [("tests_failed", 0, 2)] * 2


def test_a_main_of_the_candidate_gives_way_to_that_of_the_tests(verifier):
    (verdict,) = verifier.verify([f"{RIGHT}\nfn main() {{ panic!() }}"], "fn main() { assert_eq!(f(1), 2); }")
    assert (verdict.status, verdict.tests_total) == ("valid", 1)


ATTRIBUTES = (
    "#![deny(warnings)]",
    "#![deny(missing_docs)]",
    "#![forbid(dead_code)]",
    '#![crate_name = "solution"]',
    "#![no_main]",
    "#![cfg_attr(test, deny(unused))]",
)


@pytest.mark.parametrize("tests", [TESTS, HIDDEN], ids=["published", "hidden"])
def test_attributes_that_only_our_edits_break_are_taken_off_with_a_note(verifier, tests):
    codes = [f"{attribute}\n//! A crate.\nfn unused() {{}}\nfn f(x: u8) -> u8 {{ x + 1 }}" for attribute in ATTRIBUTES]
    for attribute, verdict in zip(ATTRIBUTES, verifier.verify(codes, tests), strict=True):
        assert verdict.ok and verdict.diagnostics == (), (attribute, verdict.diagnostics)
        assert [attribute in note for note in verdict.notes] == [True]


def test_what_a_code_denies_without_tests_is_its_own_error(verifier):
    (verdict,) = verifier.verify(["#![deny(missing_docs)]\npub fn f() {}"])
    assert verdict.status == "compilation_failed"


def test_lints_that_are_errors_by_default_stay_errors_beside_tests(verifier):
    (verdict,) = verifier.verify(["#![deny(warnings)]\npub fn f(x: u8) -> u8 { 256u8 + x }"], TESTS)
    assert verdict.status != "valid"


THREADS = (
    "pub fn f(x: u8) -> u8 { let all: Vec<_> = (0..62).map(|_| std::thread::spawn(|| "
    "std::thread::sleep(std::time::Duration::from_millis(100)))).collect(); "
    "for each in all { each.join().unwrap() } x + 1 }"
)
FILES = (
    'pub fn f(x: u8) -> u8 { let _a: Vec<_> = (0..300).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();'
    " x + 1 }"
)
STATIC = "static A: [u8; 8 << 30] = [0; 8 << 30]; pub fn f(x: u8) -> u8 { A[x as usize] + x + 1 }"


@pytest.mark.parametrize("code", [THREADS, FILES, STATIC], ids=["threads", "files", "static"])
def test_a_limit_that_was_hit_is_no_failed_test(verifier, code):
    (verdict,) = verifier.verify([code], TESTS)
    if verdict.ok and verifier.resources.sandbox.root:
        pytest.skip("threads of root are not limited at this level")
    assert verdict.status == "resource_limit", verdict.diagnostics


def test_limits_are_settings_and_tell_verdicts_apart(tmp_path):
    statuses = []
    for run_threads in (16, 128):
        with RustVerifier(run_timeout=1, run_threads=run_threads, cache_dir=tmp_path) as verifier:
            statuses.append(verifier.verify([THREADS], TESTS)[0].status)
            limited = not verifier.resources.sandbox.root
    assert statuses == ["resource_limit" if limited else "valid", "valid"]


@pytest.mark.parametrize(
    "setting", [{"run_threads": 0}, {"run_threads": 2.5}, {"run_memory_gib": 0}, {"compiler_memory_gib": float("nan")}]
)
def test_a_limit_outside_its_rule_is_refused(setting):
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be"):
        RustVerifier(**setting)


def test_tests_without_a_test_are_refused():
    with pytest.raises(ValueError, match="must have functions with #\\[test\\]"):
        AppendedTests.read("fn helper() {}")
