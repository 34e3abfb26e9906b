"""Tasks of the user: a prompt, tests of any kind, and maybe a solution, in a row of a file or of a data set."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from evaluation.rust import HiddenTests, StdinTests
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.judge.harness import publish
from evaluation.rust.syntax.analysis import analyze
from evaluation.rust.syntax.completion import completed_function, opened_function
from evaluation.rust.tests_text import tests_from_text, tests_to_text

Tests = HiddenTests | HoleTests | StdinTests
OwnSplit = Literal["train", "held_out"]
KINDS: dict[type, str] = {HiddenTests: "Rust tests", HoleTests: "hole tests", StdinTests: "stdin tests"}
FIELDS = (
    "prompt",
    "messages",
    "signature",
    "checker",
    "tests",
    "stdin_tests",
    "comparison",
    "solution",
    "id",
    "tier",
    "crate",
    "version",
    "function",
)
"""Columns that a row may have; others are ignored."""
ROLES = ("system", "user", "assistant")
HELD_OUT_SHARE = 0.1
MAX_TIER = 4


@dataclass(frozen=True)
class OwnTask:
    """
    A task of the user.

    Attributes:
        id: Unique in its file.
        prompt: Text that ends within a function, or the messages of a conversation that the user ends.
        tests: What judges an answer.
        solution: A known right continuation of the text, or for a conversation a whole program; None if there is none.
        tier: Difficulty from 0 to 4, which the curriculum uses.

    Raises:
        ValueError: No completion of the prompt could pass its tests, or a field is out of range.
    """

    id: str
    prompt: str | tuple[Mapping[str, str], ...]
    tests: Tests
    solution: str | None = None
    tier: int = 0

    def __post_init__(self):
        if isinstance(self.tier, bool) or not isinstance(self.tier, int) or not 0 <= self.tier <= MAX_TIER:
            raise ValueError(f"tier must be a whole number from 0 to {MAX_TIER}, got {self.tier!r}")
        if isinstance(self.prompt, str):
            fault = _fault_of_text(self.prompt, self.tests)
        else:
            fault = _fault_of_messages(self.prompt, self.tests)
        if fault is not None:
            raise ValueError(fault)

    @property
    def is_chat(self) -> bool:
        """Whether the prompt is a conversation."""
        return not isinstance(self.prompt, str)

    @property
    def family(self) -> str:
        """Kind of its tests; for a hole task the crate."""
        return self.tests.crate if isinstance(self.tests, HoleTests) else KINDS[type(self.tests)]

    @property
    def split(self) -> OwnSplit:
        """Part of the data that it belongs to, by a hash of its id; for a hole task by its crate."""
        return "held_out" if self.place_in_split < HELD_OUT_SHARE else "train"

    @property
    def place_in_split(self) -> float:
        """The hash that decides the split, from 0 to 1."""
        name = self.tests.crate if isinstance(self.tests, HoleTests) else self.id
        return int.from_bytes(sha256(name.encode()).digest()[:8]) / 2**64

    @property
    def text(self) -> str:
        """All text of the task but its tests."""
        shown = self.prompt if isinstance(self.prompt, str) else "\n".join(each["content"] for each in self.prompt)
        return f"{shown}{self.solution or ''}"

    def judged(self, completion: str | None) -> str | None:
        """
        Return what the verifier of the tests judges: the program, or for a hole task the body.

        Args:
            completion: Continuation of the text, or the whole program of a conversation; None for an unfinished one.
        """
        if completion is None or not isinstance(self.prompt, str):
            return completion
        return "{" + completion if isinstance(self.tests, HoleTests) else self.prompt + completion

    def columns(self) -> dict[str, Any]:
        """Return the columns that `RustReward` and the curriculum read."""
        hidden = self.tests if isinstance(self.tests, HiddenTests) else None
        return {
            "prompt": self.prompt if isinstance(self.prompt, str) else [dict(each) for each in self.prompt],
            "signature": None if hidden is None else hidden.signature,
            "checker": None if hidden is None else hidden.checker,
            "tests": None if hidden is not None else tests_to_text(self.tests),
            "tier": self.tier,
            "id": self.id,
            "family": self.family,
        }

    def as_row(self) -> dict[str, Any]:
        """Return a row that `of_row` reads."""
        columns = {name: value for name, value in self.columns().items() if value is not None and name != "family"}
        if self.is_chat:
            columns["messages"] = columns.pop("prompt")
        return columns | ({} if self.solution is None else {"solution": self.solution})

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "OwnTask":
        """Return the task in a row with some of the columns `FIELDS`. Raises `ValueError` for a faulty one."""
        given = {name: row[name] for name in FIELDS if row.get(name) not in (None, "", [])}
        tests = _tests_in(given)
        prompt = _one_of(given, ("prompt", "messages"))
        solution, name = given.get("solution"), given.get("id")
        if solution is not None and not isinstance(solution, str):
            raise ValueError(f"solution must be a text, got {type(solution).__name__}")
        if name is not None and (isinstance(name, bool) or not isinstance(name, str | int)):
            raise ValueError(f"id must be a text or a whole number, got {name!r}")
        value = given[prompt]
        if prompt == "messages":
            value = _messages(value)
        elif not isinstance(value, str):
            raise ValueError(f"prompt must be a text, got {type(value).__name__}; a conversation is messages")
        elif value.rstrip().endswith("{"):
            # The line break behind the brace would be a token of its own, and is left to the model.
            value = value.rstrip()
        if name is None:
            identity = json.dumps([value, tests_to_text(tests)], ensure_ascii=False)
            name = sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls(str(name), value, tests, solution, given.get("tier", 0))


def _one_of(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the only one of these columns that a row has. Raises `ValueError`."""
    found = [name for name in names if name in given]
    if len(found) != 1:
        raise ValueError(f"a row must have exactly one of {', '.join(names)}, got {', '.join(found) or 'none'}")
    return found[0]


def _tests_in(given: Mapping[str, Any]) -> Tests:
    kind = _one_of(given, ("signature", "tests", "stdin_tests"))
    if "checker" in given and kind != "signature":
        raise ValueError("checker must stand beside signature, got it without")
    value = given[kind]
    if kind == "stdin_tests":
        return StdinTests.of(value, given.get("comparison", "tokens"))
    if kind == "tests" and isinstance(value, list | tuple):
        lacks = [name for name in ("crate", "version", "function") if name not in given]
        if lacks:
            raise ValueError(f"a list of tests must stand beside crate, version and function, got no {lacks[0]}")
        return HoleTests(given["crate"], given["version"], given["function"], tuple(value))
    for name, text in ((kind, value), ("checker", given.get("checker", ""))):
        if not isinstance(text, str):
            raise ValueError(f"{name} must be a text, got {type(text).__name__}")
    tests = HiddenTests(value, given.get("checker", "")) if kind == "signature" else tests_from_text(value)
    if not isinstance(tests, Tests):
        raise ValueError("tests must be hidden tests, hole tests or stdin tests, got tests to append to the code")
    if isinstance(tests, HiddenTests) and tests.blank:
        raise ValueError("there must be a case, `check!(...)`, in checker or tests, got none")
    return tests


def _messages(value: Any) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"messages must be a list of objects with role and content, got {type(value).__name__}")
    for number, each in enumerate(value, 1):
        if not isinstance(each, dict) or set(each) != {"role", "content"} or not isinstance(each["content"], str):
            raise ValueError(f"message {number} must be an object with role and content, both texts, got {each!r}")
        if each["role"] not in ROLES:
            raise ValueError(f"the role of message {number} must be one of {', '.join(ROLES)}, got {each['role']!r}")
    if value[-1]["role"] != "user":
        raise ValueError(f"the last message must be of the user, got one of role {value[-1]['role']}")
    return tuple(value)


def _fault_of_messages(messages: tuple[Mapping[str, str], ...], tests: Tests) -> str | None:
    assert messages, "rows have messages"
    if isinstance(tests, HoleTests):
        return "hole tests must stand beside a prompt that is a text, got messages"
    return None


def _fault_of_text(prompt: str, tests: Tests) -> str | None:
    """Return why no completion of a prompt could pass, or None."""
    if isinstance(tests, HoleTests):
        fits = prompt.endswith("{")
        return None if fits else f"the prompt of hole tests must end with an opening brace, got {prompt[-40:]!r}"
    head = opened_function(prompt)
    if head is None or completed_function(prompt, "}") is None:
        return f"prompt must end within a function, such as `fn main() {{`, got {prompt[-40:]!r}"
    if isinstance(tests, StdinTests):
        is_program = analyze(f"{head}}}").main != "none"
        return None if is_program else "prompt must have or begin the `fn main` that stdin tests run, got none"
    missing = publish(f"{head}}}".encode(), tests)[1]
    if missing:
        return f"prompt must have all items of its signature, no completion can add {', '.join(missing)}"
    return None
