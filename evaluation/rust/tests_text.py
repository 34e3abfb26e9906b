"""
Tests of every kind as one text, and back: for the column `tests` of a data set and for the judge as a service.

Rust is the text of hidden tests, declarations first. Every other text is a JSON object, whose fields name the kind:

    {"signature": ..., "checker": ..., "allow_unsafe": ...}     hidden tests
    {"crate": ..., "version": ..., "function": ..., "tests": ...}     tests of a hole
    {"stdin_tests": [{"stdin": ..., "expected": ...}, ...], "comparison": ...}     runs of a program
    {"appended": ...}     source that is appended to the code
"""

import json
from collections.abc import Callable

from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.judge.batching import Tests
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.stdin_tests import StdinTests

AnyTests = Tests | HoleTests
"""Tests of one code snippet; None for code that is only compiled."""


def tests_to_text(tests: AnyTests) -> str | None:
    """Return a text from which `tests_from_text` makes equal tests; None for None."""
    if isinstance(tests, HoleTests):
        return tests.as_text()
    if isinstance(tests, StdinTests):
        return tests.to_text()
    if isinstance(tests, HiddenTests):
        values = {"signature": tests.signature, "checker": tests.checker, "allow_unsafe": tests.allow_unsafe}
        return json.dumps(values)
    return None if tests is None else json.dumps({"appended": tests})


def tests_from_text(text: str | None) -> AnyTests:
    """
    Return the tests of a text.

    Raises:
        ValueError: The text is neither Rust nor one of the JSON objects above, or its tests are faulty.
    """
    if text is None:
        return None
    if not text.lstrip().startswith("{"):
        return HiddenTests.parse(text)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"tests must be Rust or JSON: {error}") from error
    kind = next((name for name in READERS if name in values), None)
    if kind is None:
        raise ValueError(f"tests as JSON must have one of the fields {', '.join(READERS)}, got {sorted(values)}")
    return READERS[kind](text)


def _hidden(text: str) -> HiddenTests:
    values = json.loads(text)
    unknown = values.keys() - {"signature", "checker", "allow_unsafe"}
    if unknown:
        raise ValueError(f"hidden tests must have signature, checker and allow_unsafe, got {sorted(unknown)}")
    allow_unsafe = values.get("allow_unsafe", False)
    if not isinstance(allow_unsafe, bool):
        raise ValueError(f"allow_unsafe of hidden tests must be true or false, got {allow_unsafe!r}")
    return HiddenTests(values["signature"], values.get("checker", ""), allow_unsafe)


def _appended(text: str) -> str:
    tests = json.loads(text)["appended"]
    if not isinstance(tests, str):
        raise ValueError(f"appended tests must be Rust as text, got {type(tests).__name__}")
    return tests


READERS: dict[str, Callable[[str], AnyTests]] = {
    "signature": _hidden,
    "crate": HoleTests.parse,
    "stdin_tests": StdinTests.from_text,
    "appended": _appended,
}
"""The field that names each kind of tests, and the function that reads it."""
