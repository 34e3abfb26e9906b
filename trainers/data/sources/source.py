"""The interface of all sources of training data, and the rules for texts that all of them share."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from trainers.data.sources.document import Document

MAX_BYTES = 200_000
MAX_LINE = 1_000

# Reasons for leaving out, as they follow a count: "3 that are empty".
UNREADABLE, EMPTY = "that cannot be read as UTF-8", "that are empty"
TOO_LARGE = f"larger than {MAX_BYTES // 1_000} kB"
LONG_LINE = f"with a line of over {MAX_LINE:,} characters (generated)"
LINK_OUTSIDE = "that are symbolic links to the outside"
LINK_INSIDE = "that are symbolic links to another file of the same folder"


class Source(ABC):
    """
    A collection of Rust code.

    Attributes:
        kind: Name of the class in [`registry.SOURCES`], such as "crates".
        name: Name of the collection, and `source` of its documents if the collection has no parts.
        left_out: Number of files or examples that the last call of `read` left out, by the reason.
        is_own: Whether it is the user's own project: filters by license, stars and tests do not apply to it.
    """

    kind: ClassVar[str]

    def __init__(self, name: str):
        self.name = name
        self.left_out: Counter[str] = Counter()
        self.is_own = False

    def read(self) -> Iterator[Document]:
        """
        Yield the documents, always in the same order, with one file or batch of rows in memory at a time. Texts that
        are empty, larger than `MAX_BYTES` or have a line of over `MAX_LINE` characters are left out.
        """
        self.left_out.clear()
        for document in self._documents():
            reason = unusable(document.code)
            if reason is None:
                yield document
            else:
                self.left_out[reason] += 1

    @abstractmethod
    def _documents(self) -> Iterator[Document]:
        """Yield all documents and count in `left_out` what cannot be one."""

    @abstractmethod
    def check(self) -> None:
        """Raise `ValueError` if the source is missing or empty, without reading all of it."""

    @abstractmethod
    def identity(self) -> str:
        """Return a hash that changes when the content changes, from names, sizes and times of change of the files."""

    def left_out_in_words(self) -> str:
        """Return the numbers of texts left out by reason, most frequent first, in words; empty if there are none."""
        return ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.most_common())


def unusable(code: str) -> str | None:
    """Return the reason why a text is no training data, or None."""
    if not code.strip():
        return EMPTY
    if len(code.encode()) > MAX_BYTES:
        return TOO_LARGE
    if max(map(len, code.splitlines())) > MAX_LINE:
        return LONG_LINE
    return None


def read_text(path: Path, left_out: Counter[str]) -> str | None:
    """Return the text of a file; if it is too large or not UTF-8, count the reason in `left_out` and return None."""
    try:
        if path.stat().st_size > MAX_BYTES:
            left_out[TOO_LARGE] += 1
            return None
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        left_out[UNREADABLE] += 1
        return None


def files_identity(paths: Iterable[Path], *settings: str) -> str:
    """
    Return a hash of the names, sizes and times of change of files and of all files in folders.

    Args:
        paths: Files and folders.
        settings: What else decides on the documents of a source.
    """
    digest = hashlib.sha256(repr(settings).encode())
    for top in paths:
        for path in [top] if not top.is_dir() else _files_below(top):
            status = path.lstat()
            name = path.relative_to(top).as_posix()
            digest.update(os.fsencode(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names))


def check_folder(option: str, folder: Path) -> None:
    """Raise `ValueError` unless `folder` is a folder with something in it; `option` names the setting in the error."""
    if not folder.is_dir():
        raise ValueError(f"{option} must be a folder, got {folder}, which {_what_is(folder)}")
    if not any(folder.iterdir()):
        raise ValueError(f"{option} must be a folder with files, got {folder}, which is empty")


def _what_is(path: Path) -> str:
    return "is a file" if path.exists() else "does not exist"
