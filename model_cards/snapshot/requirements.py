"""The distributions that this project needs, in the versions that are installed."""

from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

DISTRIBUTION = "nanochat-ternary"
EXTRAS = ("gguf",)
"""Extras that a publication needs."""
NOT_INSTALLED = f"# {DISTRIBUTION} was not installed as a distribution: the versions of its requirements are not known"


def required(extras: tuple[str, ...] = EXTRAS) -> list[str]:
    """Return the requirements of the project with some of its extras, without markers; none if it is not installed."""
    try:
        lines = distribution(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        return []
    found = []
    for requirement in map(Requirement, lines):
        if _applies(requirement, ("", *extras)):
            requirement.marker = None
            found.append(str(requirement))
    return sorted(found)


def pinned_requirements(extras: tuple[str, ...] = EXTRAS) -> list[str]:
    """
    Return the lines of a `requirements.txt`: everything that the project needs, directly or through other
    distributions, in the installed versions. A distribution that is not installed is named in a comment.
    """
    todo = [Requirement(each) for each in required(extras)]
    if not todo:
        return [NOT_INSTALLED]
    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            found[name] = f"# {name} was not installed"
            continue
        # A local version, such as 2.13.0+cpu, is of one index only.
        found[name] = f"{name}=={Version(installed.version).public}"
        for extra in ("", *requirement.extras):
            if (name, extra) in done:
                continue
            done.add((name, extra))
            todo += [each for each in map(Requirement, installed.requires or []) if _applies(each, (extra,))]
    return [found[name] for name in sorted(found)]


def _applies(requirement: Requirement, extras: tuple[str, ...]) -> bool:
    """Whether a requirement is one on this machine, with one of these extras ("" is without any)."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras)
