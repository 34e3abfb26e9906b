"""What a family of samples is: a function that draws one of them.

    @family(tier=1)
    def sum_of_kept(draw):
        keep = draw.integer_predicate("i32")
        return FunctionSpec(name=..., parameters=..., returns=..., words=..., forms=..., oracle=...)

A family draws what the sample *means* by `choose` and `integer`, which are recorded and tell samples apart, and how it
is *worded* by `style`. Bodies are written with plain names; they are renamed afterwards. The `oracle` is the same
function in Python: it gives what the Rust must return.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from trainers.data.synthetic.literals import split_type
from trainers.data.synthetic.pieces import WORDS, MappingPiece, Predicate, char_predicate, integer_mapping
from trainers.data.synthetic.pieces import integer_predicate as any_integer_predicate

Option = TypeVar("Option")
TIERS = range(5)
NUMBERS = re.compile(r"(?<![A-Za-z\d])(minus_|-)?(\d+)(?![A-Za-z\d])")


class Undefined(Exception):
    """Raised by an oracle for arguments that the function is not for."""


@dataclass(frozen=True)
class Case:
    """What must hold: `actual == expected`, two Rust expressions, after the statements of `setup`."""

    actual: str
    expected: str
    setup: str = ""


@dataclass(frozen=True)
class FunctionSpec:
    """
    A function to write, drawn.

    Attributes:
        name: In snake_case.
        parameters: Types by name.
        returns: Type of the result, or None: then a `&mut` parameter is changed.
        words: Ways to say what it does, each a whole description of at least a sentence; parameters in backticks.
        forms: Bodies that do it, of which one is taken.
        oracle: Takes the arguments as Python values (lists, str, int, None or the value for options, `Ok`, `Err`);
            returns the result. What a `&mut` parameter points at is a list that it changes; a number is a list of one.
        inputs: Makes one tuple of arguments; None draws them by their types.
        generics: Such as "<T: Ord + Copy>".
        types: What the cases take for each type parameter, such as {"T": "i32"}.
        where_clause: Such as "where T: Ord".
        cases: Instead of `oracle` and `inputs`, where a literal cannot express them.
        imports: `use` lines that the signature needs.
        body_imports: `use` lines that only some body needs; those that the taken body does not name are left out.
        context: Items that the function builds on.
        parts: Functions that this one calls, which are to be written too.
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
    Types, traits or macros with their code, documented, and what must hold of them.

    Attributes:
        code: The items.
        cases: What must hold; at least two.
    """

    code: str
    cases: Sequence[Case]


Drawn = FunctionSpec | Items


@dataclass(frozen=True)
class Family:
    """A family with what is known of all its samples."""

    name: str
    group: str
    tier: int
    draw: Callable[["Draw"], Drawn]


FAMILIES: dict[str, Family] = {}


def family(tier: int) -> Callable[[Callable[["Draw"], Drawn]], Callable[["Draw"], Drawn]]:
    """Registers a function as the family of its name, in the group of its file."""
    assert tier in TIERS

    def register(draw: Callable[["Draw"], Drawn]) -> Callable[["Draw"], Drawn]:
        name = draw.__name__
        assert name not in FAMILIES, f"there are two families {name}"
        FAMILIES[name] = Family(name, draw.__module__.rpartition(".")[2], tier, draw)
        return draw

    return register


class Draw:
    """The choices of one sample."""

    def __init__(self, seed: str):
        self.meaning = random.Random(f"meaning {seed}")
        self.wording = random.Random(f"wording {seed}")
        self.arguments = random.Random(f"arguments {seed}")
        self.parameters: list[str] = []

    def choose(self, *options: Option) -> Option:
        """One of the options; it is part of what the sample means."""
        index = self.meaning.randrange(len(options))
        chosen = options[index]
        self.parameters.append(str(chosen) if isinstance(chosen, str | int) else f"option {index}")
        return chosen

    def integer(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included; it is part of what the sample means."""
        return self.choose(*range(low, high + 1))

    def style(self, *options: Option) -> Option:
        """One of several ways to write the same."""
        return self.wording.choice(options)

    def integer_predicate(self, kind: str) -> Predicate:
        """A condition on integers of this type."""
        predicate = any_integer_predicate(self.meaning, kind)
        self.parameters.append(predicate.slug)
        return predicate

    def integer_mapping(self, kind: str) -> MappingPiece:
        """A simple computation on integers of this type."""
        mapping = integer_mapping(self.meaning, kind)
        self.parameters.append(mapping.slug)
        return mapping

    def char_predicate(self) -> Predicate:
        """A condition on characters."""
        predicate = char_predicate(self.meaning)
        self.parameters.append(predicate.slug)
        return predicate

    def value(self, kind: str) -> Any:
        """An argument of this type: small numbers, short lists and texts. Not part of the meaning."""
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
        raise TypeError(f"no argument of type {kind} can be drawn: give `inputs`")

    def near(self) -> list[int]:
        """Numbers at which the function may change what it does: two of those in its meaning, or beside them."""
        found = [(-1 if minus else 1) * int(digits) for minus, digits in NUMBERS.findall(" ".join(self.parameters))]
        small = [number for number in found if abs(number) <= 100]
        return [self.arguments.choice(small) + self.arguments.choice((-1, 0, 1)) for _ in range(2)] if small else []

    def text(self, words: int | None = None) -> str:
        """A text of a few words; sometimes with capitals, digits or signs."""
        pick = self.arguments
        count = pick.randint(0, 4) if words is None else words
        chosen = [pick.choice(WORDS) for _ in range(count)]
        if pick.random() < 0.4:
            chosen = [word.capitalize() if pick.random() < 0.6 else word.upper() for word in chosen]
        if chosen and pick.random() < 0.3:
            chosen[pick.randrange(len(chosen))] += pick.choice(("!", "?", "42", "7", ","))
        return " ".join(chosen)
