"""
Versions and version requirements as cargo reads them.

The rules are those of the "Specifying Dependencies" chapter of the Cargo Book and of Semantic Versioning 2.0.0. Build
metadata (`+...`) never matters, and a version with a pre-release matches only a comparator that names a pre-release of
the same major, minor and patch numbers.
"""

import functools
import re
from dataclasses import dataclass

_NUMBERS = r"(0|[1-9]\d*)"
_EXTRA = r"[0-9A-Za-z.-]+"
_VERSION = re.compile(rf"{_NUMBERS}\.{_NUMBERS}\.{_NUMBERS}(?:-({_EXTRA}))?(?:\+{_EXTRA})?")
_PART = r"(0|[1-9]\d*|[*xX])"
_COMPARATOR = re.compile(
    rf"\s*(\^|~|=|>=|<=|>|<)?\s*{_PART}(?:\.{_PART})?(?:\.{_PART})?(?:-({_EXTRA}))?(?:\+{_EXTRA})?\s*"
)
_WILDCARDS = ("*", "x", "X")


@functools.total_ordering
@dataclass(frozen=True)
class Version:
    """A version, ordered by precedence: a pre-release comes before its release."""

    numbers: tuple[int, int, int]
    prerelease: str = ""

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return the version that a text such as `1.0.0-rc.1+build` names. Raises `ValueError`."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"version must be MAJOR.MINOR.PATCH as in Semantic Versioning, got {text!r}")
        major, minor, patch, prerelease = match.groups()
        return cls((int(major), int(minor), int(patch)), prerelease or "")

    @property
    def _key(self) -> tuple:
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".") if part
        )
        return self.numbers, not parts, parts

    def __lt__(self, other: "Version") -> bool:
        return self._key < other._key


@dataclass(frozen=True)
class Comparator:
    """One part of a requirement: the versions from `lower` (included) to `upper` (excluded)."""

    lower: Version
    upper: Version | None
    prerelease_of: tuple[int, int, int] | None = None
    """The numbers whose pre-releases may match; None for no pre-release."""

    def matches(self, version: Version) -> bool:
        """Whether a version is in the range. `Requirement` has the rule for pre-releases."""
        return self.lower <= version and (self.upper is None or version < self.upper)


@dataclass(frozen=True)
class Requirement:
    """A version requirement of a manifest, such as `^1.2`, `>=0.3, <0.5` or `1.*`."""

    text: str
    comparators: tuple[Comparator, ...]

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Return the requirement that a text stands for. Raises `ValueError`."""
        parts = [] if text.strip() in _WILDCARDS else text.split(",")
        return cls(text, tuple(_comparator(part, text) for part in parts))

    def matches(self, version: Version) -> bool:
        """Whether cargo accepts a version for this requirement."""
        if not all(comparator.matches(version) for comparator in self.comparators):
            return False
        return not version.prerelease or any(
            comparator.prerelease_of == version.numbers for comparator in self.comparators
        )


_LEAST = Version((0, 0, 0), "0")  # no version is lower


def _comparator(part: str, whole: str) -> Comparator:
    match = _COMPARATOR.fullmatch(part)
    if match is None:
        raise ValueError(f"version requirement must be as in the Cargo Book (^1.2, ~1.2, =1.2.3, 1.*), got {whole!r}")
    operator, *texts, prerelease = match.groups()
    numbers: list[int] = []
    for text in texts:
        if text is None or text in _WILDCARDS:
            break
        numbers.append(int(text))
    given = len(numbers)
    if given == 0:  # "=*" and the like
        return Comparator(_LEAST, None)
    wildcard = any(text in _WILDCARDS for text in texts if text)
    major, minor, patch = (*numbers, 0, 0)[:3]
    exact = Version((major, minor, patch), prerelease or "")
    preview = exact.numbers if prerelease else None
    behind = [_floor(major + 1, 0, 0), _floor(major, minor + 1, 0), _floor(major, minor, patch + 1)][given - 1]
    if operator == "=" or (operator is None and wildcard):
        upper = _after(exact) if given == 3 else behind
        return Comparator(exact, upper, preview)
    if operator == ">":
        return Comparator(_after(exact) if given == 3 else behind, None, preview)
    if operator == ">=":
        return Comparator(exact, None, preview)
    if operator == "<":
        return Comparator(_LEAST, exact, preview)
    if operator == "<=":
        return Comparator(_LEAST, _after(exact) if given == 3 else behind, preview)
    if operator == "~":
        return Comparator(exact, _floor(major + 1, 0, 0) if given == 1 else _floor(major, minor + 1, 0), preview)
    # Caret, which is also the default: up to the next change of the leftmost number that is not zero.
    if major or given == 1:
        upper = _floor(major + 1, 0, 0)
    elif minor or given == 2:
        upper = _floor(0, minor + 1, 0)
    else:
        upper = _floor(0, 0, patch + 1)
    return Comparator(exact, upper, preview)


def _floor(major: int, minor: int, patch: int) -> Version:
    """Return the lowest pre-release of a version: what is excluded with it."""
    return Version((major, minor, patch), "0")


def _after(version: Version) -> Version:
    """Return the version that directly follows another in the order."""
    if version.prerelease:
        return Version(version.numbers, f"{version.prerelease}.0")
    major, minor, patch = version.numbers
    return _floor(major, minor, patch + 1)
