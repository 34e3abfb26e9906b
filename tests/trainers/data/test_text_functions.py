"""Functions of a text that only have to compile: documented, typed, and declared by the library and their types."""

import pytest

from evaluation.rust import RustVerifier
from trainers.data import verify
from trainers.data.benchmark_problems import Benchmark, ProblemText
from trainers.data.sources import Document
from trainers.data.tasks.task import Task
from trainers.data.tasks.text_functions import MAX_CHARACTERS, compilable, functions_asked, text_functions

FILE = """pub(crate) use std::collections::{BTreeMap, HashMap as Map};
use crate::Secret;

/// Counts the words.
///
/// # Examples
#[inline]
pub(crate) const fn count(text: &str, known: &Map<String, usize>) -> usize {
    helper(text, known)
}
"""


def found(code: str, excluded: tuple[str, ...] = ()) -> list[Task]:
    return list(text_functions([Document.of("text", "a.rs", "file", "MIT", code)], excluded))


def test_a_prompt_has_the_first_paragraph_and_the_imports_of_the_signature():
    (task,) = found(FILE)
    head = "fn count(text: &str, known: &Map<String, usize>) -> usize"
    assert task.prompt == f"use std::collections::HashMap as Map;\n\n/// Counts the words.\n{head} {{\n"
    assert task.tests.declarations.items == (("fn", "count"),) and task.tests.blank
    assert task.code.endswith("    helper(text, known)\n}\n")


@pytest.mark.parametrize(
    "code",
    [
        "fn undocumented(a: u8) -> u8 { a }",
        "/// No parameter.\nfn none() -> u8 { 1 }",
        "/// No result.\nfn nothing(a: u8) { drop(a) }",
        "/// Unsafe.\nunsafe fn danger(a: u8) -> u8 { a }",
        "struct S;\nimpl S {\n    /// No value.\n    fn new() -> S { S }\n}",
        "struct S;\nimpl Clone for S {\n    /// Of a trait.\n    fn clone(&self) -> S { S }\n}",
        "struct S;\nimpl S {\n    /// In a box.\n    fn own(self: Box<Self>) -> u8 { 1 }\n}",
        "struct S;\nimpl S {\n    /// Associated.\n    fn item(&self) -> Self::Item { 1 }\n}",
        "//// Slashes.\nfn ruled(a: u8) -> u8 { a }",
        "/// # Heading alone\nfn headed(a: u8) -> u8 { a }",
        "/// Of a struct.\nstruct S;\nfn after(a: u8) -> u8 { a }",
        "#[cfg(test)]\nmod tests {\n    /// A helper.\n    fn help(a: u8) -> u8 { a }\n}",
        f"/// {'long ' * (MAX_CHARACTERS // 5)}\nfn described(a: u8) -> u8 {{ a }}",
    ],
)
def test_other_functions_are_left_out(code):
    assert found(code) == []


def test_copies_and_functions_that_benchmarks_ask_for_are_left_out():
    code = (
        "mod a {\n    /// Adds.\n    fn add(a: u8, b: u8) -> u8 { a }\n}\n/// Sums.\nfn add(a: u8,b: u8)->u8 { b }\n"
    )
    assert len(found(code)) == 1
    problem = ProblemText("1", ("fn add() {}",), "fn add(x: i32, y: i32) -> i32 {")
    assert found(code, tuple(functions_asked([Benchmark("suite", (problem,))]))) == []
    assert functions_asked([Benchmark("collection", (problem,), scored=False)]) == set()


def test_only_signatures_that_stand_alone_are_kept_in_order_and_no_more_are_read(monkeypatch):
    hidden = "/// Hides.\nfn hide(secret: Secret) -> u8 { 1 }"
    tasks = [task for code in (hidden, FILE, "/// Halves.\nfn half(a: u8) -> u8 { a / 2 }") for task in found(code)]
    _, count, half = tasks
    monkeypatch.setattr(verify, "BATCH", 1)
    with RustVerifier() as verifier:
        assert compilable(tasks, 9, verifier) == [count, half]
        remaining = iter(tasks)
        assert compilable(remaining, 1, verifier) == [count] and list(remaining) == [half]


def test_a_function_that_no_body_can_complete_is_left_out():
    tasks = found("/// Says it.\nfn said(a: u8) -> u8 where [(); { println!(); 1 }]: Sized { a }")
    with RustVerifier() as verifier:
        assert compilable(tasks, 9, verifier) == []


TYPES = """use std::collections::HashMap;
use serde::Serialize;

/// Keeps pages.
#[derive(Debug, Serialize, Clone)]
#[repr(C)]
pub struct Book<T> {
    /// Their numbers.
    #[serde(skip)]
    pages: HashMap<u32, Page<T>>, // by number
}

#[derive(
    Debug, Clone,
)]
enum Page<T> {
    Empty,
    /// With text.
    Full([T; WIDTH]),
}

/// Columns.
const WIDTH: usize = 80;
struct Unrelated;

impl<T: Copy> Book<T>
where
    T: Ord,
{
    /// Finds a page of the self-made `&self`, if `page` is there.
    pub(crate) fn find<'a, F>(&'a self, page: u32, accept: F) -> Option<&'a Page<T>>
    where
        F: Fn(&Self) -> bool,
    {
        self.pages.get(&page)
    }
}
"""


def test_a_method_becomes_a_function_behind_the_types_of_its_signature_without_foreign_attributes():
    (task,) = found(TYPES)
    assert task.prompt == (
        "use std::collections::HashMap;\n\n"
        "#[derive(Debug, Clone)]\npub struct Book<T> {\n    pages: HashMap<u32, Page<T>>,\n}\n\n"
        "#[derive(Debug, Clone)]\nenum Page<T> {\n    Empty,\n    Full([T; WIDTH]),\n}\n\n"
        "const WIDTH: usize = 80;\n\n"
        "/// Finds a page of the self-made `&book`, if `page` is there.\n"
        "fn find<'a, T: Copy, F>(book: &'a Book<T>, page: u32, accept: F) -> Option<&'a Page<T>>\n"
        "where\n    T: Ord,\n    F: Fn(&Book<T>) -> bool, {\n"
    )
    items = (("struct", "Book"), ("enum", "Page"), ("const", "WIDTH"), ("fn", "find"))
    assert task.tests.declarations.items == items and task.tier == 1


def test_a_method_with_types_is_judged_by_the_compiler_like_any_function():
    code = TYPES.replace("self.pages.get(&page)", "if accept(book) { book.pages.get(&page) } else { None }")
    with RustVerifier() as verifier:
        (task,) = compilable(found(code), 1, verifier)
        wrong = task.prompt + "    book.sheets.get(&page)\n}\n"
        good, bad = verifier.verify([task.code, wrong], [task.tests] * 2, rules="reward")
    assert good.ok and bad.error_codes == ("E0609",)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("impl f64 {\n/// D.\nfn half(self) -> Self { 1. }\n}", "fn half(number: f64) -> f64 {"),
        ("impl<T> [T] {\n/// D.\nfn cut(&mut self) -> u8 { 1 }\n}", "fn cut<T>(items: &mut [T]) -> u8 {"),
        ("impl str {\n/// D.\nfn cut(&self, text: u8) -> &str { self }\n}", "fn cut(this: &str, text: u8) -> &str {"),
        ("impl LineIter<'_> {\n/// D.\nfn on(mut self) -> u8 { 1 }\n}", "fn on(mut iter: LineIter<'_>) -> u8 {"),
        ("impl AnyMatch {\n/// D.\nfn on(self) -> u8 { 1 }\n}", "fn on(this: AnyMatch) -> u8 {"),
    ],
)
def test_the_value_of_a_method_is_named_after_its_type_unless_the_name_is_taken(method, head):
    (task,) = found(method)
    assert task.prompt.splitlines()[-1] == head
