"""A pass is earned by doing the task: by no other program, whatever it tries, and by every honest one."""

import random
import re
import tomllib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rust import CodeExecutionNotAllowed, HiddenTests, RustVerifier
from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.harness import publish
from evaluation.rust.judge.published_tests import as_hidden_tests
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.syntax.analysis import analyze
from tests.helpers.exercism import exercism
from tests.helpers.paths import HELPERS
from tests.helpers.stored import needs_data, rows

HACKS = tomllib.loads((HELPERS / "hacks.toml").read_text())
HONEST = tomllib.loads((HELPERS / "honest.toml").read_text())["program"]
TASK = HiddenTests(HACKS["signature"], HACKS["checker"])
RIGHT = "fn solve(values: &[i64]) -> i64 { values.iter().filter(|v| *v % 2 == 0).map(|v| v * v).sum() }"
PATIENCE_ONLY = ("constant that never ends", "macro that doubles", "clock", "busy threads")  # hacks that take time
WRONG = "fn solve(values: &[i64]) -> i64 { values.len() as i64 }"
ADD = HiddenTests(
    "fn add(a: i32, b: i32) -> i32;", "check!(add(1, 2) == 3);\nfor n in 0..9 { check!(add(n, n) == n + n); }"
)


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(timeout=2, run_timeout=1) as verifier:
        yield verifier


def hidden_tests_of(hack):
    """Tests that the judge gets with a hack: none, a signature, or a signature and hidden cases."""
    if hack.get("only") == "compile":
        return None
    checker = "" if hack.get("only") == "signature" else hack.get("checker", HACKS["checker"])
    return HiddenTests(hack.get("signature", HACKS["signature"]), checker)


def test_no_hack_earns_a_reward(verifier):
    hacks = HACKS["hack"]
    verdicts = verifier.verify([hack["code"] for hack in hacks], list(map(hidden_tests_of, hacks)), rules="reward")
    print("\n", Counter(verdict.status for verdict in verdicts))
    earned = {hack["name"]: verdict.status for hack, verdict in zip(hacks, verdicts, strict=True) if verdict.ok}
    assert not earned
    assert not [verdict for verdict in verdicts if verdict.status == "unavailable"]


def test_hidden_tests_hold_without_any_refusal(verifier):
    hacks = [hack for hack in HACKS["hack"] if "only" not in hack and hack["name"] not in PATIENCE_ONLY]
    assert len(hacks) >= 60
    verdicts = verifier.verify([hack["code"] for hack in hacks], list(map(hidden_tests_of, hacks)))
    earned = {hack["name"]: verdict.status for hack, verdict in zip(hacks, verdicts, strict=True) if verdict.ok}
    assert not earned
    assert not [verdict for verdict in verdicts if verdict.status == "unavailable"]


def test_every_hack_has_a_name_of_its_own_and_a_reason():
    assert len({hack["name"] for hack in HACKS["hack"]}) == len(HACKS["hack"]) >= 100
    assert all(hack["reason"] for hack in HACKS["hack"])


def test_honest_programs_pass_together_as_alone(verifier):
    codes, tests = [program["code"] for program in HONEST], list(map(hidden_tests_of, HONEST))
    verdicts = verifier.verify([*codes, WRONG], [*tests, TASK], rules="reward")
    failed = {
        program["name"]: verdict.status for program, verdict in zip(HONEST, verdicts, strict=False) if not verdict.ok
    }
    assert not failed
    assert (verdicts[-1].status, verdicts[-1].tests_passed, verdicts[-1].tests_total) == ("tests_failed", 1, 23)
    with RustVerifier(run_timeout=1) as fresh:
        alone = [
            fresh.verify([code], [test], rules="reward")[0] for code, test in zip(codes[::4], tests[::4], strict=True)
        ]
    assert [verdict.tests_total for verdict in alone] == [verdict.tests_total for verdict in verdicts[:-1:4]]
    assert all(verdict.ok for verdict in alone)


FLOOD = 'fn add(a: i32, b: i32) -> i32 { let text = "x".repeat(9999); loop { eprintln!("{text} {a} {b}") } }'


@pytest.mark.parametrize(
    "code, status, told",
    [
        ("fn add(a: i32, b: i32) -> i32 { a - b }", "tests_failed", "1 of 10 cases hold; .* line 1 of the checker"),
        ("fn add(a: i32, b: i32) -> i32 { if a == b { a * 2 } else { 0 } }", "tests_failed", "9 of 10 cases hold"),
        ("fn add(a: i64, b: i64) -> i64 { a + b }", "tests_failed", "mismatched types"),
        ("fn plus(a: i32, b: i32) -> i32 { a + b }", "tests_failed", "defines no fn add"),
        ("fn add(a: i32, b: i32) -> i32 { loop { if a > b { break 0 } } }", "timeout", "still running after"),
        ("fn add(a: i32, b: i32) -> i32 { vec![0u8; 1 << 40].len() as i32 }", "resource_limit", "memory allocation"),
        ("fn add(a: i32, b: i32) -> i32 { add(b, a) + 1 }", "tests_failed", "overflowed its stack"),
        ("fn add(a: i32, b: i32) -> i32 { unsafe { a + b } }", "refused", "unsafe"),
        ("fn add(a: i32, b: i32) -> i32 { a + c }", "compilation_failed", "cannot find value `c`"),
        ("fn add(a: i32, b: i32) -> i32 { a + b ", "invalid_syntax", "unclosed delimiter"),
        (FLOOD, "resource_limit", "printed too much"),
    ],
)
def test_a_failure_says_what_failed(verifier, code, status, told):
    good = "fn add(a: i32, b: i32) -> i32 { a + b }"
    wrong, right = verifier.verify([code, good], ADD)
    assert wrong.status == status
    assert re.search(told, wrong.diagnostics[0].message)
    assert (right.status, right.tests_passed, right.tests_total) == ("valid", 10, 10)


@pytest.mark.parametrize(
    "signature, checker, rule",
    [
        ("", "check!(true);", "signature must have declarations"),
        ("fn add(a: i32", "check!(true);", "signature must have declarations"),
        ("let x = 1;", "check!(true);", "signature must have declarations"),
        ("fn add(a: i32) -> i32 { a }", "check!(true);", "without a body"),
        ("fn add(&self) -> i32;", "check!(true);", "not methods"),
        ("async fn add();", "check!(true);", "plain functions"),
        ("fn add();", "check!(true", "checker must be Rust statements"),
        ("fn add();", "} fn other() {", "checker must be Rust statements"),
        ("fn add();", "assert!(true);", "checker must have a case"),
    ],
)
def test_tests_of_another_form_are_refused_by_their_rule(signature, checker, rule):
    with pytest.raises(ValueError, match=rule):
        HiddenTests(signature, checker)


def test_one_text_may_hold_declarations_and_checker():
    text = "// asked for:\nfn add(a: i32, b: i32) -> i32;\n\ncheck!(add(1, 2) == 3);\n"
    tests = HiddenTests.parse(text)
    assert tests.declarations.items == (("fn", "add"),)
    assert tests.checker.split("\n").index("check!(add(1, 2) == 3);") == text.split("\n").index(
        "check!(add(1, 2) == 3);"
    )


@given(st.permutations(["fn a() {}", "pub fn b() {}", "pub(crate) fn c() {}", "#[inline]\nfn d() {}", "struct E;"]))
def test_what_is_asked_for_becomes_public_and_nothing_else(items):
    code = "\n".join(items)
    tests = HiddenTests("fn a(); fn c(); fn d(); struct E; fn missing();", "")
    text, missing = publish(code.encode(), tests)
    expected = code.replace("fn a", "pub fn a").replace("(crate)", "").replace("fn d", "pub fn d")
    assert text.decode() == expected.replace("struct E", "pub struct E")
    assert missing == ["fn missing"]


def test_unsafe_code_passes_only_where_it_is_allowed(verifier):
    code = "fn first(values: &[u8]) -> u8 { unsafe { *values.get_unchecked(0) } }"
    signature, checker = "fn first(values: &[u8]) -> u8;", "check!(first(&[7, 8]) == 7);"
    safe, unsafe = HiddenTests(signature, checker), HiddenTests(signature, checker, allow_unsafe=True)
    assert [verdict.status for verdict in verifier.verify([code, code], [safe, unsafe])] == ["refused", "valid"]
    with pytest.raises(ValueError, match="unsafe code can forge"):
        verifier.verify([code], unsafe, rules="reward")


def test_a_cached_verdict_belongs_to_its_tests_and_rules(tmp_path):
    code = 'fn add(a: i32, b: i32) -> i32 { a + b }\nextern "C" {}'
    never = HiddenTests(ADD.signature, "check!(add(1, 1) == 3);")
    with RustVerifier(cache_dir=tmp_path) as verifier:
        first = [
            verifier.verify([code], tests, rules=rules)[0]
            for tests in (None, ADD, never)
            for rules in ("data", "reward")
        ]
    with RustVerifier(cache_dir=tmp_path) as verifier:
        again = [
            verifier.verify([code], tests, rules=rules)[0]
            for tests in (None, ADD, never)
            for rules in ("data", "reward")
        ]
    assert [v.status for v in first] == ["valid", "refused", "valid", "refused", "tests_failed", "refused"]
    assert [v.status for v in again] == [v.status for v in first]
    assert all(verdict.cached for verdict in again)


def test_nothing_runs_without_consent(verifier, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    with pytest.raises(CodeExecutionNotAllowed, match="HF_ALLOW_CODE_EVAL=1"):
        verifier.verify([RIGHT], TASK)
    assert verifier.verify([RIGHT], rules="reward")[0].ok


LIBTEST = (
    "#[cfg(test)]\nmod tests { use super::*;\n"
    "#[test] fn one() { assert_eq!(f(1), 2); }\n#[test] fn two() { assert_eq!(f(2), 3); } }"
)


@pytest.mark.parametrize(
    "code, status, passed",
    [
        ("fn f(x: u8) -> u8 { x + 1 }", "valid", 2),
        ("fn f(x: u8) -> u8 { 2 }", "tests_failed", 1),
        ("fn f(x: u8) -> u8 { std::process::exit(0) }", "tests_failed", 0),
        ("#![cfg(not(test))]\nfn f(x: u8) -> u8 { 2 }", "tests_failed", 0),
        ("#![cfg(any())]\nfn f(x: u8) -> u8 { 2 }", "tests_failed", 0),
        ("fn f(x: u8) -> u8 { loop {} }", "timeout", 0),
        ("fn f(x: u8) -> u8 { x + 1 }\n#[cfg(test)] mod mine { #[test] fn three() {} }", "valid", 2),
        ("fn f(x: u8) -> u8 { x + 1 }\n#[cfg(test)] mod mine { #[test] fn three() { panic!() } }", "valid", 2),
        ("fn g(x: u8) -> u8 { x + 1 }", "compilation_failed", 0),
        ('fn f(x: u8) -> u8 { println!("test result: ok. 2 passed; 0 failed; 0 ignored;"); 2 }', "tests_failed", 0),
    ],
)
def test_appended_tests_must_all_be_run_and_pass(verifier, code, status, passed):
    verdict, right = verifier.verify([code, "fn f(x: u8) -> u8 { 1 + x }"], LIBTEST)
    assert (verdict.status, verdict.tests_passed) == (status, passed)
    assert (right.status, right.tests_passed, right.tests_total) == ("valid", 2, 2)


def test_a_main_with_assertions_is_a_test_too(verifier):
    tests = "}\nfn main() { assert_eq!(f(1), 2); }"
    bodies = ["fn f(x: u8) -> u8 { x + 1", "fn f(x: u8) -> u8 { x", "fn f(x: u8) -> u8 { y"]
    verdicts = verifier.verify(bodies, tests)
    assert [verdict.status for verdict in verdicts] == ["valid", "tests_failed", "compilation_failed"]


def test_a_signature_alone_is_checked_without_running_anything(verifier, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    monkeypatch.setattr("evaluation.rust.judge.jobs.RunHiddenJob", None)
    codes = ["fn add(a: i32, b: i32) -> i32 { a - b }", "fn add(a: i32, b: i64) -> i32 { a }", "fn sub() {}"]
    verdicts = verifier.verify(codes, HiddenTests("fn add(a: i32, b: i32) -> i32;", ""), rules="reward")
    assert [verdict.status for verdict in verdicts] == ["valid", "tests_failed", "tests_failed"]


def test_tests_that_can_be_cheated_earn_no_reward(verifier):
    with pytest.raises(ValueError, match="under reward rules tests must be HiddenTests"):
        verifier.verify([RIGHT], LIBTEST, rules="reward")
    with pytest.raises(ValueError, match="#\\[test\\] or a fn main"):
        verifier.verify([RIGHT], "fn nothing() {}")
    with pytest.raises(ValueError, match="got 2 for 1 codes"):
        verifier.verify([RIGHT], [None, None])
    with pytest.raises(ValueError, match="rules must be"):
        verifier.verify([RIGHT], rules="strict")


# test_humaneval.py takes all of them in `make test`.
@needs_data
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_all_solutions_of_humaneval_pass_and_no_faulty_one_does(step):
    problems = rows("humaneval_rust")[::step]
    tests = [row["support"] + row["test"] for row in problems]
    with RustVerifier() as verifier:
        gold = verifier.verify(
            [row["declaration"] + row["canonical_solution"] for row in problems], tests, trusted=True
        )
        faulty = verifier.verify([row["declaration"] + row["buggy_solution"] for row in problems], tests)
    assert [row["task_id"] for row, verdict in zip(problems, gold, strict=True) if not verdict.ok] == []
    assert [row["task_id"] for row, verdict in zip(problems, faulty, strict=True) if verdict.ok] == []
    assert all(
        verdict.tests_total == len(AppendedTests.read(text).names) > 0
        for verdict, text in zip(gold, tests, strict=True)
    )


@needs_data
def test_published_tests_can_be_made_hidden_ones(verifier):
    """Where an assertion calls helpers that stand with the solution, they cannot: the crate is another one."""
    problems = [
        row for row in rows("humaneval_rust") if "rand" not in row["support"] and "RtnType" not in row["declaration"]
    ]
    tests = [as_hidden_tests(function_of(row).signature, row["support"] + row["test"]) for row in problems]
    codes = [row["declaration"] + row["canonical_solution"] + row["support"] for row in problems]
    verdicts = verifier.verify(codes, tests, rules="reward")
    assert len(problems) == 159
    assert [row["task_id"] for row, verdict in zip(problems, verdicts, strict=True) if not verdict.ok] == []
    assert all(verdict.tests_passed for verdict in verdicts)


@needs_data
@pytest.mark.parametrize("step", [15, pytest.param(1, marks=pytest.mark.slow)])
def test_the_examples_of_exercism_pass(step):
    passing = [row for row in rows("exercism_rust") if row["verified"] == "pass"][step // 2 :: step]
    with RustVerifier("2024", run_timeout=30) as verifier:
        verdicts = verifier.verify(*zip(*map(exercism, passing), strict=True))
    failed = {
        row["slug"]: verdict.diagnostics[0].message
        for row, verdict in zip(passing, verdicts, strict=True)
        if not verdict.ok
    }
    assert not failed


def function_of(row):
    """Items that a problem of HumanEval requires."""
    declaration = row["declaration"]
    imports = " ".join(re.findall(r"^use [^;]*;", declaration, re.MULTILINE))
    function = declaration[declaration.rindex(f"fn {row['entry_point']}") :].strip().rstrip("{ ")
    return HiddenTests(f"{imports} {function};", "")


@needs_data
def test_honest_solutions_are_not_refused():
    problems = rows("humaneval_rust")
    functions = [(row["declaration"] + row["canonical_solution"], function_of(row)) for row in problems]
    functions += [(row["gpt4_reference"], None) for row in rows("humaneval_rust_multiple") if row["gpt4_reference"]]
    functions += [(exercism(row)[0], None) for row in rows("exercism_rust") if row["verified"] == "pass"]
    programs = [(row["code"], None) for row in rows("rust_by_example") if row["rustc_pass"]]
    for name, codes in (("functions", functions), ("Rust by Example, with its unsafe, files and processes", programs)):
        reasons = [refusals(code.encode(), tests) for code, tests in codes if not analyze(code).has_error]
        refused = [found for found in reasons if found]
        print(f"\n{name}: {len(refused)} of {len(reasons)} refused ({len(refused) / len(reasons):.1%})")
        for reason, count in Counter(found.reason for places in refused for found in places).most_common():
            print(f"  {count:>4}  {reason}")
        if name == "functions":
            assert len(refused) < 0.01 * len(reasons)


OTHER_SPELLINGS = (
    ("std::", "::std::"),
    ("std::", "core::"),
    ("std::process", "std::/* */process"),
    ("std::", "std :: "),
    ("process::exit(0)", "{ use std::process::exit as out; out(0) }"),
    ("unsafe ", "unsafe/**/ "),
    ("#[", "# ["),
    ("exit(0)", "exit(1 - 1)"),
    ("use std::", "pub use ::std::"),
    ("!(", "! ("),
    ("1 23 23 0", "1 1 1 0"),
    ("fn solve", "#[inline(always)] fn solve"),
    ("fn solve", "pub fn solve"),
    ("fn solve", "const fn solve"),
    ("values.len() as i64", "values.iter().sum()"),
    ("values[0]", "values.iter().map(|v| v * v).sum::<i64>()"),
    ("println!", "eprintln!"),
    ("std::fs", "std::{fs}; fs"),
    ("::exit", "::r#exit"),
)


def body_of(code):
    """The statements of its `solve`."""
    return code[code.find("{", code.find("fn solve")) + 1 : code.rfind(";") + 1]


def mutated(generator, hacks):
    """A program made of two hacks: items of one, a statement of the other, spelt otherwise here and there."""
    first, second = (hack["code"] for hack in generator.sample(hacks, 2))
    code = first if generator.random() < 0.5 else f"{second.split('fn solve')[0]}\n{first}"
    opening = code.find("{", code.find("fn solve"))
    extra = body_of(second)
    if generator.random() < 0.6 and extra.count("{") == extra.count("}"):
        condition = f"if values.len() > {generator.randrange(3)} {{ {extra} }}"
        code = f"{code[: opening + 1]} {condition} {code[opening + 1 :]}"
    for _ in range(generator.randrange(4)):
        code = code.replace(*generator.choice(OTHER_SPELLINGS))
    return code


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))])
def test_no_combination_of_hacks_earns_a_reward(seed):
    generator = random.Random(seed)
    # Those that hold the right body somewhere could be mended by chance.
    usable = [hack for hack in HACKS["hack"] if "fn solve(values: &[i64])" in hack["code"]]
    hacks = [hack for hack in usable if "filter(" not in hack["code"] and hack["name"] not in PATIENCE_ONLY]
    codes = [mutated(generator, hacks) for _ in range(150)]
    with RustVerifier(timeout=2, run_timeout=1) as verifier:
        rewarded = verifier.verify(codes, TASK, rules="reward")
        accepted = verifier.verify(codes[:50], TASK)
    print(
        f"\nseed {seed}:",
        Counter(v.status for v in rewarded),
        "without refusals:",
        Counter(v.status for v in accepted),
    )
    assert [code for code, verdict in zip(codes, rewarded, strict=True) if verdict.ok] == []
    assert [code for code, verdict in zip(codes, accepted, strict=False) if verdict.ok] == []
    assert sum(verdict.status == "tests_failed" for verdict in rewarded) > 10


def test_an_impl_of_a_neighbor_makes_nobody_fail(verifier):
    """`7u32 == text.parse().unwrap()` is ambiguous once some crate compares u32 with a type of its own."""
    signature = "fn same(text: &str) -> u32;"
    tests = HiddenTests(signature, 'check!(same("7") == "7".parse().unwrap());')
    plain = "fn same(text: &str) -> u32 { let x: u32 = 7; if x == text.parse().unwrap() { x } else { 0 } }"
    other = "pub struct V; impl PartialEq<V> for u32 { fn eq(&self, _: &V) -> bool { true } }\n" + plain.replace(
        "7", "6 + 1"
    )
    codes = [plain, other, f"{plain}\n// again"]
    verdicts = verifier.verify(codes, tests, rules="reward")
    assert [verdict.status for verdict in verdicts][::2] == ["valid", "valid"]
    with RustVerifier(run_timeout=1) as fresh:
        alone = [fresh.verify([code], tests, rules="reward")[0].status for code in codes]
    assert [verdict.status for verdict in verdicts] == alone
