"""Two processes judge as one would: whatever plain value goes to the candidate and back is the same value."""

import pickle

import pytest

from evaluation.rust import HiddenTests, RustVerifier

IMPORTS = (
    "use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque}; "
    "use std::{borrow::Cow, cmp::{Ordering, Reverse}, num::Wrapping, ops::Range, time::Duration};"
)
# A type, and expressions of it that must come back as they were.
VALUES = {
    "u8": "0, 255",
    "i8": "-128, 127",
    "u64": "u64::MAX",
    "i128": "i128::MIN, -1",
    "u128": "u128::MAX",
    "usize": "usize::MAX",
    "isize": "isize::MIN",
    "bool": "true, false",
    "char": "'a', '\\u{10ffff}', '\\0'",
    "()": "()",
    "f64": "0.1, f64::INFINITY, f64::MIN_POSITIVE",
    "f32": "f32::EPSILON",
    "String": 'String::new(), "ä\\0".repeat(9)',
    "&'static str": '"", "\\u{1F600}"',
    "(i32, String, char)": "(1, String::from(\"x\"), 'y')",
    "(u8,)": "(1,)",
    "(u8, u8, u8, u8, u8, u8, u8, u8)": "(1, 2, 3, 4, 5, 6, 7, 8)",
    "[[u16; 3]; 2]": "[[1, 2, 3], [4, 5, 6]]",
    "[u8; 0]": "[]",
    "Vec<()>": "vec![(); 3]",
    "Vec<Vec<i64>>": "vec![vec![], vec![1]]",
    "Option<Option<u8>>": "None, Some(None), Some(Some(1))",
    "Result<u8, String>": 'Ok(1), Err("no".into())',
    "Box<[u8]>": "vec![1, 2].into_boxed_slice()",
    "Box<str>": '"x".into()',
    "Box<Option<Box<i32>>>": "Box::new(Some(Box::new(1)))",
    "HashMap<String, Vec<u8>>": 'HashMap::from([("a".into(), vec![1])])',
    "BTreeMap<(i32, char), bool>": "BTreeMap::from([((1, 'a'), true)])",
    "HashSet<char>": "HashSet::from(['x'])",
    "BTreeSet<Reverse<i8>>": "BTreeSet::from([Reverse(1), Reverse(2)])",
    "VecDeque<i32>": "VecDeque::from([1, 2])",
    "LinkedList<u8>": "LinkedList::from([1])",
    "Ordering": "Ordering::Less, Ordering::Greater",
    "Wrapping<u8>": "Wrapping(255)",
    "Range<usize>": "1..9, 9..1",
    "Duration": "Duration::from_nanos(1_999_999_999)",
    "std::collections::BTreeMap<u8, std::string::String>": 'BTreeMap::from([(1, "a".into())])',
}


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


def judged(verifier, code, signature, checker):
    tests = HiddenTests(signature, checker)
    assert tests.shared_because is None
    return verifier.verify([code], tests)[0]


def test_every_plain_value_comes_back_as_it_was(verifier):
    codes, tests = [], []
    for kind, values in VALUES.items():
        codes.append(f"{IMPORTS}\nfn same(value: {kind}) -> {kind} {{ value }}")
        loop = "for value in values { check!(same(value.clone()) == value); }"
        checker = f"let values: Vec<{kind}> = vec![{values}]; {loop}"
        tests.append(HiddenTests(f"{IMPORTS} fn same(value: {kind}) -> {kind};", checker))
        assert tests[-1].shared_because is None
    verdicts = verifier.verify(codes, tests)
    failed = {kind: verdict.diagnostics for kind, verdict in zip(VALUES, verdicts, strict=True) if not verdict.ok}
    assert not failed


def test_a_number_that_is_none_and_a_negative_zero_keep_their_bits(verifier):
    code = "fn same(value: f64) -> f64 { value }"
    checker = "check!(same(-0.0).is_sign_negative()); check!(same(f64::NAN).to_bits() == f64::NAN.to_bits());"
    assert judged(verifier, code, "fn same(value: f64) -> f64;", checker).ok


def test_what_is_behind_a_mutable_reference_is_changed(verifier):
    code = (
        "fn change(words: &mut Vec<String>, row: &mut [i32], count: &mut usize) -> usize "
        '{ words.push("new".into()); row.sort(); *count += 1; words.len() }'
    )
    checker = (
        'let mut words = vec![String::from("old")]; let mut row = [3, 1, 2]; let mut count = 4;'
        'check!(change(&mut words, &mut row, &mut count) == 2); check!(words[1] == "new");'
        "check!(row == [1, 2, 3] && count == 5);"
    )
    signature = "fn change(words: &mut Vec<String>, row: &mut [i32], count: &mut usize) -> usize;"
    assert judged(verifier, code, signature, checker).ok


def test_results_that_borrow_from_arguments_are_values(verifier):
    code = (
        "fn longer<'a>(a: &'a str, b: &'a str) -> &'a str { if a.len() < b.len() { b } else { a } }"
        "\nfn halves(values: &[i32]) -> (&[i32], &[i32]) { values.split_at(values.len() / 2) }"
        "\nfn first<'a>(words: &[&'a str]) -> Option<&'a str> { words.first().copied() }"
        "\nfn largest(values: &mut Vec<i32>) -> Option<&i32> { values.sort(); values.last() }"
    )
    signature = (
        "fn longer<'a>(left: &'a str, right: &'a str) -> &'a str; fn halves(values: &[i32]) -> (&[i32], &[i32]);"
        "fn first<'a>(words: &[&'a str]) -> Option<&'a str>; fn largest(values: &mut Vec<i32>) -> Option<&i32>;"
    )
    checker = (
        'check!(longer("a", "bc") == "bc"); check!(halves(&[1, 2, 3]) == (&[1][..], &[2, 3][..]));'
        'check!(first(&["x"]) == Some("x")); check!(first(&[]) == None);'
        "let mut values = vec![2, 3, 1]; check!(largest(&mut values) == Some(&3)); check!(values == [1, 2, 3]);"
    )
    assert judged(verifier, code, signature, checker).ok


def test_a_panic_of_the_candidate_is_one_of_the_checker_with_its_message(verifier):
    code = 'fn check_it(n: u32) -> u32 { if n > 2 { panic!("{n} is too large") } else if n > 1 { panic!("two") } n }'
    checker = (
        "let told = |n| *std::panic::catch_unwind(|| check_it(n)).unwrap_err().downcast::<String>().unwrap();"
        'check!(told(3) == "3 is too large"); check!(check_it(1) == 1); check!(check_it(3) == 3);'
        'check!(*std::panic::catch_unwind(|| check_it(2)).unwrap_err().downcast::<&str>().unwrap() == "two");'
    )
    verdict = judged(verifier, code, "fn check_it(n: u32) -> u32;", checker)
    assert (verdict.tests_passed, verdict.tests_total) == (3, 4)


def test_a_candidate_remembers_its_calls_and_no_others(verifier):
    code = (
        "use std::sync::atomic::{AtomicU32, Ordering};\nstatic CALLS: AtomicU32 = AtomicU32::new(0);\n"
        "fn next() -> u32 { CALLS.fetch_add(1, Ordering::SeqCst) + {n} - {n} }"
    )
    checker = (
        "use std::sync::atomic::{AtomicU32, Ordering}; static RUNS: AtomicU32 = AtomicU32::new(0);"
        "check!(RUNS.fetch_add(1, Ordering::SeqCst) == 0); check!(next() == 0); check!(next() == 1);"
    )
    codes = [code.replace("{n}", str(number)) for number in range(3)]
    verdicts = verifier.verify(codes, HiddenTests("fn next() -> u32;", checker))
    assert [verdict.ok for verdict in verdicts] == [True] * 3


@pytest.mark.parametrize(
    "signature, checker, why",
    [
        ("struct Stack; fn new() -> u8;", "check!(new() == 1);", "own `struct Stack`"),
        ("fn f<T: Copy>(x: T) -> T;", "check!(f(1) == 1);", "`fn f` is generic"),
        ("fn f(g: impl Fn(u8) -> u8) -> u8;", "check!(f(|x| x) == 1);", "no plain value: `impl Fn"),
        ("fn f(g: &dyn Fn(u8) -> u8) -> u8;", "check!(f(&|x| x) == 1);", "no plain value: `dyn Fn"),
        ("fn f(g: fn(u8) -> u8) -> u8;", "check!(f(|x| x) == 1);", "no plain value: `fn(u8)"),
        ("fn f() -> impl Iterator<Item = u8>;", "check!(f().count() == 1);", "no plain value: `impl Iterator"),
        ("use std::rc::Rc; fn f(x: Rc<u8>) -> u8;", "check!(f(Rc::new(1)) == 1);", "standard library: `Rc`"),
        ("use std::fmt::Result; fn f() -> Result;", "check!(f().is_ok());", "standard library: `Result`"),
        ("fn f() -> std::io::Result<u8>;", "check!(f().is_ok());", "standard library: `std::io::Result<u8>`"),
        ("use std::io; fn f() -> io::Result<u8>;", "check!(f().is_ok());", "standard library: `io::Result<u8>`"),
        ("fn f<'a>(x: &'a mut u8) -> &'a mut u8;", "check!(*f(&mut 1) == 1);", "returns `&'a mut u8`"),
        ("fn f(x: Option<&mut u8>);", "check!({ f(None); true });", "takes `Option<&mut u8>`"),
        ("fn f(x: &mut &str);", 'let mut x = ""; f(&mut x); check!(x == "");', "takes `&mut &str`"),
        ("fn f(x: &[u8]) -> &[u8];", "let x = [1]; check!(f(&x).as_ptr() == x.as_ptr());", "`as_ptr`"),
        (
            "fn f(x: &mut Vec<u8>);",
            "let mut x = vec![]; let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| f(&mut x))); "
            "check!(x.is_empty());",
            "`catch_unwind`",
        ),
        ("use std::ops::RangeInclusive; fn f() -> RangeInclusive<u8>;", "check!(f().is_empty());", "`RangeInclusive`"),
        ("fn f() -> !;", "check!({ f() });", "no plain value: `!`"),
        ("use std::sync::atomic::Ordering; fn f() -> Ordering;", "check!(f() == Ordering::SeqCst);", "`Ordering`"),
    ],
)
def test_tests_that_need_the_candidates_own_process_say_why(signature, checker, why):
    assert why in (HiddenTests(signature, checker).shared_because or "")


def test_hidden_tests_can_be_sent_to_other_processes_once_they_were_read():
    tests = HiddenTests("fn f() -> u8;", "check!(f() == 1);")
    assert tests.shared_because is None
    assert pickle.loads(pickle.dumps(tests)) == tests


@pytest.mark.parametrize(
    ("imports", "signature", "checker", "body"),
    [
        (
            "use std::collections::VecDeque as Vec;",
            "fn f(x: &[u8]) -> Vec<u8>",
            "f(&[1]).len() < 2",
            "x.to_vec().into()",
        ),
        ("use std::vec::Vec as String;", "fn f(x: &str) -> String<u8>", 'f("a") == [97]', "x.bytes().collect()"),
    ],
)
def test_an_import_may_take_a_name_of_the_standard_library(verifier, imports, signature, checker, body):
    verdict = judged(verifier, f"{imports} {signature} {{ {body} }}", f"{imports} {signature};", f"check!({checker});")
    assert verdict.status == "valid", verdict.diagnostics


def test_a_checker_may_have_types_of_any_name(verifier):
    checker = "enum Shape { Box } use Shape::Box; type bool = u8; let one: bool = 1; check!(f(one) == Box as u8);"
    assert judged(verifier, "fn f(x: u8) -> u8 { x - 1 }", "fn f(x: u8) -> u8;", checker).status == "valid"


def test_a_result_that_is_too_long_is_no_attempt_to_forge(verifier):
    code = 'fn f() -> String { "x".repeat(270 << 20) }'
    # To write so much takes a busy machine more than the second that the other tests get.
    with RustVerifier(run_timeout=10) as patient:
        verdict = judged(patient, code, "fn f() -> String;", "check!(!f().is_empty());")
    assert (verdict.status, "256 MiB" in verdict.diagnostics[0].message) == ("resource_limit", True)


def test_values_without_a_size_may_be_many(verifier):
    code, checker = "fn f() -> Vec<()> { vec![(); 2 << 20] }", "check!(f().len() == 2 << 20);"
    assert judged(verifier, code, "fn f() -> Vec<()>;", checker).status == "valid"


def test_names_of_the_harness_cannot_be_demanded():
    with pytest.raises(ValueError, match="must not begin with `nanochat_`"):
        HiddenTests("fn nanochat_calls(x: u8) -> u8;", "check!(nanochat_calls(1) == 1);")
