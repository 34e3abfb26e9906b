"""Validation of the arguments of `RustVerifier`: every error names the argument, its rule and the value given."""

import math
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import TypeGuard

from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.batching import Rules, Tests
from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.stdin_tests import StdinTests

MIN_MEMORY_GIB = 0.25
KINDS_OF_TESTS = (str, HiddenTests, StdinTests, NoneType)


def check_count(name: str, value: object, minimum: int) -> None:
    """Raise `ValueError` unless a value is an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")


def check_seconds(name: str, value: object) -> None:
    """Raise `ValueError` unless a value is a positive, finite number."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, got {value!r}")


def check_memory(name: str, value: object) -> None:
    """Raise `ValueError` unless a value is a finite number of at least `MIN_MEMORY_GIB`."""
    if not _is_number(value) or not MIN_MEMORY_GIB <= value < math.inf:
        raise ValueError(f"{name} must be at least {MIN_MEMORY_GIB} GiB, got {value!r}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_list(name: str, values: object, types: tuple[type, ...], expected: str) -> list:
    """
    Return the elements of a list after checking their types.

    Args:
        name: Name of the argument.
        values: Value of the argument.
        types: Types that elements may have.
        expected: These types in words.

    Raises:
        ValueError: The value is no list, or an element has another type.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a list of {expected}, got a single {type(values).__name__}")
    elements = list(values)
    for index, value in enumerate(elements):
        if not isinstance(value, types):
            raise ValueError(f"{name} must be {expected}, got {type(value).__name__} at index {index}")
    return elements


def encoded_codes(codes: object) -> list[bytes]:
    """Return code snippets as bytes; a `str` is encoded as UTF-8. Raises `ValueError`."""
    checked = checked_list("codes", codes, (str, bytes), "source texts (str or bytes)")
    return [code.encode("utf-8", "surrogatepass") if isinstance(code, str) else code for code in checked]


def tests_of_each(tests: Sequence[Tests] | Tests, count: int, rules: Rules) -> list[Tests]:
    """
    Return one entry of tests for each code snippet.

    Raises:
        ValueError: The number or the type of the tests is wrong, or the rules do not allow them.
    """
    if tests is None or isinstance(tests, str | HiddenTests | StdinTests):
        each: list[Tests] = [tests] * count
    else:
        each = checked_list("tests", tests, KINDS_OF_TESTS, "None, texts, HiddenTests or StdinTests")
    if len(each) != count:
        raise ValueError(f"tests must be one for all codes or one for each, got {len(each)} for {count} codes")
    for test in {id(test): test for test in each}.values():
        if isinstance(test, str):
            AppendedTests.read(test)
            if rules == "reward":
                raise ValueError(
                    "tests appended to a code can be cheated by it: under reward rules tests must be HiddenTests or "
                    "StdinTests"
                )
        elif rules == "reward" and isinstance(test, HiddenTests) and test.allow_unsafe:
            raise ValueError("unsafe code can forge the result of its tests: under reward rules allow_unsafe is False")
    return each
