"""Conditions and computations from which families are composed, each in Rust, in Python and in English."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORDS = (
    "apple river stone cloud lamp tiger piano table green level noon radar seven eight blue paper window garden civic "
    "summer winter bread kayak mountain engine signal rotor pocket silver quiet yellow orbit puzzle a to of be is"
).split()


def quotient(a: int, b: int) -> int:
    """Return `a / b` as in Rust, rounded toward zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def remainder(a: int, b: int) -> int:
    """Return `a % b` as in Rust, with the sign of `a`."""
    return a - b * quotient(a, b)


@dataclass(frozen=True)
class Predicate:
    """A condition on one value; calling it evaluates the condition in Python."""

    rust: str
    """Rust expression with `{x}` for the value, a name."""
    test: Callable[[Any], bool]
    slug: str
    """Part of a name, such as `even` or `above_10`."""
    plural: str
    """Plural of the values that satisfy it, such as "even numbers"."""
    clause: str
    """Predicate of a sentence, such as "is even"."""

    def __call__(self, value: Any) -> bool:
        return self.test(value)

    def on(self, name: str) -> str:
        """Return the condition in Rust."""
        return self.rust.format(x=name)


@dataclass(frozen=True)
class MappingPiece:
    """A computation on one value; calling it computes in Python."""

    rust: str
    """Rust expression with `{x}` for the value; can be an operand of `+` or an argument, but not a receiver."""
    compute: Callable[[Any], Any]
    slug: str
    participle: str
    """Participle for singular and plural, such as "squared" or "multiplied by 3"."""

    def __call__(self, value: Any) -> Any:
        return self.compute(value)

    def on(self, name: str) -> str:
        """Return the computation in Rust."""
        return self.rust.format(x=name)


def integer_predicate(pick: random.Random, kind: str) -> Predicate:
    """Choose one of some hundreds of conditions on integers of this type."""
    signed = kind.startswith("i")
    k, other = pick.randint(2, 9), pick.randint(3, 7)
    low = pick.randint(-8, 8) if signed else pick.randint(2, 14)
    high = low + pick.randint(3, 25)
    above = pick.randint(-5, 20) if signed else pick.randint(3, 25)
    rest = pick.randint(1, k - 1)
    options = [
        Predicate("{x} % 2 == 0", lambda v: v % 2 == 0, "even", "even numbers", "is even"),
        Predicate("{x} % 2 != 0", lambda v: v % 2 != 0, "odd", "odd numbers", "is odd"),
        Predicate(
            f"{{x}} % {k} == 0",
            lambda v: v % k == 0,
            f"multiples_of_{k}",
            f"multiples of {k}",
            f"is a multiple of {k}",
        ),
        Predicate(
            f"{{x}} % {k} != 0",
            lambda v: v % k != 0,
            f"not_divisible_by_{k}",
            f"numbers not divisible by {k}",
            f"is not divisible by {k}",
        ),
        Predicate(
            f"{{x}} > {above}",
            lambda v: v > above,
            f"above_{_slug(above)}",
            f"numbers greater than {above}",
            f"is greater than {above}",
        ),
        Predicate(
            f"{{x}} < {above}",
            lambda v: v < above,
            f"below_{_slug(above)}",
            f"numbers less than {above}",
            f"is less than {above}",
        ),
        Predicate(
            f"{{x}} >= {low} && {{x}} <= {high}",
            lambda v: low <= v <= high,
            f"from_{_slug(low)}_to_{high}" if high >= 0 else f"from_{_slug(low)}_to_{_slug(high)}",
            f"numbers from {low} to {high}",
            f"is at least {low} and at most {high}",
        ),
        Predicate(
            f"({low}..{high}).contains(&{{x}})",
            lambda v: low <= v < high,
            f"in_{_slug(low)}_{_slug(high)}",
            f"numbers from {low} up to but not including {high}",
            f"is at least {low} and less than {high}",
        ),
        Predicate(
            f"{{x}} < {low} || {{x}} > {high}",
            lambda v: v < low or v > high,
            f"outside_{_slug(low)}_{_slug(high)}",
            f"numbers less than {low} or greater than {high}",
            f"is less than {low} or greater than {high}",
        ),
        Predicate(
            f"{{x}} % {other} == 0 && {{x}} > {above}",
            lambda v: v % other == 0 and v > above,
            f"multiples_of_{other}_above_{_slug(above)}",
            f"multiples of {other} greater than {above}",
            f"is a multiple of {other} and greater than {above}",
        ),
    ]
    if signed:
        options += [
            Predicate(
                f"{{x}}.rem_euclid({k}) == {rest}",
                lambda v: v % k == rest,
                f"leaving_{rest}_mod_{k}",
                f"numbers congruent to {rest} modulo {k}",
                f"is congruent to {rest} modulo {k}",
            ),
            Predicate("{x} < 0", lambda v: v < 0, "negative", "negative numbers", "is negative"),
            Predicate("{x} > 0", lambda v: v > 0, "positive", "positive numbers", "is positive"),
            Predicate(
                f"{{x}}.abs() > {k}",
                lambda v: abs(v) > k,
                f"farther_than_{k}",
                f"numbers more than {k} away from zero",
                f"is more than {k} away from zero",
            ),
        ]
    else:
        options += [
            Predicate(
                f"{{x}} % {k} == {rest}",
                lambda v: v % k == rest,
                f"leaving_{rest}_mod_{k}",
                f"numbers with remainder {rest} when divided by {k}",
                f"has remainder {rest} when divided by {k}",
            ),
            Predicate(
                "{x}.is_power_of_two()",
                lambda v: v > 0 and v & (v - 1) == 0,
                "powers_of_two",
                "powers of two",
                "is a power of two",
            ),
            Predicate(
                f"{{x}} != 0 && {{x}} <= {high}",
                lambda v: 0 < v <= high,
                f"nonzero_up_to_{high}",
                f"numbers from 1 to {high}",
                f"is at least 1 and at most {high}",
            ),
        ]
    return pick.choice(options)


def integer_mapping(pick: random.Random, kind: str) -> MappingPiece:
    """Choose a computation on integers of this type that does not overflow for small numbers."""
    signed = kind.startswith("i")
    k, c, top = pick.randint(2, 9), pick.randint(1, 12), pick.randint(5, 30)
    options = [
        MappingPiece(f"{{x}} * {k}", lambda v: v * k, f"times_{k}", f"multiplied by {k}"),
        MappingPiece(f"{{x}} + {c}", lambda v: v + c, f"plus_{c}", f"increased by {c}"),
        MappingPiece("{x} * {x}", lambda v: v * v, "squared", "squared"),
        MappingPiece(
            f"{{x}} * {k} + {c}",
            lambda v: v * k + c,
            f"times_{k}_plus_{c}",
            f"multiplied by {k} and then increased by {c}",
        ),
        MappingPiece(f"{{x}} / {k}", lambda v: quotient(v, k), f"over_{k}", f"divided by {k} and rounded toward zero"),
        MappingPiece(
            f"{{x}} % {k}",
            lambda v: remainder(v, k),
            f"mod_{k}",
            f"mapped to the remainder after division by {k} (`%`)",
        ),
        MappingPiece(f"{{x}}.min({top})", lambda v: min(v, top), f"capped_at_{top}", f"capped at {top}"),
        MappingPiece(
            f"({{x}} + {c}) * {k}",
            lambda v: (v + c) * k,
            f"plus_{c}_times_{k}",
            f"increased by {c} and then multiplied by {k}",
        ),
    ]
    if signed:
        options += [
            MappingPiece("{x}.abs()", abs, "absolute", "mapped to the absolute value"),
            MappingPiece("-{x}", lambda v: -v, "negated", "negated"),
            MappingPiece(f"{{x}} - {c}", lambda v: v - c, f"minus_{c}", f"decreased by {c}"),
            MappingPiece(f"{top} - {{x}}", lambda v: top - v, f"from_{top}", f"subtracted from {top}"),
            MappingPiece(
                f"{{x}}.clamp(-{k}, {top})",
                lambda v: max(-k, min(top, v)),
                f"clamped_{k}_{top}",
                f"clamped to the range -{k} to {top}",
            ),
        ]
    else:
        options += [
            MappingPiece(
                f"{{x}}.saturating_sub({c})",
                lambda v: max(0, v - c),
                f"less_{c}",
                f"decreased by {c} but not below zero",
            ),
            MappingPiece(
                f"{{x}}.abs_diff({top})",
                lambda v: abs(v - top),
                f"distance_to_{top}",
                f"mapped to the distance from {top}",
            ),
        ]
    return pick.choice(options)


def char_predicate(pick: random.Random) -> Predicate:
    """Choose a condition on characters; the characters in tests are ASCII."""
    one = pick.choice("aeiorstn")
    first, last = sorted(pick.sample("abcdefghijklmnopqrstuvwxyz", 2))
    options = [
        Predicate("{x}.is_ascii_digit()", lambda c: c in "0123456789", "digits", "digits", "is a digit"),
        Predicate("{x}.is_alphabetic()", str.isalpha, "letters", "letters", "is a letter"),
        Predicate("{x}.is_uppercase()", str.isupper, "uppercase", "uppercase letters", "is uppercase"),
        Predicate("{x}.is_lowercase()", str.islower, "lowercase", "lowercase letters", "is lowercase"),
        Predicate("{x}.is_whitespace()", str.isspace, "whitespace", "whitespace characters", "is whitespace"),
        Predicate(
            "{x}.is_alphanumeric()", str.isalnum, "alphanumeric", "letters and digits", "is a letter or a digit"
        ),
        Predicate(
            "!{x}.is_alphanumeric()",
            lambda c: not c.isalnum(),
            "not_alphanumeric",
            "characters that are neither letters nor digits",
            "is neither a letter nor a digit",
        ),
        Predicate(
            "matches!({x}, 'a' | 'e' | 'i' | 'o' | 'u')",
            lambda c: c in "aeiou",
            "vowels",
            "lowercase vowels",
            "is a lowercase vowel",
        ),
        Predicate(
            '"aeiouAEIOU".contains({x})',
            lambda c: c in "aeiouAEIOU",
            "any_vowels",
            "vowels in either case",
            "is a vowel in either case",
        ),
        Predicate(f"{{x}} == '{one}'", lambda c: c == one, f"letter_{one}", f"`{one}` characters", f"is `{one}`"),
        Predicate(
            f"{{x}}.eq_ignore_ascii_case(&'{one}')",
            lambda c: c.lower() == one,
            f"any_{one}",
            f"`{one}` and `{one.upper()}` characters",
            f"is `{one}` or `{one.upper()}`",
        ),
        Predicate(
            f"('{first}'..='{last}').contains(&{{x}})",
            lambda c: first <= c <= last,
            f"from_{first}_to_{last}",
            f"lowercase letters from `{first}` to `{last}`",
            f"is a lowercase letter from `{first}` to `{last}`",
        ),
        Predicate(
            f"{{x}} != '{one}'",
            lambda c: c != one,
            f"except_{one}",
            f"characters other than `{one}`",
            f"is not `{one}`",
        ),
    ]
    return pick.choice(options)


def _slug(number: int) -> str:
    return str(number) if number >= 0 else f"minus_{-number}"
