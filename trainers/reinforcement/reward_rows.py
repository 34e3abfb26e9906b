"""
Rows of a data set as the judge takes them: the tests in their columns, the program of a prompt and its completion, and
whether some completion of a prompt can be a success.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

from evaluation.rust import HiddenTests, StdinTests
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.judge.harness import publish
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.syntax.answers import extract_rust, text_of
from evaluation.rust.syntax.completion import completed_function, opened_function
from evaluation.rust.tests_text import AnyTests, tests_from_text

Text = str | list[dict[str, Any]]
"""A text, or the messages of a conversation."""
Mode = Literal["tests", "compile", "mixed"]
COLUMNS = ("signature", "checker", "tests")
"""Columns of a data set that hold the tests of its rows."""
RewardTests = HiddenTests | HoleTests | StdinTests


def tests_of_rows(
    prompts: Sequence[Text], columns: dict[str, Any], mode: Mode
) -> tuple[list[RewardTests], dict[str, int]]:
    """
    Read the tests of each row.

    Args:
        prompts: Texts, or conversations.
        columns: The columns `signature` and `checker`, or `tests`.
        mode: Of the reward; with "compile" hidden tests have no cases, with "mixed" they may have none.

    Returns:
        The tests, and the programs of which only the compiler can decide whether they are Rust, with a row of each.

    Raises:
        ValueError: A row lacks a column that the mode needs, or no completion of its prompt can be a success.
    """
    texts = {name: _column(name, columns, len(prompts)) for name in COLUMNS}
    if not any(columns.get(name) for name in COLUMNS):
        others = ", ".join(sorted(name for name, value in columns.items() if isinstance(value, list))) or "no others"
        raise ValueError(
            f"the data set must have the columns signature and checker, or tests, beside prompt, got {others}: rename "
            "those that hold them with rename_column (docs/tasks.md shows what they hold)"
        )
    found = [_tests_of_row(number, mode, *row) for number, row in enumerate(zip(*texts.values(), strict=True))]
    uncertain: dict[str, int] = {}
    for number, (prompt, required) in enumerate(zip(prompts, found, strict=True)):
        if isinstance(required, HoleTests):
            if not isinstance(prompt, str) or not prompt.endswith("{"):
                raise ValueError(
                    f"row {number} must have a prompt that ends with an opening brace; its tests are hole tests"
                )
            continue
        if not isinstance(prompt, str):
            continue
        program, fault = with_empty_body(prompt, required)
        if fault is not None:
            raise ValueError(f"row {number} must have a prompt {fault}; got {shortened(prompt)}")
        if program is not None:
            uncertain.setdefault(program, number)
    return found, uncertain


def _column(name: str, columns: dict[str, Any], rows: int) -> list[str | None]:
    """Return a column of texts; a missing one has none."""
    values: list[str | None] = list(columns.get(name) or [None] * rows)
    if len(values) != rows:
        raise ValueError(f"{name} must be as many as prompts, got {len(values)} and {rows}")
    for number, value in enumerate(values):
        if not isinstance(value, str | None):
            raise ValueError(
                f"row {number} must have a text in {name}, got {type(value).__name__}: docs/tasks.md shows its form, "
                "and evaluation.rust.tests_text.tests_to_text writes it"
            )
    return values


def _tests_of_row(
    number: int, mode: Mode, signature: str | None, checker: str | None, tests: str | None
) -> RewardTests:
    try:
        required = _parsed(tests) if tests else _hidden(signature or "", checker or "")
        if not isinstance(required, RewardTests):
            raise ValueError("tests that are appended to the code can be cheated by it")
    except ValueError as error:
        given = f"; its tests are {shortened(tests)}" if tests else ""
        raise ValueError(
            f"row {number} must have a signature and hidden tests, in signature and checker or in tests: "
            f"{error}{given}"
        ) from None
    if not isinstance(required, HiddenTests):
        if mode == "compile":
            raise ValueError(
                f'row {number} must have a signature; hole tests and stdin tests need mode="tests" or mode="mixed"'
            )
        return required
    if mode == "compile":
        return HiddenTests(required.signature, "")
    if required.blank and mode == "tests":
        raise ValueError(
            f'row {number} must have hidden tests, in checker or tests; without them, use mode="compile", '
            'which rewards code that compiles, or mode="mixed", which does so in the rows without them'
        )
    return required


@lru_cache(maxsize=100_000)
def _parsed(text: str) -> AnyTests:
    return tests_from_text(text)


@lru_cache(maxsize=100_000)
def _hidden(signature: str, checker: str) -> HiddenTests:
    return HiddenTests(signature, checker)


def submitted(prompt: Text, program: str, tests: RewardTests) -> str:
    """Return the code that is judged: the program, or for hole tests the body that completes the prompt."""
    return "{" + program[len(prompt) :] if isinstance(tests, HoleTests) else program


@lru_cache(maxsize=100_000)
def with_empty_body(prompt: str, required: HiddenTests | StdinTests) -> tuple[str | None, str | None]:
    """
    Check whether some completion of a text prompt can be a success, by completing it with an empty body.

    Returns:
        The program with an empty body, if only the compiler can decide whether it is Rust, else None; and the fault of
        the prompt, as the end of "must have a prompt ...", or None.
    """
    head = opened_function(prompt)
    if head is None:
        return None, (
            "that ends within a function, such as `fn add(a: i32, b: i32) -> i32 {`, or a conversation: a completion "
            "counts up to the brace that closes the function"
        )
    program = head + "}"
    if isinstance(required, StdinTests):
        missing = ["fn main"] if analyze(program).main == "none" else []
    else:
        missing = publish(program.encode(), required)[1]
    if missing:
        return None, f"that has all items of its signature; no function body can add {', '.join(missing)}"
    if analyze(program).has_error:
        return program, None
    refused = refusals(program.encode(), required, continued=True)
    return None, f"that is not refused with every completion: it {refused[0].reason}" if refused else None


def shortened(prompt: str) -> str:
    """End of a prompt, for a message."""
    return repr(prompt if len(prompt) <= 80 else "..." + prompt[-77:])


def program_of(prompt: Text, completion: Text) -> str | None:
    """Program of a prompt and its completion; None when the completion is not finished."""
    if not isinstance(prompt, str):
        return extract_rust(completion)
    text = text_of(completion)
    function = None if text is None else completed_function(prompt, text)
    return None if function is None else prompt + function
