"""
A manifest with which cargo builds the unit tests of a crate from a folder that lacks some of its dependencies.

cargo resolves all optional dependencies of the crate that it builds, and its dependencies for tests, examples and
benchmarks. Those that are not in the folder are left out, as are features that need them.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.rust.crates.features import activate, with_default
from evaluation.rust.crates.manifest import TABLES, CratePackage
from evaluation.rust.crates.vendor import VendoredCrates

# Targets other than the library, and tables that are for a workspace or for people.
LEFT_OUT = ("bin", "example", "test", "bench", "profile", "patch", "replace", "badges", "workspace", "lints", "target")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def manifest_for_tests(package: CratePackage, crates: VendoredCrates) -> tuple[str, tuple[str, ...]]:
    """
    Return the text of a Cargo.toml, and the features to build with.

    Raises:
        ValueError: The folder lacks a dependency that the library needs.
    """
    features = crates.choose_features(package)
    problem = crates.problem(package, features)
    if problem is not None:
        raise ValueError(problem)
    activation = activate(package, features)
    kept = {id(dependency) for dependency, _ in activation.dependencies}
    for dependency in package.dependencies:
        if dependency.kind == "dev":
            candidates = crates.candidates(dependency)
            asked = [(each, with_default(each, dependency, dependency.features)) for each in candidates]
            if any(crates.features.problem(each, wanted) is None for each, wanted in asked):
                kept.add(id(dependency))
    text = Path(package.folder, "Cargo.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    # `CratePackage.dependencies` has them in the order of the tables, which are read in the same way here.
    waiting = iter(package.dependencies)
    platforms = document.get("target", {})
    tables = _kept_tables(document, waiting, kept)
    own_platforms = {name: _kept_tables(platform, waiting, kept) for name, platform in platforms.items()}
    document = {key: value for key, value in document.items() if key not in (*LEFT_OUT, *TABLES)}
    document["package"] |= {"autobins": False, "autoexamples": False, "autotests": False, "autobenches": False}
    document["package"].pop("workspace", None)
    keys = {each.key for each in package.dependencies if id(each) in kept and each.kind != "dev"}
    on = activation.features & set(package.features)
    document["features"] = {
        name: [member for member in package.features[name] if _is_kept(member, keys, on)] for name in sorted(on)
    }
    document |= tables | {"workspace": {}}
    if own_platforms:
        document["target"] = own_platforms
    return _toml(document), features


def _kept_tables(document: dict[str, Any], waiting: Iterator, kept: set[int]) -> dict[str, dict[str, Any]]:
    tables = {}
    for table in TABLES:
        entries = document.get(table, {})
        chosen = {key: entry for key, entry in entries.items() if id(next(waiting)) in kept}
        if chosen:
            tables[table] = chosen
    return tables


def _is_kept(member: str, dependencies: set[str], features: frozenset[str]) -> bool:
    if member.startswith("dep:"):
        return member[4:] in dependencies
    key, slash, _ = member.partition("/")
    return key.rstrip("?") in dependencies if slash else member in features or member in dependencies


def _toml(document: dict[str, Any]) -> str:
    """Return a document as TOML with a line for each of its tables."""
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in document.items())


def _key(key: str) -> str:
    return key if BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool | int | float | str):
        # A text of TOML may not have a delete character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise ValueError(f"a manifest must have texts, numbers, lists and tables, got {type(value).__name__}")
