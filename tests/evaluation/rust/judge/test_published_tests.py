"""Published tests mean as hidden ones what libtest takes them for, or are refused by name."""

import tomllib

import pytest
from tree_sitter import Parser

from evaluation.rust import RustVerifier
from evaluation.rust.judge.published_tests import as_hidden_tests
from evaluation.rust.syntax.analysis import RUST
from tests.helpers.exercism import exercism
from tests.helpers.paths import HELPERS
from tests.helpers.stored import needs_data, rows

STORED = tomllib.loads((HELPERS / "published_tests.toml").read_text())
SOLUTIONS, TESTS = STORED["solutions"], STORED["tests"]
PASSES = {
    (name, solution): solution in STORED["passing"].get(name, STORED["usually_passing"])
    for name in TESTS
    for solution in SOLUTIONS
}
SIGNATURE = "fn f(a: i32) -> i32; fn g(a: i32) -> i32;"


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def passing(verifier, tests, **options):
    """Which solution passes which of the tests."""
    verdicts = verifier.verify([SOLUTIONS[each] for _, each in PASSES], [tests[name] for name, _ in PASSES], **options)
    return {pair: verdict.ok for pair, verdict in zip(PASSES, verdicts, strict=True)}


def test_hidden_tests_tell_what_the_published_ones_tell(verifier):
    assert passing(verifier, {name: as_hidden_tests(SIGNATURE, text) for name, text in TESTS.items()}) == PASSES


@pytest.mark.slow
def test_libtest_tells_the_same(verifier):
    assert passing(verifier, TESTS, trusted=True) == PASSES


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ("macro_rules! t { ($n:ident) => { #[test] fn $n() { assert!(f(1) == 2) } } }\nt!(a);", "test.*line 1.*macro"),
        ("t! { #[test] fn a() { assert!(f(1) == 2) } }", "by a macro"),
        (
            "#[test]\n#[test_case(1)]\nfn t() { assert!(true) }",
            r"#\[test_case\(1\)\]` in line 2 is an unusual attribute",
        ),
        ("#[rstest] fn t() { assert!(f(1) == 2) }", r"#\[rstest\]"),
        ("#[tokio::test] async fn t() { assert!(f(1) == 2) }", r"#\[tokio::test\]"),
        ("#[cfg_attr(unix, ignore)] #[test] fn t() { assert!(f(1) == 2) }", "cfg_attr"),
        ("#[bench] fn t() { assert!(f(1) == 2) }", r"#\[bench\]"),
        ("#[test] async fn t() { assert!(f(1) == 2) }", "no plain function"),
        ("#[test] fn t(a: i32) { assert!(f(a) == 2) }", "no plain function"),
        ("fn outer() { #[test] fn t() { assert!(f(1) == 2) } }", "on no function of a module"),
        ("struct S; impl S { #[test] fn t() { assert!(f(1) == 2) } }", "on no function of a module"),
        ('#[should_panic(because = "x")] #[test] fn t() { assert!(f(1) == 2) }', "not of its form"),
        ("extern crate rand;\n#[test] fn t() { assert!(f(1) == 2) }", "needs another crate"),
        ("mod tests;\n#[test] fn t() { assert!(f(1) == 2) }", "`mod tests;` in line 1 is in another file"),
        ("macro_rules! check { () => {} }\n#[test] fn t() { assert!(f(1) == 2) }", "another name"),
        ("#[test] fn t() {\n  assert!(f(1) == 2;\n}", "in line [123] cannot be parsed"),
        (
            "fn main() { assert!(f(1) == 2); std::process::exit(0) }",
            "process::exit` in line 1 is not available to",
        ),
        (
            "use std::{\n fmt, fs};\n#[test] fn t() { assert!(f(1) == 2) }",
            "fs.* in line [12] is not available to",
        ),
        (
            "impl S { fn x(&self) {} }\n#[test] fn t() { assert!(f(1) == 2) }",
            "`impl S .* line 1 is for a type of",
        ),
        (
            "impl From<S> for u8 {}\nimpl std::fmt::Debug for S {}\n#[test] fn t() { assert!(true) }",
            "impl std.* line 2",
        ),
        ("#[test] fn t() { f(1); /* assert */ }", "with assertions"),
        ("fn t() { assert!(f(1) == 2); }", "with assertions"),
    ],
)
def test_what_would_mean_something_else_is_refused_by_name(tests, told):
    with pytest.raises(ValueError, match=told):
        as_hidden_tests(f"{SIGNATURE} struct S;", tests)


@pytest.mark.parametrize(
    ("assertion", "case"),
    [
        ("assert_eq!(f(1), 2);", "check!((f(1)) == ( 2));"),
        ('assert_ne!(f(1), 2, "told {}", 1);', "check!((f(1)) != ( 2));"),
        ('assert!(f(1) == 2, "told");', "check!(f(1) == 2);"),
        (
            "assert_eq!(f::<u8, u8>(1), HashMap::<u8, u8>::new());",
            "check!((f::<u8, u8>(1)) == ( HashMap::<u8, u8>::new()));",
        ),
        ("for x in 0..2 { std::assert!(f(x)); }", "for x in 0..2 { check!(f(x)); }"),
        ('println!("assert!(x)"); assert!(x)', 'println!("assert!(x)"); check!(x)'),
        ("(0..2).for_each(|x| assert!(f(x)));", "(0..2).for_each(|x| assert!(f(x)));"),
        ("assert!(f(x)?);", "assert!(f(x)?);"),
    ],
)
def test_an_assertion_becomes_a_case(assertion, case):
    assert f"{{ {case} }}" in as_hidden_tests("fn f();", f"#[test] fn t() {{ {assertion} }}").checker


def test_a_failed_case_is_told_by_its_line_in_the_published_text(verifier):
    text = """
        #[cfg(test)]
        mod tests {
            #[test]
            #[should_panic(
                expected = "overflow",
            )]
            fn u() { super::f(i32::MAX); }
            #[test]
            fn t() {
                assert!(
                    true, "a
                    b"
                );
                assert!(super::f(1) == 3);
            }
        }"""
    (verdict,) = verifier.verify([SOLUTIONS["right"]], as_hidden_tests(SIGNATURE, text))
    assert (verdict.tests_passed, verdict.tests_total) == (3, 4)
    assert f"at line {1 + text[: text.index('super::f(1)')].count(chr(10))} of" in verdict.diagnostics[0].message


def demanded(code):
    """A signature of what a solution publishes."""
    form = {"struct": "struct {};", "enum": "enum {} {{}}", "trait": "trait {} {{}}", "type": "type {} = ();"}
    for node in Parser(RUST).parse(code.encode()).root_node.named_children:
        text = node.text.decode().removeprefix("pub ")
        if node.type == "use_declaration" and text.startswith("use std"):
            yield text
        elif any(child.type == "visibility_modifier" for child in node.children):
            kind, name = node.type.removesuffix("_item"), node.child_by_field_name("name")
            if kind == "function":
                yield text[: -len(node.child_by_field_name("body").text.decode())] + ";"
            elif kind in form:
                yield form[kind].format(name.text.decode())


# Signatures as made here lack what these solutions publish in modules, or types that are named in public ones only.
NOT_DEMANDED = {"dot-dsl", "book-store", "dominoes", "yacht"}
REFUSED = {"forth"}  # its tests have an allocator of their own


@needs_data
@pytest.mark.slow
def test_the_solutions_of_exercism_pass_its_tests_as_hidden_ones():
    problems = {row["slug"]: exercism(row) for row in rows("exercism_rust") if row["verified"] == "pass"}
    chosen = {slug: problem for slug, problem in problems.items() if slug not in NOT_DEMANDED | REFUSED}
    tests = [as_hidden_tests("\n".join(demanded(code)), text) for code, text in chosen.values()]
    with RustVerifier("2024", run_timeout=30) as verifier:
        verdicts = verifier.verify([code for code, _ in chosen.values()], tests)
    assert len(chosen) > 90
    assert {slug: verdict.status for slug, verdict in zip(chosen, verdicts, strict=True) if not verdict.ok} == {}
    for slug in REFUSED:
        with pytest.raises(ValueError, match="global_allocator"):
            as_hidden_tests("fn f();", problems[slug][1])
