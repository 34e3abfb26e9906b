"""Functions of a text that only have to compile: documented, typed, and declared by the standard library alone."""

import pytest

from evaluation.rust import RustVerifier
from trainers.data.benchmark_problems import Benchmark, ProblemText
from trainers.data.sources import Document
from trainers.data.tasks import text_functions as text_functions_module
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
        "struct S;\nimpl S {\n    /// A method.\n    fn own(&self, a: u8) -> u8 { a }\n}",
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
    monkeypatch.setattr(text_functions_module, "BATCH", 1)
    with RustVerifier() as verifier:
        assert compilable(tasks, 9, verifier) == [count, half]
        remaining = iter(tasks)
        assert compilable(remaining, 1, verifier) == [count] and list(remaining) == [half]


def test_a_function_that_no_body_can_complete_is_left_out():
    tasks = found("/// Says it.\nfn said(a: u8) -> u8 where [(); { println!(); 1 }]: Sized { a }")
    with RustVerifier() as verifier:
        assert compilable(tasks, 9, verifier) == []
