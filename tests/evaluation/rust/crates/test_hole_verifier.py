"""Bodies of functions of a real crate: judged by its unit tests, many in one program, and never by their own word."""

import time
import tomllib

import pytest

from evaluation.rust import CodeExecutionNotAllowed
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.crates.holes.manifest_for_tests import manifest_for_tests
from evaluation.rust.crates.holes.reached import tests_of_functions as reached_tests
from tests.helpers.hole_crates import write_crates

CLAMP = HoleTests("shapes", "1.0.0", "clamp", ("tests::clamps",))
STOP = HoleTests("shapes", "1.0.0", "stop", ("tests::reads_a_file_of_the_crate",))
SCALED = HoleTests("shapes", "1.0.0", "area::Rectangle::scaled", ("area::area_of_a_rectangle",))
DISPLAY = HoleTests("shapes", "1.0.0", "area::<Rectangle as fmt::Display>::fmt", ("area::area_of_a_rectangle",))
TWICE = HoleTests("twice", "0.1.0", "twice", ("doubles",))
RIGHT = "{ value.max(low).min(high) }"
SUMMARY = r"\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"
# Bodies of `stop` that do not return its argument. The file has imported `std::process`.
HOSTILE = {
    "exits": "{ process::exit(code - 7) }",
    "exits in another thread": "{ std::thread::spawn(|| process::exit(0)); loop {} }",
    "forges the report": f'{{ use std::io::Write; writeln!(std::io::stdout(), "{SUMMARY}").unwrap(); 0 }}',
    "forges it and exits": f'{{ use std::io::Write; writeln!(std::io::stdout(), "{SUMMARY}").unwrap(); '
    "process::exit(0) }",
    "replaces itself by the original": "{ use std::os::unix::process::CommandExt; let mut it = "
    'process::Command::new("/proc/self/exe"); it.args(std::env::args().skip(1)).env_remove("NANOCHAT_CANDIDATE"); '
    'it.exec(); process::Command::new("/proc/self/exe").env("NANOCHAT_CANDIDATE", "0").exec(); 0 }',
    "has a hook that exits": "{ std::panic::set_hook(Box::new(|_| process::exit(0))); panic!() }",
    "panics": "{ panic!() }",
    "fills the memory": "{ let mut kept = vec![1u8; 1 << 20]; loop { kept.extend_from_within(..); } }",
    "prints without end": '{ use std::io::Write; loop { writeln!(std::io::stdout(), "{}", code).unwrap(); } }',
    "has an item after it": "{ 0 } pub fn other() -> i32 { 1 }",
    "closes its function": "{ 0 } } pub mod tests { #[test] fn clamps() {} pub fn stop() { 0 }",
    "redefines assertions": "{ #[macro_export] macro_rules! assert_eq { ($($any:tt)*) => {} } 0 }",
}


@pytest.fixture(scope="module")
def verifier(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ALLOW_CODE_EVAL", "1")
        crates = write_crates(tmp_path_factory.mktemp("crates"))
        with HoleVerifier(crates, workers=1, run_timeout=1.0, run_memory_gib=0.5) as verifier:
            yield verifier


def statuses(verifier, bodies, tests, **options):
    return [verdict.status for verdict in verifier.verify(bodies, tests, **options)]


def test_each_body_gets_the_verdict_of_its_own_functions_tests(verifier):
    pairs = [
        (RIGHT, CLAMP, "valid"),
        ("{ value }", CLAMP, "tests_failed"),
        ('{ let name: i64 = "a"; value }', CLAMP, "semantic_error"),
        ("{ missing(value) }", CLAMP, "compilation_failed"),
        ("{ let unused = 1; value.clamp(low, high) }", CLAMP, "valid"),
        ("{ value +* }", CLAMP, "invalid_syntax"),
        ("{ self.width *= by; self.height = self.height.checked_mul(by)?; Some(self) }", SCALED, "tests_failed"),
        (
            "{ self.height = self.height.checked_mul(by)?; self.width = self.width.checked_mul(by)?; Some(self) }",
            SCALED,
            "valid",
        ),
        ('{ write!(f, "{} x {}", self.width, self.height) }', DISPLAY, "valid"),
        ("{ loop {} }", CLAMP, "timeout"),
        ("{ value << 1 }", TWICE, "valid"),
        ("{ value + 4 }", TWICE, "tests_failed"),
    ]
    bodies, tests, expected = zip(*pairs, strict=True)
    assert statuses(verifier, bodies, tests, rules="data") == list(expected)


def test_no_hostile_body_passes(verifier):
    found = verifier.verify(list(HOSTILE.values()), [STOP] * len(HOSTILE), rules="data")
    assert [name for name, verdict in zip(HOSTILE, found, strict=True) if verdict.ok] == []
    by_name = dict(zip(HOSTILE, found, strict=True))
    assert by_name["exits"].diagnostics[0].category == "forgery"
    assert by_name["forges it and exits"].diagnostics[0].category == "forgery"
    assert by_name["replaces itself by the original"].diagnostics[0].category == "forgery"
    assert by_name["prints without end"].status == "resource_limit"
    assert by_name["closes its function"].status == "invalid_syntax"


def test_rules_for_rewards_refuse_what_the_file_has_imported_and_what_acts_outside(verifier):
    bodies = [
        "{ process::exit(code) }",
        "{ let leave = process::abort; leave() }",
        "{ impl PartialEq<i64> for crate::area::Rectangle { fn eq(&self, _: &i64) -> bool { true } } code }",
        "{ macro_rules! same { ($e:expr) => { $e } } same!(code) }",
        "{ unsafe { code } }",
        "{ todo!() }",
        "{ code.max(code) }",
    ]
    assert statuses(verifier, bodies, [STOP] * 7) == ["refused"] * 6 + ["valid"]


def test_a_body_passes_only_if_every_one_of_its_tests_exists(verifier):
    tests = HoleTests("shapes", "1.0.0", "clamp", ("tests::clamps", "tests::renamed"))
    assert statuses(verifier, [RIGHT], [tests]) == ["tests_failed"]


def test_verdicts_are_reached_before_the_deadline_or_unavailable_and_then_not_kept(verifier):
    bodies = [f"{{ value.max(low).min(high) + {number} - {number} }}" for number in range(2, 5)]
    started = time.monotonic()
    assert statuses(verifier, bodies, [CLAMP] * 3, deadline=1e-6) == ["unavailable"] * 3
    assert time.monotonic() - started < 5
    assert statuses(verifier, bodies, [CLAMP] * 3) == ["valid"] * 3


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (HoleTests("circles", "1.0.0", "clamp", ("a",)), "circles-1.0.0 is not"),
        (HoleTests("shapes", "1.0.0", "absent", ("a",)), "got absent"),
    ],
)
def test_unknown_crates_and_functions_are_errors_before_anything_is_built(verifier, tests, message):
    with pytest.raises(ValueError, match=message):
        verifier.verify([RIGHT], [tests])


def test_foreign_code_needs_consent(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(CodeExecutionNotAllowed):
        HoleVerifier(write_crates(tmp_path / "crates"))


def test_functions_are_found_by_the_tests_that_reach_them_and_always_pass(verifier):
    crate = verifier.open(verifier.crates.packages["shapes-1.0.0"])
    found = {function.name: tests for function, tests in reached_tests(verifier, crate, 16, 2.0).items()}
    # `tests::fails` calls clamp as well.
    assert found["clamp"] == ("tests::clamps",)
    assert found["area::Rectangle::scaled"] == ("area::area_of_a_rectangle",)
    assert found["stop"] == ("tests::reads_a_file_of_the_crate",)
    assert set(found) == {
        "clamp",
        "perimeter",
        "untested",
        "stop",
        "area::Rectangle::area",
        SCALED.function,
        DISPLAY.function,
    }


def test_integration_tests_count_and_those_that_need_a_missing_crate_are_left_out(verifier):
    crate = verifier.open(verifier.crates.packages["twice-0.1.0"])
    found = {function.name: tests for function, tests in reached_tests(verifier, crate, 16, 2.0).items()}
    # The crate has no standard library, and a function of its own name.
    assert found == {
        "twice": ("doubles", "nanochat_tests_whole::triples"),
        "own::thrice": ("nanochat_tests_whole::triples",),
    }


def test_the_manifest_leaves_out_dependencies_that_are_not_there_and_features_that_need_them(verifier):
    text, features = manifest_for_tests(verifier.crates.packages["shapes-1.0.0"], verifier.crates)
    document = tomllib.loads(text)
    assert features == ("fast",)
    assert document["features"] == {"fast": []}
    assert document["dependencies"] == {"twice": {"version": "0.1"}}
    assert not {"dev-dependencies", "bench"} & document.keys()
    assert document["package"]["description"] == "Several lines with `ticks`\nand 'quotes'"
