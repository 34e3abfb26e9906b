"""A batch gives and takes nothing: its verdicts are those of codes compiled alone."""

import gzip
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evaluation.rust.judge.batching as batching
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.routing import MAX_BYTES, RULES, WORDS, must_compile_alone
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.syntax.analysis import analyze

TOOLCHAIN = find_toolchain()
DATA = os.environ.get("NANOCHAT_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="NANOCHAT_DATA is not set: the stored verdicts are there")
GOOD = "pub fn double(x: u32) -> u32 { x * 2 }"


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


def neighbors(count=6):
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

    monkeypatch.setattr(batching, "must_compile_alone", counted)
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
    monkeypatch.setattr(batching, "must_compile_alone", lambda *_: None)
    codes, statuses = neighbors()
    with RustVerifier(timeout=1) as verifier:
        verdicts = verifier.verify([*codes[:3], code, *codes[3:]])
    assert [verdict.status for verdict in verdicts[:3] + verdicts[4:]] == statuses
    assert verdicts[3].status in expected, verdicts[3]


LEAKS = {
    "the parent module's names": ("pub fn shared() {}", "use super::*; pub fn g() { nanochat_batch_0::shared() }"),
    "the crate's root": ("pub fn shared() {}", "use crate :: nanochat_batch_0::shared;"),
    "the crate by another name": ("pub fn shared() {}", "use crate as root; use root::nanochat_batch_0::shared;"),
    "the file of a neighbor": (
        "pub fn shared() {}",
        "mod nanochat_batch_0; pub fn g() { nanochat_batch_0::shared() }",
    ),
    "the file of a neighbor, by a macro": (
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
        ("/*\n// */ use super::x; /*\n*/", True),
        ('const A: &str = "\n// "; use super::x; const B: &str = "\n";', True),
        ("#![allow(unused, clippy::all)]\n#![warn(dead_code)]\npub fn f() {}", False),
        ("# ! [no_std]\npub fn f() {}", True),
        ("#/**/!/**/[no_std]\npub fn f() {}", True),
        ("#!#![allow(x)][feature(never_type)]", True),
        ("macro_rules! m { ($($n:ident)*) => { $(mod $n/**/;)* } }", True),
        ("#[unsafe(no_mangle)] pub fn f() {}", True),
        ('pub fn f() { include_str!("x"); }', True),
    ],
)
def test_what_may_share_a_crate_is_read_from_the_code_not_from_its_comments(text, routed):
    assert bool(must_compile_alone(text.encode(), analyze(text), "2021", "lib")) is routed


@given(st.sampled_from(sorted(RULES)), st.data())
def test_no_rule_finds_what_the_quick_look_misses(reason, data):
    matching = data.draw(st.from_regex(re.compile(RULES[reason])))
    assert any(word in matching for word in WORDS)
