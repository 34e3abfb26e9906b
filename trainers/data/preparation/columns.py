"""The columns of prepared rows and of rejected ones: their types, as the Hub names them, and their meaning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STRING, INTEGER, NUMBER, BOOLEAN = "string", "int64", "float64", "bool"


@dataclass(frozen=True)
class Strings:
    """The type of a list of strings."""


@dataclass(frozen=True)
class Struct:
    """The type of an object with fields of its own, or with `is_list` of a list of such objects."""

    fields: Mapping[str, "Type"]
    is_list: bool = False


Type = str | Strings | Struct


@dataclass(frozen=True)
class Column:
    """A column: its type and its meaning."""

    type: Type
    meaning: str


_ID = Column(STRING, "hash of the code, ignoring whitespace")
_SOURCE = Column(STRING, "name of the source")
_PATH = Column(STRING, "place in the source")
_LICENSE = Column(STRING, "SPDX expression of the origin's license")
ROWS = {
    "id": _ID,
    "source": _SOURCE,
    "path": _PATH,
    "kind": Column(STRING, "`file`, or `example` (compiled inside `fn main` if it has none)"),
    "license": _LICENSE,
    "crate": Column(STRING, "name and version of the crate; null outside of crates"),
    "prompt": Column(STRING, "text before the code; empty for real code"),
    "code": Column(STRING, "the text"),
    "status": Column(STRING, "`valid` if the compiler accepted it, `not_compiled`, or the compiler's verdict"),
    "verdict": Column(
        Struct(
            {
                "outcome": STRING,
                "reason": STRING,
                "by": STRING,
                "error_codes": Strings(),
                "edition": STRING,
                "features": Strings(),
                "rustc": STRING,
            }
        ),
        "result of verification: outcome, reason, whether alone or with its crate, error codes, edition, features, "
        "compiler",
    ),
    "complexity": Column(INTEGER, "cyclomatic complexity, counted in the syntax tree"),
    "has_unsafe": Column(BOOLEAN, "whether there is an unsafe block"),
    "lifetime_complexity": Column(INTEGER, "lifetimes, counted in the syntax tree"),
    "trait_bounds": Column(INTEGER, "trait bounds, counted in the syntax tree"),
    "difficulty": Column(NUMBER, "from 0 to 1, made of the counts before"),
    "level": Column(STRING, "`easy`, `medium` or `hard`, by the difficulty"),
    "mix": Column(STRING, "part of the training mix"),
}
"""Columns of the rows to train on, in their order."""
NEGATIVES = {
    "id": _ID,
    "source": _SOURCE,
    "path": _PATH,
    "license": _LICENSE,
    "code": Column(STRING, "a program that the compiler rejects"),
    "status": Column(STRING, "kind of the rejection"),
    "category": Column(STRING, "category of the first error, such as `ownership`"),
    "error_codes": Column(Strings(), "codes of the errors, such as `E0382`"),
    "diagnostics": Column(
        Struct(
            {
                "code": STRING,
                "category": STRING,
                "message": STRING,
                "line": INTEGER,
                "column": INTEGER,
                "rendered": STRING,
            },
            is_list=True,
        ),
        "the compiler's messages, with line and column",
    ),
    "fixed_code": Column(STRING, "a version that compiles, by the compiler's own suggestions; null where it has none"),
    "edition": Column(STRING, "edition of Rust"),
    "rustc": Column(STRING, "version of the compiler"),
}
"""Columns of the rejected rows, in their order."""


def hub_features(types: Mapping[str, Type]) -> list[dict[str, Any]]:
    """
    Return columns as the metadata of a data card names them. With them a file in which a column is null throughout
    has the same columns as the others.
    """
    return [{"name": name, **_feature(type)} for name, type in types.items()]


def column_types(columns: Mapping[str, Column]) -> dict[str, Type]:
    """Return the types of columns by name."""
    return {name: column.type for name, column in columns.items()}


def column_rows(columns: Mapping[str, Column]) -> Sequence[Sequence[str]]:
    """Return a table of columns, with a header."""
    return [["column", "type", "meaning"], *([f"`{n}`", _words(c.type), c.meaning] for n, c in columns.items())]


def _feature(type: Type) -> dict[str, Any]:
    if isinstance(type, Strings):
        return {"list": STRING}
    if isinstance(type, Struct):
        return {"list" if type.is_list else "struct": hub_features(type.fields)}
    return {"dtype": type}


def _words(type: Type) -> str:
    if isinstance(type, Strings):
        return "list of strings"
    if isinstance(type, Struct):
        return "list of objects" if type.is_list else "object"
    return {STRING: "string", INTEGER: "integer", NUMBER: "number", BOOLEAN: "boolean"}[type]
