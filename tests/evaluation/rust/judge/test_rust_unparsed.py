"""Code that rustc accepts is judged by what it does, also where the grammar of syntax trees does not know it."""

import tomllib

import pytest
from tree_sitter import Parser

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.judge.unparsed import repaired
from evaluation.rust.syntax.analysis import COMMENTS, RUST, TEXTS
from evaluation.rust.syntax.nodes import walk
from evaluation.rust.syntax.tokens import is_balanced, tokens
from tests.helpers.paths import HELPERS
from tests.helpers.stored import needs_data, rows

HACKS = tomllib.loads((HELPERS / "hacks.toml").read_text())
HONEST = tomllib.loads((HELPERS / "honest.toml").read_text())["program"]
# What rustc accepts and the grammar does not know; the first ones are repaired, the others are not.
REPAIRED = {
    "negative argument": "fn gap() -> i8 { fn g<const N: i8>() -> i8 { N } g::<-1>() }",
    "several arguments": "fn gap() { fn g<const N: i8, const M: i8>() {} g::<1, -2>() }",
    "rest of an assigned structure": "struct Gap { y: u8, z: u8 } fn gap(s: Gap) { let _y; Gap { y: _y, .. } = s; }",
    "macro_rules apart": "macro_rules ! gap { () => { 1 } }",
    "field by its number": "fn gap(x: Option<u8>) -> u8 { match x { Some { 0: y } => y, None => 0 } }",
    "lifetime first": 'fn gap(x: &(dyn \'static + std::fmt::Debug)) -> String { format!("{x:?}") }',
}
UNREPAIRED = {
    "no bounds": "fn gap<T>() where T: {}",
    "bound on a trait object": "trait Gap {} fn gap() where dyn Gap: Gap {}",
    "broken loop": "fn gap() { 'a: while break 'a {} }",
}
GAPS = REPAIRED | UNREPAIRED
# Without a signature any function that does something is enough, and what is put beside these does.
HACKED = [hack for hack in HACKS["hack"] if hack.get("only") != "compile"]


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(timeout=2, run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def parses(code):
    return not Parser(RUST).parse(code.encode()).root_node.has_error


def hidden_tests_of(program):
    if program.get("only") == "compile":
        return None
    checker = "" if program.get("only") == "signature" else program.get("checker", HACKS["checker"])
    return HiddenTests(program.get("signature", HACKS["signature"]), checker)


def test_the_grammar_does_not_know_what_these_tests_are_about():
    assert not any(parses(code) for code in GAPS.values())
    assert all(parses(repaired(code)) for code in REPAIRED.values())
    assert not any(parses(repaired(code)) for code in UNREPAIRED.values())
    assert all(len(repaired(code)) == len(code) for code in GAPS.values())


@pytest.mark.parametrize("gap", GAPS)
def test_a_right_solution_earns_its_reward_whatever_stands_beside_it(verifier, gap):
    tests = HiddenTests("fn double(n: u32) -> u32;", "check!(double(2) == 4); check!(double(0) == 0);")
    codes = [
        f"{GAPS[gap]}\n{part}" for part in ("fn double(n: u32) -> u32 { 2 * n }", "fn double(n: u32) -> u32 { n }")
    ]
    verdicts = verifier.verify(codes, tests, rules="reward")
    assert [verdict.status for verdict in verdicts] == ["valid", "tests_failed"]


@pytest.mark.parametrize("gap", ["negative argument", "no bounds"])
def test_no_hack_becomes_good_by_what_cannot_be_parsed(verifier, gap):
    hacks = HACKED[::25]
    codes = [f"{hack['code']}\n{GAPS[gap]}" for hack in hacks]
    verdicts = verifier.verify(codes, list(map(hidden_tests_of, hacks)), rules="reward")
    assert not {hack["name"]: verdict.status for hack, verdict in zip(hacks, verdicts, strict=True) if verdict.ok}


@pytest.mark.slow
@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("before", [True, False])
def test_no_hack_at_all_becomes_good_by_any_of_it(verifier, gap, before):
    hacks = HACKED
    codes = [f"{GAPS[gap]}\n{hack['code']}" if before else f"{hack['code']}\n{GAPS[gap]}" for hack in hacks]
    verdicts = verifier.verify(codes, list(map(hidden_tests_of, hacks)), rules="reward")
    assert not {hack["name"]: verdict.status for hack, verdict in zip(hacks, verdicts, strict=True) if verdict.ok}


@pytest.mark.slow
@pytest.mark.parametrize("gap", GAPS)
def test_honest_programs_stay_honest_beside_it(verifier, gap):
    programs = [program for program in HONEST if "signature" not in program or "<" not in program["signature"]]
    codes = [f"{program['code']}\n{GAPS[gap]}" for program in programs]
    verdicts = verifier.verify(codes, list(map(hidden_tests_of, programs)), rules="reward")
    failed = {program["name"]: v.diagnostics for program, v in zip(programs, verdicts, strict=True) if not v.ok}
    print(len(failed), "of", len(programs))
    assert len(failed) <= (0 if gap in REPAIRED else 3), failed


@pytest.mark.parametrize(
    "code, reason",
    [
        ("fn double(n: u32) -> u32 { std::process::exit(0) }", "ends or starts processes"),
        ("fn double(n: u32) -> u32 { unsafe { 2 * n } }", "has unsafe code"),
        (
            "#[no_mangle] fn double(n: u32) -> u32 { 2 * n }",
            "has an attribute that solutions do not need: `no_mangle`",
        ),
        ("fn double(n: u32) -> u32 { todo!() }", "`fn double` does nothing"),
        ("fn double(_: u32) -> u32 { 4 }", "`fn double` never uses its parameters"),
        ("fn double(n: u32) -> u32 { 'a: while break 'a {} 4 }", "`fn double` never uses its parameters"),
        ("mod other; fn double(n: u32) -> u32 { n }", "has a module in another file"),
        ("fn double(n: u32) -> u32 { if 1 > 2 { return 1; } 2 * n }", "has a condition that is always the same"),
        ("fn double<'a>(n: u32) -> u32 { 2 * n }", "declares a lifetime it never uses"),
    ],
)
def test_tokens_tell_what_a_tree_would(code, reason):
    tests = HiddenTests("fn double(n: u32) -> u32;", "check!(double(2) == 4);")
    (found, *_) = [refusal for refusal in refusals(f"{GAPS['no bounds']}\n{code}".encode(), tests)]
    assert reason in found.reason and found.line == 2


def test_without_a_tree_what_could_only_be_seen_in_one_is_refused_where_it_matters():
    gap, code = (
        GAPS["no bounds"],
        "trait Own { fn f(&self) -> u32; } impl<T: Copy> Own for T { fn f(&self) -> u32 { 1 } }",
    )
    code = f"{gap}\n{code}\nfn double(n: u32) -> u32 {{ n + n }}".encode()
    separate = HiddenTests("fn double(n: u32) -> u32;", "check!(double(2) == 4);")
    shared = HiddenTests("struct Own; fn double(n: u32) -> u32;", "check!(double(2) == 4);")
    assert not refusals(code, separate)
    assert {"`trait`", "of `impl`"} <= {
        word for refusal in refusals(code, shared) for word in ("`trait`", "of `impl`") if word in refusal.reason
    }
    assert refusals(code) and refusals(code, HiddenTests("fn double(n: u32) -> u32;", ""))


@needs_data
@pytest.mark.parametrize("step", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_tokens_are_the_leaves_of_the_tree_where_there_is_one(step):
    skipped = COMMENTS | TEXTS | {"lifetime", "label", "shebang"}
    checked = 0
    texts = [
        row.get("code") or row["text"]
        for name in ("rust_by_example", "rust_corpus", "std_doc_examples")
        for row in rows(name)
    ]
    for text in texts[::step]:
        root = Parser(RUST).parse(text.encode()).root_node
        if root.has_error or "macro_rules" in text or len(text) > 50_000:
            continue
        leaves = [node.text.decode() for node in walk(root, lambda node: node.type in skipped) if not node.child_count]
        # In macros the grammar parts lifetimes from their quote, and some numbers from their type.
        whole = [leaf for before, leaf in zip(["", *leaves], leaves, strict=False) if before != "'"]
        words = [leaf for leaf in whole if leaf[0].isalpha() or leaf[0] == "_" or leaf in "{}"]
        found = [token.text for token in tokens(text) if token.kind == "word" or token.text in "{}"]
        types = {"f16", "f128"}
        assert [word for word in found if word not in types] == [word for word in words if word not in types]
        checked += 1
    assert checked >= 4000 / step


@pytest.mark.parametrize(
    "code, balanced",
    [
        ("", True),
        ("f(1, [2]);", True),
        ("f(']');", True),
        ('f(")");', True),
        ("// )\n f()", True),
        ("'a: loop {}", True),
        ("f(", False),
        ("f)", False),
        ("(]", False),
        ("} fn g() {", False),
        ('f("', False),
        ("/* ", False),
        ("f() // (", True),
        ('r#"("#', True),
        ('br#"', False),
        ("b'('", True),
        ("'('", True),
        ("'\\''", True),
    ],
)
def test_brackets_are_balanced_by_tokens(code, balanced):
    assert is_balanced(code) == balanced
