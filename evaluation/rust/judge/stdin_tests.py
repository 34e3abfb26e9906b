"""Tests that run a whole program: what it reads from standard input, and what it must write to standard output."""

import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

Comparison = Literal["exact", "tokens"]
COMPARISONS: tuple[str, ...] = get_args(Comparison)
MAX_CASES = 256
MAX_TEXT_BYTES = 1 << 20  # of an input or an output: programs may not write more
MAX_TOTAL_BYTES = 16 << 20
KEY = "stdin_tests"
FIELDS = {"stdin", "expected"}


@dataclass(frozen=True)
class StdinCase:
    """
    One run of a program.

    Args:
        stdin: What the program reads.
        expected: What it must write to standard output.

    Raises:
        ValueError: A field is no text, is not Unicode, has a NUL character or is too long.
    """

    stdin: str
    expected: str

    def __post_init__(self):
        for name in ("stdin", "expected"):
            value = getattr(self, name)
            if not isinstance(value, str):
                raise ValueError(f"{name} of a case must be a text, got {type(value).__name__}")
            if "\0" in value:
                raise ValueError(
                    f"{name} of a case must have no NUL character, got one at index {value.index(chr(0))}"
                )
            try:
                size = len(value.encode())
            except UnicodeEncodeError as error:
                raise ValueError(f"{name} of a case must be Unicode, got a lone surrogate: {error}") from None
            if size > MAX_TEXT_BYTES:
                raise ValueError(f"{name} of a case must have at most {MAX_TEXT_BYTES:,} bytes, got {size:,}")

    def holds(self, stdout: bytes, comparison: Comparison) -> bool:
        """Whether this is the expected output."""
        expected = self.expected.encode()
        return stdout == expected if comparison == "exact" else stdout.split() == expected.split()


@dataclass(frozen=True)
class StdinTests:
    """
    Tests of a program with a `fn main`, which is run once for each case. It passes a case if it ends with status 0
    and its output is the expected one.

    Args:
        cases: The cases.
        comparison: `"exact"` compares the bytes. `"tokens"` splits both outputs at ASCII whitespace and compares the
            parts, so that line breaks and spaces may differ.

    Raises:
        ValueError: There is no case, there are too many, two contradict each other, or none expects an output.
    """

    cases: tuple[StdinCase, ...]
    comparison: Comparison = "tokens"

    def __post_init__(self):
        if not isinstance(self.cases, tuple) or not all(isinstance(case, StdinCase) for case in self.cases):
            raise ValueError(f"cases must be a tuple of StdinCase, got {type(self.cases).__name__}")
        if self.comparison not in COMPARISONS:
            raise ValueError(f"comparison must be one of {', '.join(COMPARISONS)}, got {self.comparison!r}")
        if not 1 <= len(self.cases) <= MAX_CASES:
            raise ValueError(f"stdin tests must have 1 to {MAX_CASES} cases, got {len(self.cases)}")
        size = sum(len(case.stdin.encode()) + len(case.expected.encode()) for case in self.cases)
        if size > MAX_TOTAL_BYTES:
            raise ValueError(f"stdin tests must have at most {MAX_TOTAL_BYTES:,} bytes together, got {size:,}")
        expected: dict[str, str] = {}
        for case in self.cases:
            if expected.setdefault(case.stdin, case.expected) != case.expected:
                raise ValueError(f"equal stdin must have equal expected, got two for {case.stdin[:80]!r}")
        if all(case.holds(b"", self.comparison) for case in self.cases):
            raise ValueError("some case must expect an output, or a program that does nothing passes; got none")

    @classmethod
    def of(cls, rows: Any, comparison: Any = "tokens") -> "StdinTests":
        """Return the tests of a list of objects with `stdin` and `expected`. Raises `ValueError`."""
        if not isinstance(rows, list | tuple):
            raise ValueError(f"stdin tests must be a list of cases, got {type(rows).__name__}")
        cases = []
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or set(row) != FIELDS:
                got = sorted(row) if isinstance(row, dict) else type(row).__name__
                raise ValueError(f"case {number} must be an object with stdin and expected, got {got}")
            try:
                cases.append(StdinCase(row["stdin"], row["expected"]))
            except ValueError as error:
                raise ValueError(f"case {number}: {error}") from None
        return cls(tuple(cases), comparison)

    def to_text(self) -> str:
        """Return a text from which `from_text` makes equal tests: a line of JSON."""
        values = {KEY: [vars(case) for case in self.cases], "comparison": self.comparison}
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> "StdinTests":
        """Return the tests that `to_text` wrote. Raises `ValueError`."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise ValueError(f"stdin tests must be JSON: {error}") from error
        if not isinstance(values, dict) or not {KEY} <= set(values) <= {KEY, "comparison"}:
            raise ValueError(f"stdin tests must be JSON with {KEY} and comparison, got {text[:80]!r}")
        return cls.of(values[KEY], values.get("comparison", "tokens"))
