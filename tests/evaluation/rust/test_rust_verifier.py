"""A verdict is rustc's own, for every input and whatever breaks on the way."""

import asyncio
import os
import pickle
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.rustc.routing import refusal
from evaluation.rust.sandbox.runner import SandboxFailure

GOOD = "pub fn double(x: u32) -> u32 { x * 2 }"
BAD = "pub fn double(x: u32) -> u32 { x.nothing() }"


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


ODD = {
    "nothing": ("", "valid"),
    "a comment": ("// only this", "valid"),
    "prose": ("The quick brown fox isn't Rust at all, is it?", "invalid_syntax"),
    "another language": ("def f(x):\n    return x + 1\n", "invalid_syntax"),
    "line ends of Windows": ("pub fn f() {\r\n    let _x = 1;\r\n}\r\n", "valid"),
    "a byte order mark": ("\ufeffpub fn f() {}", "valid"),
    "NUL bytes": ("pub fn f() {}\0", "invalid_syntax"),
    "bytes that are no UTF-8": (b"pub fn f() {} // \xff\xfe", "invalid_syntax"),
    "half a surrogate pair": ("// \ud800", "invalid_syntax"),
    "a megabyte of text": ("word " * 200_000, "refused"),
    "a shebang": ("#!/usr/bin/env rust\npub fn f() {}", "valid"),
    "a lone carriage return in a comment": ("/// a\rb\npub fn f() {}", "invalid_syntax"),
}


def test_odd_input_gets_a_verdict_each(verifier):
    verdicts = verifier.verify([code for code, _ in ODD.values()])
    found = {name: verdict.status for name, verdict in zip(ODD, verdicts, strict=True)}
    assert found == {name: status for name, (_, status) in ODD.items()}


@settings(max_examples=12)
@given(st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=60)), max_size=6))
def test_whatever_is_given_gets_as_many_verdicts(codes):
    verdicts = shared_verifier().verify(codes)
    assert len(verdicts) == len(codes)
    assert all(verdict.status != "unavailable" for verdict in verdicts)


_shared = []


def shared_verifier():
    """Fixtures and hypothesis do not mix; one verifier for all examples."""
    if not _shared:
        _shared.append(RustVerifier())
    return _shared[0]


def test_a_failing_code_is_explained_where_it_fails(verifier):
    code = "pub fn first() {}\n\npub fn second(s: String) -> String {\n    drop(s);\n    s\n}\n"
    *_, verdict = verifier.verify([GOOD, BAD, code])
    (diagnostic,) = verdict.diagnostics
    assert (verdict.status, diagnostic.code, diagnostic.line, diagnostic.column) == ("semantic_error", "E0382", 5, 5)
    assert "candidate.rs:5:5" in diagnostic.rendered and "value used here after move" in diagnostic.rendered
    assert verdict.checks == {"types": "ok", "ownership": "error", "lifetimes": "ok"}


def test_an_explanation_never_shows_the_neighbors(verifier):
    """A compiler that misses a name proposes what the other modules of the crate have."""
    codes = [
        "pub fn secret_helper() {}",
        "pub fn f() { secret_helper() }",
        "pub struct S; pub fn f(s: S) { drop(s); drop(s) }",
        "pub trait Secret { fn go(&self); } impl Secret for u32 { fn go(&self) {} }",
        "pub fn f() { 1u32.go() }",
    ]
    together = verifier.verify(codes)
    with RustVerifier() as fresh:
        apart = [fresh.verify([code])[0] for code in codes]
    assert [verdict.diagnostics for verdict in together] == [verdict.diagnostics for verdict in apart]


def test_an_error_inside_a_macro_belongs_to_the_code_that_called_it(verifier):
    codes = ['pub fn f() { println!("{}", missing); }', 'pub fn f() { assert_eq!(1, "one"); }', GOOD]
    verdicts = verifier.verify(codes)
    assert [verdict.status for verdict in verdicts] == ["compilation_failed", "semantic_error", "valid"]
    assert [verdict.diagnostics[0].line for verdict in verdicts[:2]] == [1, 1]


def test_exact_lists_all_errors_of_a_code(verifier):
    """A name that does not resolve in one code can hide a later phase's error in another."""
    codes = [f"pub fn f{n}() -> u32 {{ let r; {{ let x = 1; r = &x; }} *r }} use nowhere{n}::X;" for n in range(3)]
    exact = verifier.verify([*codes, GOOD], exact=True)
    with RustVerifier() as fresh:
        assert [verdict.error_codes for verdict in exact] == [
            fresh.verify([code])[0].error_codes for code in (*codes, GOOD)
        ]


def test_equal_codes_of_one_call_are_compiled_once(monkeypatch):
    with RustVerifier() as verifier:
        calls = []
        run = verifier.resources.sandbox.run
        monkeypatch.setattr(verifier.resources.sandbox, "run", lambda *a, **k: calls.append(a) or run(*a, **k))
        verdicts = verifier.verify([BAD] * 5)
        assert len(calls) == 1
        assert [verdict.cached for verdict in verdicts] == [False, True, True, True, True]
        assert len({verdict.error_codes for verdict in verdicts}) == 1


def test_the_edition_decides(verifier):
    code = "pub fn f() -> u32 { let async = 1; async }"
    with RustVerifier("2015") as old:
        assert old.verify([code])[0].ok and old.verify([code])[0].edition == "2015"
    assert verifier.verify([code])[0].status == "invalid_syntax"


def test_a_program_without_main_is_none(verifier):
    assert verifier.verify([GOOD])[0].ok
    assert verifier.verify([GOOD], crate_type="bin")[0].error_codes == ("E0601",)


def test_code_that_needs_other_crates_says_so(verifier):
    codes = ["use serde::Serialize;\n#[derive(Serialize)]\npub struct A;", "mod other;", "use std::nothing::A;", BAD]
    assert [verdict.external for verdict in verifier.verify(codes)] == [True, True, False, False]


def test_a_broken_sandbox_is_never_the_codes_fault(monkeypatch):
    def fails(*_, **__):
        raise SandboxFailure("no space left on device")

    with RustVerifier() as verifier:
        monkeypatch.setattr(verifier.resources.sandbox, "run", fails)
        verdicts = verifier.verify([GOOD, BAD])
        assert [verdict.status for verdict in verdicts] == ["unavailable"] * 2
        assert "no space left" in verdicts[0].diagnostics[0].message
        monkeypatch.undo()
        # Nothing of it was kept.
        assert [verdict.status for verdict in verifier.verify([GOOD, BAD])] == ["valid", "semantic_error"]


def test_a_killed_compiler_server_costs_no_verdict():
    with RustVerifier() as verifier:
        verifier.resources.sandbox._server.kill()
        verifier.resources.sandbox._server.wait()
        assert verifier.verify([GOOD])[0].ok


def test_a_copy_in_another_process_verifies_too():
    script = f"""
        import pickle, sys
        verifier = pickle.load(sys.stdin.buffer)
        print(verifier.edition, verifier.verify([{GOOD!r}])[0].status)
    """
    with RustVerifier("2024") as verifier:
        finished = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], input=pickle.dumps(verifier), capture_output=True
        )
    assert finished.stdout.split() == [b"2024", b"valid"], finished.stderr


def test_a_forked_child_has_a_sandbox_of_its_own(verifier):
    verifier.verify([GOOD])
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, verifier.verify([BAD])[0].status.encode())
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 100) == b"semantic_error"
    os.waitpid(child, 0)
    os.close(reader)
    assert verifier.verify([GOOD + " "])[0].ok


def test_many_threads_may_ask_at_once(verifier):
    def ask(number):
        codes = [f"pub fn f() -> u32 {{ {number} }}", f"pub fn f() -> u32 {{ {number}.0 }}"]
        return [verdict.ok for verdict in verifier.verify(codes)]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(16))) == [[True, False]] * 16


def test_an_event_loop_goes_on_meanwhile(verifier):
    async def both():
        ticks = 0
        waiting = asyncio.ensure_future(verifier.averify([GOOD + " // async"]))
        while not waiting.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return ticks, await waiting

    ticks, verdicts = asyncio.run(both())
    assert verdicts[0].ok and ticks > 3


@pytest.mark.parametrize(
    "setting, rule",
    [
        ({"edition": "2020"}, "edition must be one of"),
        ({"workers": 0}, "workers must be an integer of at least 1"),
        ({"workers": 1.5}, "workers must be an integer of at least 1, got 1.5"),
        ({"workers": "2"}, "workers must be an integer of at least 1, got '2'"),
        ({"timeout": 0}, "timeout must be a positive"),
        ({"timeout": "5"}, "timeout must be a positive number of seconds, got '5'"),
        ({"run_memory_gib": "2"}, "run_memory_gib must be at least 0.25 GiB, got '2'"),
        ({"sandbox": "strong"}, "sandbox must be"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_rule(setting, rule):
    with pytest.raises(ValueError, match=rule):
        RustVerifier(**setting)


def test_wrong_arguments_are_refused_by_their_rule(verifier):
    for codes, rule in (
        ([GOOD, 5], "codes must be source texts .*, got int at index 1"),
        ([None], "codes must be source texts .*, got NoneType at index 0"),
        (None, "codes must be a list of source texts .*, got a single NoneType"),
    ):
        with pytest.raises(ValueError, match=rule):
            verifier.verify(codes)
    with pytest.raises(ValueError, match="tests must be None, texts, HiddenTests or StdinTests, got int at index 1"):
        verifier.verify([GOOD, GOOD], [None, 5])
    with pytest.raises(ValueError, match="tests must be HiddenTests, got str at index 0"):
        verifier.check_tests(["fn f();"])
    with pytest.raises(ValueError, match="checker must be Rust as text, got int"):
        HiddenTests("fn f();", 5)
    with pytest.raises(ValueError, match="codes must be a list"):
        verifier.verify(GOOD)
    with pytest.raises(ValueError, match="crate_type must be"):
        verifier.verify([GOOD], crate_type="dylib")


@given(st.integers(0, 300))
def test_nesting_is_refused_from_its_limit_on(depth):
    code = b"const X: u8 = " + b"(" * depth + b"0" + b")" * depth + b";"
    assert (refusal(code) is None) == (depth <= 200)
