"""
Which crates may share a target folder, and in which order.

Sharing saves time, because a dependency is compiled once. But a build script or a proc macro can change everything in
the folder, and so the results of the crates that are checked there afterwards. A crate may therefore follow others
only if all the code that ran for them runs for it anyway, because it is code of the crate itself or of its
dependencies. A hostile crate can then forge its own verdict and those of crates that depend on it, but no others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.rust.crates.cargo import CheckRequest
from evaluation.rust.crates.features import activate, with_default
from evaluation.rust.crates.manifest import CratePackage
from evaluation.rust.crates.target_conditions import holds
from evaluation.rust.crates.vendor import VendoredCrates

MAX_CRATES = 32  # in one batch: what a killed run loses


@dataclass(frozen=True)
class Build:
    """The crates that take part in a build, itself included, by name and version."""

    possible: frozenset[str]
    """Every crate that may take part: where several versions fit a dependency, all of them."""
    certain: frozenset[str]
    """The crates that take part whichever versions cargo chooses."""


def build_of(request: CheckRequest, vendored: VendoredCrates, options: frozenset[str]) -> Build:
    """
    Return the crates that take part in the build of a crate on a platform.

    Args:
        request: The crate and its features.
        vendored: The folder of crates.
        options: Options of the platform, as from `host_options`.
    """
    return Build(_reached(request, vendored, options, False), _reached(request, vendored, options, True))


def _reached(
    request: CheckRequest, vendored: VendoredCrates, options: frozenset[str], certain: bool
) -> frozenset[str]:
    features: dict[str, frozenset[str]] = {request.package.id: frozenset(request.features)}
    waiting: list[CratePackage] = [request.package]
    while waiting:
        package = waiting.pop()
        for dependency, asked in activate(package, features[package.id]).dependencies:
            # A condition that cannot be read may hold.
            here = holds(dependency.target, options)
            if here is False or (certain and here is None):
                continue
            fitting = vendored.candidates(dependency)
            if certain and len(fitting) > 1:
                continue
            for candidate in fitting:
                before = features.get(candidate.id)
                after = (before or frozenset()) | with_default(candidate, dependency, asked)
                if before is None or after != before:
                    features[candidate.id] = after
                    waiting.append(candidate)
    return frozenset(features)


@dataclass(frozen=True)
class Planned:
    """A crate in a batch."""

    request: CheckRequest
    build: Build


def plan(requests: Sequence[Planned], vendored: VendoredCrates) -> list[list[Planned]]:
    """Return batches of crates, each in the order of checking, such that no crate can change another's verdict."""
    runs_code = frozenset(package.id for package in vendored if package.runs_code)
    # Crates whose dependencies run the least code come first. Ties are broken by name, for equal batches every time.
    waiting = sorted(
        requests,
        key=lambda each: (len(each.build.possible & runs_code), len(each.build.possible), each.request.package.id),
    )
    batches: list[tuple[frozenset[str], list[Planned]]] = []
    for planned in waiting:
        runs_anyway = planned.build.certain & runs_code
        # The batch that has most of what this crate needs: most code that ran, then most crates.
        fitting = [
            (len(ran), len(batch), -number)
            for number, (ran, batch) in enumerate(batches)
            if ran <= runs_anyway and len(batch) < MAX_CRATES
        ]
        ran, batch = batches.pop(-max(fitting)[2]) if fitting else (frozenset(), [])
        batches.append((ran | (planned.build.possible & runs_code), [*batch, planned]))
    # The longest first, so that the workers end at about the same time.
    return [batch for _, batch in sorted(batches, key=lambda pair: (-len(pair[0]), -len(pair[1])))]
