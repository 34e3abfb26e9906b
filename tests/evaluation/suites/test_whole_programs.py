"""Prompts for whole files: the shown code is read back, and a file ends where it is complete."""

import pytest

from evaluation.suites.whole_programs import (
    as_comment,
    completed_file,
    completed_file_with_helpers,
    program_block,
    shown_program,
)

STUB = """pub struct Stack;

impl Stack {
    pub fn push(&mut self, value: i32) {
        todo!("push {value}")
    }
}

// ``` in a comment
pub fn depth(stack: &Stack) -> usize {
    todo!()
}
"""
SOLUTION = """pub struct Stack {
    values: Vec<i32>,
}

impl Stack {
    pub fn push(&mut self, value: i32) {
        helper(self, value);
    }
}

pub fn depth(stack: &Stack) -> usize {
    let text = "}";
    stack.values.len() + text.len() - 1
}"""
HELPER = "\n\nfn helper(stack: &mut Stack, value: i32) {\n    stack.values.push(value);\n}"


@pytest.mark.parametrize("mark", ["//", "//!"])
def test_the_last_shown_program_is_read_back(mark):
    before = as_comment("Text with ```rust in it.\n\n```rust\nfn other() {}\n```", mark)
    prompt = before + program_block(STUB, mark) + as_comment("error: said\n```text\n```", mark) + "\n"
    assert shown_program(prompt) == STUB
    assert shown_program("fn open() {\n") == ""


def test_a_file_ends_when_all_items_are_defined_and_closed():
    prompt = program_block(STUB) + "\n"
    assert completed_file(prompt, SOLUTION + HELPER) == SOLUTION
    assert completed_file(prompt, SOLUTION[:-1]) is None
    assert completed_file(prompt, SOLUTION.replace("fn depth", "fn deep")) is None
    # The file may begin in the prompt.
    assert completed_file(prompt + SOLUTION[:60], SOLUTION[60:] + HELPER) == SOLUTION[60:]


@pytest.mark.parametrize(
    "following",
    [
        "\n\n#[cfg(test)]\nmod tests {}\n",
        "\n\nfn main() {}\n",
        "\n\npub fn depth(stack: &Stack) -> usize { 0 }\n",
        "\n\npub fn another_exercise() {}\n",
    ],
)
def test_helpers_belong_to_a_file_and_what_begins_another_one_does_not(following):
    prompt = program_block(STUB, "//!") + "\n"
    assert completed_file_with_helpers(prompt, SOLUTION + HELPER) is None
    assert completed_file_with_helpers(prompt, SOLUTION + HELPER + following) == SOLUTION + HELPER
    assert completed_file_with_helpers(prompt, SOLUTION + following) == SOLUTION
