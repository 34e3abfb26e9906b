"""A verdict is rustc's own, for every input, whoever else is in the batch, and whatever breaks on the way."""

import asyncio
import gzip
import json
import os
import pickle
import re
import subprocess
import sys
import tempfile
import textwrap
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluation.rust.verifier as verifier_module
from evaluation.rust import RustVerifier
from evaluation.rust.routing import MAX_BYTES, RULES, WORDS, must_compile_alone, refusal
from evaluation.rust.sandbox import SandboxFailure
from evaluation.rust.syntax import analyse
from evaluation.rust.toolchain import find_toolchain

TOOLCHAIN = find_toolchain()
DATA = os.environ.get("NANOCHAT_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NANOCHAT_DATA is not set: the stored verdicts are there")
GOOD = "pub fn double(x: u32) -> u32 { x * 2 }"
BAD = "pub fn double(x: u32) -> u32 { x.nothing() }"


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


def neighbours(count=6):
    """Good and bad codes, each different, with the status they must get."""
    codes = [f"pub fn f{index}() -> u32 {{ {'0' if index % 2 else 'nothing()'} }}" for index in range(count)]
    return codes, ["valid" if index % 2 else "compilation_failed" for index in range(count)]


def compiled_alone(code, edition, crate_type):
    """One plain call of rustc: the truth that batches are compared with. For texts of the documentation only."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "candidate.rs").write_text(code)
        flags = ["--emit=metadata", "-A", "warnings", "--error-format=json", "--out-dir", folder]
        command = [TOOLCHAIN.rustc, "--edition", edition, "--crate-type", crate_type, *flags, "candidate.rs"]
        finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    messages = [json.loads(line) for line in finished.stderr.splitlines() if line.startswith("{")]
    errors = [message for message in messages if message["level"] == "error"]
    codes = {message["code"]["code"] if message["code"] else "NOCODE" for message in errors if message["spans"]}
    return finished.returncode == 0, tuple(sorted(codes))


def stored(name):
    """(edition, crate type, code, whether it compiles) of every row of a data set."""
    with gzip.open(Path(DATA, f"{name}.jsonl.gz")) as file:
        for line in file:
            row = json.loads(line)
            code = row.get("code_wrapped") or row["code"]
            crate_type = row.get("crate_type") or ("bin" if name == "std_doc_examples" or "fn main" in code else "lib")
            compiles = row.get("compiles", row.get("rustc_pass", row.get("rustc_195") == "pass"))
            yield row["edition"], crate_type, code, compiles


def disagreements(rows, monkeypatch):
    """Verifies rows together and returns those whose verdict is not the stored one, and the share that was batched."""
    alone = Counter()

    def counted(*arguments):
        reason = must_compile_alone(*arguments)
        alone[reason] += 1
        return reason

    monkeypatch.setattr(verifier_module, "must_compile_alone", counted)
    groups = {}
    for edition, crate_type, code, compiles in rows:
        groups.setdefault((edition, crate_type), []).append((code, compiles))
    wrong = []
    for (edition, crate_type), group in groups.items():
        with RustVerifier(edition) as verifier:
            verdicts = verifier.verify([code for code, _ in group], crate_type=crate_type)
        answers = ("valid", "invalid_syntax", "compilation_failed", "semantic_error")
        wrong += [
            (edition, crate_type, code, compiles, verdict.status, verdict.error_codes)
            for (code, compiles), verdict in zip(group, verdicts, strict=True)
            if verdict.ok != compiles or verdict.status not in answers
        ]
    print(f"\n{sum(alone.values())} codes, {alone[None]} of them ({alone[None] / sum(alone.values()):.1%}) in batches")
    for reason, count in alone.most_common():
        print(f"  {count:>5}  {reason or 'in a batch'}")
    return wrong


@needs_data
@pytest.mark.parametrize("name, step", [("rustc_ui", 9), ("std_doc_examples", 15), ("rust_tests_ui", 60)])
def test_batched_verdicts_equal_the_stored_ones(name, step, monkeypatch):
    if TOOLCHAIN.version != "1.95.0":
        pytest.skip("the stored verdicts are those of rustc 1.95.0")
    assert disagreements(list(stored(name))[::step], monkeypatch) == []


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("name", ["rustc_ui", "std_doc_examples", "rust_tests_ui", "rust_by_example"])
def test_all_batched_verdicts_equal_single_ones(name, monkeypatch):
    """Another compiler than the data's is asked anew, one code at a time."""
    rows = list(stored(name))
    if TOOLCHAIN.version != "1.95.0":
        with ThreadPoolExecutor(2) as pool:
            measured = pool.map(lambda row: compiled_alone(row[2], row[0], row[1])[0], rows)
            rows = [(*row[:3], compiles) for row, compiles in zip(rows, measured, strict=True)]
    assert disagreements(rows, monkeypatch) == []


@pytest.mark.slow
@needs_data
def test_the_compilers_own_tests_in_a_newer_edition_agree_too(monkeypatch):
    """In edition 2015 they compile alone; in 2021 most are batched, many fail: errors and ladder must be equal too."""
    rows = [("2021", crate_type, code) for _, crate_type, code, _ in stored("rust_tests_ui")]
    with ThreadPoolExecutor(2) as pool:
        alone = list(pool.map(lambda row: compiled_alone(row[2], *row[:2]), rows))
    truth = [(*row, compiles) for row, (compiles, _) in zip(rows, alone, strict=True)]
    assert disagreements(truth, monkeypatch) == []
    with RustVerifier() as verifier:
        for crate_type in ("bin", "lib"):
            chosen = [index for index, row in enumerate(rows) if row[1] == crate_type]
            codes = [rows[index][2] for index in chosen]
            batched = verifier.verify(codes, crate_type=crate_type)
            exact = verifier.verify(codes, crate_type=crate_type, exact=True)
            same_codes = sum(
                verdict.error_codes == alone[index][1] for index, verdict in zip(chosen, exact, strict=True)
            )
            ladder = sum((a.status, a.checks) == (b.status, b.checks) for a, b in zip(batched, exact, strict=True))
            print(f"{crate_type}: {len(codes)} codes, exact {same_codes} equal lists, batched {ladder} equal ladders")
            assert same_codes == len(codes)
            assert ladder >= 0.99 * len(codes)


CRASH = "pub const X: u32 = " + "!" * 90_000 + "0;"
ENDLESS = (
    "#![allow(long_running_const_eval)]\npub const X: u32 = { let mut i = 0u32; loop { i = i.wrapping_add(1); } };"
)
PARENTHESES = "pub const X: u32 = " + "(" * 20_000 + "0" + ")" * 20_000 + ";"
OVERSIZED = "// " + "x" * MAX_BYTES
POISON = {
    "a compiler crash": (CRASH, {"compiler_crash"}),
    "an endless constant": (ENDLESS, {"timeout"}),
    "macros that double": (
        "macro_rules! d { ($($t:tt)*) => { d!($($t)* $($t)*); } }\nd!(a b c d);",
        {"timeout", "resource_limit", "compiler_crash", "compilation_failed"},
    ),
    "many parentheses": (PARENTHESES, {"refused"}),
    "an oversized source": (OVERSIZED, {"refused"}),
    "an enormous constant": ("pub static X: [u8; 1 << 33] = [1; 1 << 33];", {"compilation_failed", "resource_limit"}),
    "an unclosed brace": ("pub fn f() {", {"invalid_syntax"}),
    "a brace too many": ("} pub fn f() {}", {"invalid_syntax"}),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_damages_nobody_else_in_its_batch(name, monkeypatch):
    code, expected = POISON[name]
    # Into the batch with it, whatever routing thinks of it.
    monkeypatch.setattr(verifier_module, "must_compile_alone", lambda *_: None)
    codes, statuses = neighbours()
    with RustVerifier(timeout=2) as verifier:
        verdicts = verifier.verify([*codes[:3], code, *codes[3:]])
    assert [verdict.status for verdict in verdicts[:3] + verdicts[4:]] == statuses
    assert verdicts[3].status in expected, verdicts[3]


LEAKS = {
    "the parent module's names": ("pub fn shared() {}", "use super::*; pub fn g() { nanochat_batch_0::shared() }"),
    "the crate's root": ("pub fn shared() {}", "use crate :: nanochat_batch_0::shared;"),
    "the crate by another name": ("pub fn shared() {}", "use crate as root; use root::nanochat_batch_0::shared;"),
    "the file of a neighbour": (
        "pub fn shared() {}",
        "mod nanochat_batch_0; pub fn g() { nanochat_batch_0::shared() }",
    ),
    "the file of a neighbour, by a macro": (
        "pub fn shared() {}",
        "macro_rules! m { ($n:ident) => { mod $n; } } m!(nanochat_batch_0); pub fn g() { nanochat_batch_0::shared() }",
    ),
    "a main that no program can have": (GOOD, "fn main(x: i32) {}"),
    "a main whose return type is none": (GOOD, "fn main() -> i32 { 0 }"),
    "a main whose return type is its own": (GOOD, "pub struct Result; fn main() -> Result { Result }"),
    "the parent of its root, from within a module": (
        "pub fn shared() {}",
        "mod a { use super::super::nanochat_batch_0::shared; }",
    ),
    "the parent of its root, under another name": (
        "pub fn shared() {}",
        "mod a { use super as b; use b::super::nanochat_batch_0; }",
    ),
    "the parent of its root, by a macro": (
        "pub fn shared() {}",
        "macro_rules! up { ($($p:tt)*) => { super::$($p)* } }"
        "mod a { pub fn f() { up!(super::nanochat_batch_0::shared()) } }",
    ),
    "silence about what is not reached": (GOOD, "#[deny(missing_docs)] pub fn f() {}"),
    "a main that is switched off": (GOOD, "#[cfg(any())]\nfn main() {}"),
    "a main that switches itself off": (GOOD, "fn main() { #![cfg(any())] }"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_batch_gives_nothing_a_code_has_not_alone(verifier, name):
    first, second = LEAKS[name]
    verdicts = verifier.verify([first, second])
    assert [verdict.ok for verdict in verdicts] == [True, False], verdicts[1]


CLASHES = {
    "modules that name their parents": (
        "pub fn f() {} mod a { use super::f; mod b { pub(super) fn g() { super::super::f(); super::f() } } }",
        "fn g() {} #[cfg(test)] mod tests { use super::*; } mod a { pub(super) struct S; } pub(self) use a::S;",
    ),
    "mains that return": (
        "fn main() -> std::io::Result<()> { Ok(()) }",
        "mod std {} use ::std::process::ExitCode; fn main() -> ExitCode { ExitCode::SUCCESS } // end",
    ),
    "an operator for a foreign type": (
        "pub struct V; impl PartialEq<V> for u32 { fn eq(&self, _: &V) -> bool { true } }",
        'pub fn f() -> bool { let s = "7"; 7u32 == s.parse().unwrap() }',
    ),
    "two global allocators": (
        "use std::alloc::System; #[global_allocator] static A: System = System;",
        "use std::alloc::System; #[global_allocator] static B: System = System;",
    ),
    "the same names everywhere": (
        "pub struct S; macro_rules! m { () => {} } m!();",
        "pub struct S; fn std() {} m!();",
    ),
    "a module called std": (
        "pub mod std { pub fn f() {} } pub fn g() { std::f() }",
        "pub fn f() -> std::string::String { todo!() }",
    ),
}


@pytest.mark.parametrize("name", CLASHES)
def test_a_batch_takes_nothing_a_code_has_alone(verifier, name):
    first, second = CLASHES[name]
    together = verifier.verify([first, second, GOOD])
    with RustVerifier() as fresh:
        apart = [fresh.verify([code])[0] for code in (first, second, GOOD)]
    assert [verdict.status for verdict in together] == [verdict.status for verdict in apart]


@pytest.mark.parametrize(
    "text, routed",
    [
        ("/// see `super::x` and crate::y\npub fn f() {}", False),
        ("mod a { use super::*; }", False),
        ("mod a { use super::super::*; }", True),
        ('/*\n// */ use super::x; /*\n*/', True),
        ('const A: &str = "\n// "; use super::x; const B: &str = "\n";', True),
        ("#![allow(unused, clippy::all)]\n#![warn(dead_code)]\npub fn f() {}", False),
        ("# ! [no_std]\npub fn f() {}", True),
        ("#/**/!/**/[no_std]\npub fn f() {}", True),
        ("#!#![allow(x)][feature(never_type)]", True),
        ("macro_rules! m { ($($n:ident)*) => { $(mod $n/**/;)* } }", True),
        ("#[unsafe(no_mangle)] pub fn f() {}", True),
        ("pub fn f() { include_str!(\"x\"); }", True),
    ],
)  # fmt: skip
def test_what_may_share_a_crate_is_read_from_the_code_not_from_its_comments(text, routed):
    assert bool(must_compile_alone(text.encode(), analyse(text), "2021", "lib")) is routed


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
    *_, verdict = verifier.verify([*neighbours()[0], code])
    (diagnostic,) = verdict.diagnostics
    assert (verdict.status, diagnostic.code, diagnostic.line, diagnostic.column) == ("semantic_error", "E0382", 5, 5)
    assert "candidate.rs:5:5" in diagnostic.rendered and "value used here after move" in diagnostic.rendered
    assert verdict.checks == {"types": "ok", "ownership": "error", "lifetimes": "ok"}


def test_an_explanation_never_shows_the_neighbours(verifier):
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
        ({"workers": 0}, "workers must be at least 1"),
        ({"timeout": 0}, "timeout must be a positive"),
        ({"sandbox": "strong"}, "sandbox must be"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_rule(setting, rule):
    with pytest.raises(ValueError, match=rule):
        RustVerifier(**setting)


def test_wrong_arguments_are_refused_by_their_rule(verifier):
    with pytest.raises(ValueError, match="codes must be a list"):
        verifier.verify(GOOD)
    with pytest.raises(ValueError, match="crate_type must be"):
        verifier.verify([GOOD], crate_type="dylib")


@given(st.sampled_from(sorted(RULES)), st.data())
def test_no_rule_finds_what_the_quick_look_misses(reason, data):
    matching = data.draw(st.from_regex(re.compile(RULES[reason])))
    assert any(word in matching for word in WORDS)


@given(st.integers(0, 300))
def test_nesting_is_refused_from_its_limit_on(depth):
    code = b"const X: u8 = " + b"(" * depth + b"0" + b")" * depth + b";"
    assert (refusal(code) is None) == (depth <= 200)
