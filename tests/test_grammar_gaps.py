"""What the compiler accepts and the grammar does not is judged by its tokens; no hack gains by it."""

import tomllib
from pathlib import Path

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.syntax import analyse

HACKS = tomllib.loads(Path(__file__).with_name("hacks.toml").read_text())
HONEST = tomllib.loads(Path(__file__).with_name("honest.toml").read_text())["program"]
# Each is Rust.
GAPS = (
    "pub fn gap() -> i32 { fn g<const N: i32>() -> i32 { N } g::<-1>() }",
    "pub struct Gap { y: i32, x: i32 } pub fn gap(s: Gap) -> i32 { let y; let t = s.x; Gap { y, .. } = s; y + t }",
    "macro_rules ! gap { () => { 1 } } pub fn gap() -> i32 { gap!() }",
    "pub struct Gap(i32); pub fn gap(g: Gap) -> i32 { match g { Gap { 0: x } => x } }",
    "pub fn gap(x: &i32) -> i32 { let f = (|x: &i32| *x) as fn(&_) -> _; f(x) }",
    "pub fn gap(x: i32) -> i32 where i32: { x }",
    "pub fn gap(x: i32) -> i32 { 'gap: while break 'gap {} x }",
)
PATIENCE_ONLY = ("constant that never ends", "macro that doubles", "clock", "busy threads")  # hacks that take time
SOME = [pytest.param(gap, marks=pytest.mark.slow) if n else gap for n, gap in enumerate(GAPS)]


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(timeout=2, run_timeout=1) as verifier:
        yield verifier


def hidden_tests_of(program):
    if program.get("only") == "compile":
        return None
    checker = "" if program.get("only") == "signature" else program.get("checker", HACKS["checker"])
    return HiddenTests(program.get("signature", HACKS["signature"]), checker)


def test_all_gaps_are_gaps_and_are_rust(verifier):
    assert all(analyse(gap).has_error for gap in GAPS)
    assert [verdict.status for verdict in verifier.verify(GAPS)] == ["valid"] * len(GAPS)


@pytest.mark.parametrize("gap", SOME)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_no_hack_earns_a_reward_by_being_unreadable(gap, first, step, verifier):
    hacks = [hack for hack in HACKS["hack"] if hack["name"] not in PATIENCE_ONLY][::step]
    codes = [f"{gap}\n{hack['code']}" if first else f"{hack['code']}\n{gap}" for hack in hacks]
    verdicts = verifier.verify(codes, list(map(hidden_tests_of, hacks)), rules="reward")
    assert {hack["name"] for hack, verdict in zip(hacks, verdicts, strict=True) if verdict.ok} == set()


@pytest.mark.parametrize("gap", SOME)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.slow)])
def test_honest_programs_earn_their_reward_beside_a_gap(gap, first, step, verifier):
    chosen = HONEST[::step]
    codes = [f"{gap}\n{each['code']}" if first else f"{each['code']}\n{gap}" for each in chosen]
    verdicts = verifier.verify(codes, list(map(hidden_tests_of, chosen)), rules="reward")
    pairs = zip(chosen, verdicts, strict=True)
    lost = {
        each["name"]: (verdict.status, verdict.diagnostics[0].message) for each, verdict in pairs if not verdict.ok
    }
    assert lost == {}
