"""Families of synthetic samples: functions that each generate random samples of one kind.

    @family(tier=1)
    def sum_of_kept(draw):
        keep = draw.integer_predicate("i32")
        return FunctionSpec(name=..., parameters=..., returns=..., words=..., forms=..., oracle=...)

A family chooses the *meaning* of a sample with `choose` and `integer`, which are recorded and distinguish samples, and
its *wording* with `style`. Bodies are written with plain names, which are renamed later. The `oracle` is the same
function in Python and computes the results that the Rust code must return.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, TypeVar

from trainers.data.synthetic.literals import split_type
from trainers.data.synthetic.pieces import WORDS, MappingPiece, Predicate, char_predicate, integer_mapping
from trainers.data.synthetic.pieces import integer_predicate as any_integer_predicate

Option = TypeVar("Option")
TIERS = range(5)
NUMBERS = re.compile(r"(?<![A-Za-z\d])(minus_|-)?(\d+)(?![A-Za-z\d])")


class Undefined(Exception):
    """Raised by an oracle for arguments for which the function is not specified."""


@dataclass(frozen=True)
class Case:
    """A test case: `actual == expected`, two Rust expressions, after the statements of `setup`."""

    actual: str
    expected: str
    setup: str = ""


@dataclass(frozen=True)
class FunctionSpec:
    """
    Specification of a generated function.

    Attributes:
        name: In snake_case.
        parameters: Types by name.
        returns: Type of the result, or None if the function modifies a `&mut` parameter instead.
        words: Alternative descriptions of one or more sentences, with parameters in backticks.
        forms: Alternative bodies.
        oracle: Takes the arguments as Python values (lists, str, int, None or the value for options, `Ok`, `Err`) and
            returns the result. A `&mut` argument is a list that it modifies; for a number, a list of one element.
        inputs: Returns a random tuple of arguments; None generates them from their types.
        generics: Such as "<T: Ord + Copy>".
        types: Type argument for each type parameter in the cases, such as {"T": "i32"}.
        where_clause: Such as "where T: Ord".
        cases: Given instead of `oracle` and `inputs` if literals cannot express the arguments.
        imports: `use` lines that the signature needs.
        body_imports: `use` lines that only some bodies need; unused ones are omitted.
        context: Items that the function depends on.
        parts: Helper functions that this one calls. They come before it, also in the prompt of its task.
    """

    name: str
    parameters: Mapping[str, str]
    returns: str | None
    words: Sequence[str]
    forms: Sequence[str]
    oracle: Callable[..., Any] | None = None
    inputs: Callable[[], tuple] | None = None
    generics: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    where_clause: str = ""
    cases: Sequence[Case] = ()
    imports: Sequence[str] = ()
    body_imports: Sequence[str] = ()
    context: str = ""
    parts: Sequence["FunctionSpec"] = ()


@dataclass(frozen=True)
class Items:
    """
    Documented types, traits or macros with their test cases.

    Attributes:
        code: Code of the items.
        cases: At least two test cases.
    """

    code: str
    cases: Sequence[Case]


Drawn = FunctionSpec | Items


@dataclass(frozen=True)
class Family:
    """A family of samples."""

    name: str
    group: str
    tier: int
    draw: Callable[["Draw"], Drawn]


FAMILIES: dict[str, Family] = {}


def family(tier: int) -> Callable[[Callable[["Draw"], Drawn]], Callable[["Draw"], Drawn]]:
    """Register a function as the family of its name, in the group named after its file."""
    assert tier in TIERS

    def register(draw: Callable[["Draw"], Drawn]) -> Callable[["Draw"], Drawn]:
        assert isinstance(draw, FunctionType), "a family is a function"
        name = draw.__name__
        assert name not in FAMILIES, f"duplicate family {name}"
        FAMILIES[name] = Family(name, draw.__module__.rpartition(".")[2], tier, draw)
        return draw

    return register


class Draw:
    """The random choices of one sample."""

    def __init__(self, seed: str):
        self.meaning = random.Random(f"meaning {seed}")
        self.wording = random.Random(f"wording {seed}")
        self.arguments = random.Random(f"arguments {seed}")
        self.parameters: list[str] = []

    def choose(self, *options: Option) -> Option:
        """Choose one of the options as a part of the meaning of the sample."""
        index = self.meaning.randrange(len(options))
        chosen = options[index]
        self.parameters.append(str(chosen) if isinstance(chosen, str | int) else f"option {index}")
        return chosen

    def integer(self, low: int, high: int) -> int:
        """Choose a number from `low` to `high`, both included, as a part of the meaning of the sample."""
        return self.choose(*range(low, high + 1))

    def style(self, *options: Option) -> Option:
        """Choose one of several equivalent ways to write something."""
        return self.wording.choice(options)

    def integer_predicate(self, kind: str) -> Predicate:
        """Choose a condition on integers of this type."""
        predicate = any_integer_predicate(self.meaning, kind)
        self.parameters.append(predicate.slug)
        return predicate

    def integer_mapping(self, kind: str) -> MappingPiece:
        """Choose a simple computation on integers of this type."""
        mapping = integer_mapping(self.meaning, kind)
        self.parameters.append(mapping.slug)
        return mapping

    def char_predicate(self) -> Predicate:
        """Choose a condition on characters."""
        predicate = char_predicate(self.meaning)
        self.parameters.append(predicate.slug)
        return predicate

    def value(self, kind: str) -> Any:
        """Generate an argument of this type: small numbers, short lists and texts. It is not part of the meaning."""
        kind = kind.removeprefix("&").removeprefix("mut ").strip()
        pick = self.arguments
        if kind in ("i8", "i16", "i32", "i64", "i128", "isize"):
            return pick.choice((0, 1, -1, pick.randint(-30, 30), pick.randint(-9, 60), *self.near()))
        if kind[0] == "u" and kind[1:] in ("8", "16", "32", "64", "128", "size"):
            return pick.choice((0, 1, pick.randint(0, 12), pick.randint(0, 60), *map(abs, self.near())))
        if kind in ("f32", "f64"):
            return pick.randint(-40, 40) / 4
        if kind == "bool":
            return pick.random() < 0.5
        if kind == "char":
            return pick.choice("abcdexyzABZ019 _-!")
        if kind in ("str", "String"):
            return self.text()
        if kind.startswith("["):
            element, _, length = kind[1:-1].partition(";")
            size = int(length) if length.strip().isdigit() else pick.randint(0, 7)
            return [self.value(element.strip()) for _ in range(size)]
        outer, inner = split_type(kind)
        if outer == "()":
            return tuple(self.value(each) for each in inner)
        if outer in ("Vec", "VecDeque"):
            return [self.value(inner[0]) for _ in range(pick.randint(0, 7))]
        if outer == "Option":
            return None if pick.random() < 0.3 else self.value(inner[0])
        if outer in ("HashMap", "BTreeMap"):
            return {self.value(inner[0]): self.value(inner[1]) for _ in range(pick.randint(0, 4))}
        if outer in ("HashSet", "BTreeSet"):
            return {self.value(inner[0]) for _ in range(pick.randint(0, 5))}
        if outer == "Box":
            return self.value(inner[0])
        raise TypeError(f"no argument of type {kind} can be generated: give `inputs`")

    def near(self) -> list[int]:
        """Choose two boundary values: numbers in the meaning of the sample, or next to them."""
        found = [(-1 if minus else 1) * int(digits) for minus, digits in NUMBERS.findall(" ".join(self.parameters))]
        small = [number for number in found if abs(number) <= 100]
        return [self.arguments.choice(small) + self.arguments.choice((-1, 0, 1)) for _ in range(2)] if small else []

    def text(self, words: int | None = None) -> str:
        """Generate a text of a few words, sometimes with capital letters, digits or punctuation."""
        pick = self.arguments
        count = pick.randint(0, 4) if words is None else words
        chosen = [pick.choice(WORDS) for _ in range(count)]
        if pick.random() < 0.4:
            chosen = [word.capitalize() if pick.random() < 0.6 else word.upper() for word in chosen]
        if chosen and pick.random() < 0.3:
            chosen[pick.randrange(len(chosen))] += pick.choice(("!", "?", "42", "7", ","))
        return " ".join(chosen)
