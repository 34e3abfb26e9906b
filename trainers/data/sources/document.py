"""Documents: pieces of Rust code with their origin, as all sources of training data yield them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

EXAMPLE = "example"
"""Kind of code that rustdoc wraps in `fn main` if it has none."""
FILE = "file"
"""Kind of code that is compiled as it is."""
COMPILE_FAIL = "compile_fail"
"""Kind of complete programs that the compiler should reject. They are never verified code, but can be negatives."""
KINDS = (EXAMPLE, FILE, COMPILE_FAIL)
UNKNOWN_LICENSE = "unknown"


@dataclass(frozen=True)
class Document:
    """
    A piece of Rust code and its origin.

    Attributes:
        id: Hash of the code, ignoring differences in whitespace.
        source: Name of the collection.
        path: File or page within the collection.
        kind: `EXAMPLE`, `FILE` or `COMPILE_FAIL`.
        license: SPDX expression, or `UNKNOWN_LICENSE`.
        code: The code.
        edition: Edition of Rust to compile it in; None if the source does not say.
        crate: "name-version" of the crate that it belongs to; a verdict on the whole crate is found by this name.
        num_tests: Number of tests of the crate or project that it belongs to; None if they were not counted.
        stars: Number of stars of the repository; None if the source does not say.
    """

    id: str
    source: str
    path: str
    kind: str
    license: str
    code: str
    # By name only, so that `Document.__match_args__` holds the columns that every row of documents has.
    edition: str | None = field(default=None, kw_only=True)
    crate: str | None = field(default=None, kw_only=True)
    num_tests: int | None = field(default=None, kw_only=True)
    stars: int | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, source: str, path: str, kind: str, license: str, code: str, **more: Any) -> "Document":
        """Return a document with its id; `more` are the fields with defaults."""
        return cls(code_id(code), source, path, kind, license, code, **more)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Document":
        """Return the document in a row of columns with the names of the fields; those with defaults may be missing."""
        return cls(**{each.name: row[each.name] for each in fields(cls) if not each.kw_only or each.name in row})


def code_id(code: str) -> str:
    """Return the hash of code, ignoring differences in whitespace."""
    return hashlib.sha256(" ".join(code.split()).encode()).hexdigest()[:16]


def unique_documents(rows: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents without duplicates; differences in whitespace are ignored."""
    seen = set()
    for row in rows:
        if row.id not in seen:
            seen.add(row.id)
            yield row
