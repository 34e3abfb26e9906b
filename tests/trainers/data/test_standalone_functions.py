"""Functions of a text that compile alone, with the items of their file that they need, to train on."""

import pytest

from evaluation.rust import RustVerifier
from trainers.data import verify
from trainers.data.sources import Document
from trainers.data.standalone_functions import MAX_CHARACTERS, MAX_ITEMS, standalone_functions
from trainers.data.tasks.text_functions import head_of_signature, text_functions
from trainers.data.verify import first_compiling

FILE = """use std::collections::HashMap;
use crate::Secret;

static UNRELATED: u8 = 1;
const LIMIT: usize = 8;

/// Pages by number.
#[derive(Debug, Clone)]
pub struct Book {
    pages: HashMap<u32, Page>,
}

#[derive(Debug, Clone)]
struct Page(String);

fn shortened(text: &str) -> &str {
    &text[..text.len().min(LIMIT)]
}

impl Book {
    /// Returns the start of a page of `self`.
    ///
    /// # Examples
    pub fn start(&self, page: u32) -> Option<&str> {
        self.pages
            .get(&page)
            .map(|found| shortened(&found.0))
    }
}

mod inner {
    fn reveal(secret: Secret) -> u8 {
        secret.0
    }
}
"""


def code_of(document: Document) -> str:
    return document.code


def name_of_last(code: str) -> str:
    return code.rpartition("fn ")[2].partition("(")[0]


def found(code: str, **excluded: set[str]) -> list[Document]:
    return list(standalone_functions([Document.of("text", "a.rs", "file", "MIT", code)], **excluded))


def test_a_method_stands_behind_all_that_it_needs_of_its_file_and_nothing_else():
    start = next(each for each in found(FILE) if "fn start" in each.code)
    assert start.code == (
        "use std::collections::HashMap;\n\n"
        "const LIMIT: usize = 8;\n\n"
        "#[derive(Debug, Clone)]\npub struct Book {\n    pages: HashMap<u32, Page>,\n}\n\n"
        "#[derive(Debug, Clone)]\nstruct Page(String);\n\n"
        "fn shortened(text: &str) -> &str {\n    &text[..text.len().min(LIMIT)]\n}\n\n"
        "/// Returns the start of a page of `book`.\n"
        "fn start(book: &Book, page: u32) -> Option<&str> {\n"
        "    book.pages\n        .get(&page)\n        .map(|found| shortened(&found.0))\n}\n"
    )
    assert (start.source, start.path, start.kind, start.license) == ("functions", "text/a.rs", "file", "MIT")


def test_only_functions_that_compile_alone_are_kept_in_order_and_no_more_are_read(monkeypatch):
    monkeypatch.setattr(verify, "BATCH", 1)
    documents = {name_of_last(each.code): each for each in found(FILE)}
    shortened, reveal, start = (documents[name] for name in ("shortened", "reveal", "start"))
    with RustVerifier() as verifier:
        assert first_compiling([reveal, shortened, start], 9, verifier, code_of) == [shortened, start]
        remaining = iter([shortened, reveal, start])
        assert first_compiling(remaining, 1, verifier, code_of) == [shortened] and list(remaining) == [reveal, start]


@pytest.mark.parametrize(
    "code",
    [
        "fn none() -> u8 { 1 }",
        "fn nothing(a: u8) { drop(a) }",
        "fn todo(a: u8) -> u8 {}",
        "fn main(a: u8) -> u8 { a }",
        "unsafe fn danger(a: u8) -> u8 { a }",
        "#[cfg(test)]\nmod tests {\n    fn help(a: u8) -> u8 { a }\n}",
        "struct Book;\nimpl Book {\n    fn of(&self, a: u8) -> u8 { let book = a; self.id(book) }\n}",
        f"fn long(a: u8) -> u8 {{ {'a + ' * (MAX_CHARACTERS // 4)}a }}",
        "\n".join(f"fn f{number}() {{}}" for number in range(MAX_ITEMS + 1))
        + f"\nfn all(a: u8) -> u8 {{ {''.join(f'f{number}(); ' for number in range(MAX_ITEMS + 1))}a }}",
    ],
)
def test_other_functions_are_left_out(code):
    assert found(code) == []


def test_copies_and_excluded_functions_are_left_out():
    code = "mod a {\n    fn add(a: u8) -> u8 { a }\n}\n/// Adds.\nfn sum(a: u8) -> u8 { a }\n"
    assert len(found(code)) == len(found(code + "mod b { fn add(a: u8)->u8 {a} }")) == 2
    assert [each.code for each in found(code, excluded={"sum"})] == ["fn add(a: u8) -> u8 { a }\n"]


def test_a_prompt_of_reinforcement_learning_is_not_trained_on_by_itself():
    text = [Document.of("text", "a.rs", "file", "MIT", FILE)]
    (task,) = text_functions(text)
    assert task.prompt.endswith("fn start(book: &Book, page: u32) -> Option<&str> {\n")
    kept = found(FILE, excluded_heads={head_of_signature(task.signature)})
    assert len(kept) == len(found(FILE)) - 1 and not any("fn start" in each.code for each in kept)
