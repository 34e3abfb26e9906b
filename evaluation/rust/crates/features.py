"""
Choose the features of a crate that a folder of crates can satisfy.

Distributions leave out optional dependencies that nothing of theirs needs. A crate whose default features name one of
them cannot be resolved by cargo, although the rest of the crate compiles. The semantics are those of the chapter
"Features" of the Cargo Book, and cargo's resolver: dependencies of every platform must be in the folder.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from evaluation.rust.crates.manifest import CratePackage, Dependency

# By convention, features of these names need a nightly compiler, an assembler or a C library's source, or are meant
# for the crate's own tests and documentation.
UNUSUAL = re.compile(
    r"nightly|unstable|experimental|dep-of-std|compiler[-_]builtins|^core$|no[-_]?std|asm|simd|vendored"
    r"|(?<!lazy_)static|bundled|bench|fuzz|test|debug|dox|docs?[-_]?rs|internal|private|deny[-_]|^_"
)
Candidates = Callable[[Dependency], Iterable[CratePackage]]


@dataclass(frozen=True)
class Activation:
    """Everything that a set of features of one crate turns on."""

    features: frozenset[str]
    dependencies: tuple[tuple[Dependency, frozenset[str]], ...]
    """The dependencies, with the features that are asked of each."""
    unknown: tuple[str, ...]
    """Features that the crate does not have."""


@dataclass
class FeatureChoice:
    """
    Decides which features can be satisfied, and remembers the answers.

    Args:
        candidates: The crates in the folder that fit a dependency.
    """

    candidates: Candidates
    _problems: dict[tuple[str, frozenset[str]], str | None] = field(default_factory=dict)

    def problem(self, package: CratePackage, features: Iterable[str] = ()) -> str | None:
        """Return why a crate with these features (and not the default ones) cannot be resolved, or None if it can."""
        key = package.id, frozenset(features)
        if key not in self._problems:
            self._problems[key] = None  # a cycle, which only broken manifests have, ends here
            self._problems[key] = self._find_problem(package, key[1])
        return self._problems[key]

    def _find_problem(self, package: CratePackage, features: frozenset[str]) -> str | None:
        activation = activate(package, features)
        if activation.unknown:
            return f"{package.id} has no feature {activation.unknown[0]}"
        for dependency, asked in activation.dependencies:
            fitting = list(self.candidates(dependency))
            if not fitting:
                return f"{package.id} needs {dependency.package} {dependency.requirement.text}, which is not there"
            problems = [self.problem(candidate, with_default(candidate, dependency, asked)) for candidate in fitting]
            if None not in problems:
                return problems[0]
        return None

    def choose(self, package: CratePackage) -> tuple[str, ...]:
        """
        Return the largest set of features below `default` that can be satisfied: `("default",)` if all can.

        A feature that cannot be satisfied is replaced by those of the features it turns on that can.
        """
        chosen: list[str] = []
        waiting, seen = ["default"] if "default" in package.features else [], set()
        while waiting:
            feature = waiting.pop(0)
            if feature in seen:
                continue
            seen.add(feature)
            if self.problem(package, [*chosen, feature]) is None:
                chosen.append(feature)
            else:
                own = package.features.get(feature, ())
                waiting[:0] = [member for member in own if "/" not in member and ":" not in member]
        return tuple(chosen)

    def widest(self, package: CratePackage) -> tuple[str, ...]:
        """
        Return `choose`'s features and all others that can be satisfied as well, but none with an unusual name.

        Some of them may exclude each other, so a crate that does not compile with them may compile with `choose`'s.
        """
        chosen = list(self.choose(package))
        turned_on = set(activate(package, chosen).features)
        for feature in sorted({*package.features, *implicit_features(package)} - turned_on - {"default"}):
            if not UNUSUAL.search(feature) and self.problem(package, [*chosen, feature]) is None:
                chosen.append(feature)
        return tuple(chosen)


def with_default(package: CratePackage, dependency: Dependency, asked: Iterable[str]) -> frozenset[str]:
    """Return the features that a dependency turns on in a crate, `default` among them if it is wanted and there."""
    default = {"default"} if dependency.default_features and "default" in package.features else set()
    return frozenset(asked) | default


def implicit_features(package: CratePackage) -> set[str]:
    """Return the optional dependencies that are also features, because no feature names them with `dep:`."""
    hidden = {member[4:] for members in package.features.values() for member in members if member.startswith("dep:")}
    return {each.key for each in package.needed() if each.optional} - hidden


def activate(package: CratePackage, features: Iterable[str]) -> Activation:
    """Return what a set of features of a crate turns on."""
    implicit = implicit_features(package)
    on: set[str] = set()
    enabled: set[str] = set()  # keys of optional dependencies
    asked: dict[str, set[str]] = {}
    weak: list[tuple[str, str]] = []
    unknown: list[str] = []
    waiting = list(features)
    while waiting:
        member = waiting.pop()
        if member in on:
            continue
        if member.startswith("dep:"):
            enabled.add(member[4:])
        elif "/" in member:
            key, feature = member.split("/", 1)
            if key.endswith("?"):
                weak.append((key[:-1], feature))
                continue
            asked.setdefault(key, set()).add(feature)
            enabled.add(key)
            if key in package.features:
                waiting.append(key)
        elif member in package.features:
            on.add(member)
            waiting += package.features[member]
        elif member in implicit:
            on.add(member)
            enabled.add(member)
        elif member != "default":
            unknown.append(member)
    for key, feature in weak:
        asked.setdefault(key, set()).add(feature)
    dependencies = tuple(
        (dependency, frozenset(dependency.features) | asked.get(dependency.key, set()))
        for dependency in package.needed()
        if not dependency.optional or dependency.key in enabled
    )
    return Activation(frozenset(on), dependencies, tuple(unknown))


def closure(package: CratePackage, candidates: Candidates) -> Iterator[CratePackage]:
    """
    Yield every crate that a build of this one may compile, without itself: all that fit a dependency of any platform,
    optional or not, and theirs. It has what cargo resolves for any set of features, and possibly more.
    """
    seen, waiting = {package.id}, [package]
    while waiting:
        for dependency in waiting.pop().needed():
            for candidate in candidates(dependency):
                if candidate.id not in seen:
                    seen.add(candidate.id)
                    waiting.append(candidate)
                    yield candidate
