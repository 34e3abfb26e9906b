"""
Rust code to train on, as documents.

The default source is the documentation that every Rust toolchain with the `rust-docs` component has: Rust by Example,
the examples of the standard library's documentation, and the source pages of the standard library. Another source is a
folder of .rs files. If there is neither, a few files that were written for this project are used.
"""

import hashlib
import html
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evaluation.rust_files import rust_files

UNREADABLE, EMPTY = "that cannot be read as UTF-8", "that are empty"
TOOLCHAIN_LICENSE = "MIT OR Apache-2.0"
RUST_DOCS_HINT = "rustup component add rust-docs"
TRANSLATIONS = {"es", "fr", "ja", "ko", "pt-br", "ru", "vi", "zh"}
# Thousands of generated pages of vendor intrinsics that differ in one line.
GENERATED_PAGES = {"arch", "core_arch", "portable-simd", "simd", "stdarch"}

_BOOK_EXAMPLE = re.compile(r'<code class="language-rust[^"]*">(.*?)</code>', re.DOTALL)
_DOC_EXAMPLE = re.compile(r'<pre class="rust rust-example-rendered"><code>(.*?)</code></pre>', re.DOTALL)
_SOURCE_PAGE = re.compile(r'<pre class="rust"><code>(.*?)</code></pre>', re.DOTALL)
_LINE_NUMBER = re.compile(r"<a href=#\d+ id=\d+ data-nosnippet>\d+</a>")
_TAG = re.compile(r"<[^>]*>")

BUILTIN_RUST = Path(str(files("trainers.data").joinpath("builtin_rust")))


@dataclass(frozen=True)
class Document:
    """
    A piece of Rust code and its origin.

    Attributes:
        id: Hash of the code, ignoring differences in whitespace.
        source: Name of the collection.
        path: File or page within the collection.
        kind: "example" or "file".
        license: SPDX expression, or "unknown" for a folder of the user.
        code: The code.
    """

    id: str
    source: str
    path: str
    kind: str
    license: str
    code: str

    @classmethod
    def of(cls, source: str, path: str, kind: str, license: str, code: str) -> "Document":
        normalized = " ".join(code.split())
        return cls(hashlib.sha256(normalized.encode()).hexdigest()[:16], source, path, kind, license, code)


def toolchain_docs() -> Path | None:
    """Return the folder of the installed toolchain's HTML documentation, or None without `rust-docs` or rustc."""
    try:
        found = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if found.returncode != 0:
        return None
    docs = Path(found.stdout.strip()) / "share" / "doc" / "rust" / "html"
    return docs if (docs / "src" / "core").is_dir() else None


def _text_of(markup: str) -> str:
    return html.unescape(_TAG.sub("", _LINE_NUMBER.sub("", markup))).strip("\n") + "\n"


def _read_pages(
    folder: Path, skip: set[str], pattern: re.Pattern, source: str, kind: str, suffix: str = ""
) -> Iterator[Document]:
    """Yield the matches of `pattern` in the HTML pages below a folder; `skip` names folders and files to omit."""
    for page in sorted(folder.rglob("*.html")):
        relative = page.relative_to(folder)
        if skip.isdisjoint(relative.parts):
            path = relative.as_posix().removesuffix(suffix)
            for found in pattern.findall(page.read_text(encoding="utf-8")):
                yield Document.of(source, path, kind, TOOLCHAIN_LICENSE, _text_of(found))


def read_rust_by_example(docs: Path) -> Iterator[Document]:
    """Yield the programs of Rust by Example, including hidden lines."""
    skip = TRANSLATIONS | {"print.html"}
    return _read_pages(docs / "rust-by-example", skip, _BOOK_EXAMPLE, "rust-by-example", "example")


def read_std_examples(docs: Path) -> Iterator[Document]:
    """Yield the examples of the standard library's documentation as shown there, without their hidden lines."""
    return _read_pages(docs / "std", GENERATED_PAGES, _DOC_EXAMPLE, "std-examples", "example")


def read_std_sources(docs: Path) -> Iterator[Document]:
    """Yield the source files of the standard library from their documentation pages."""
    return _read_pages(docs / "src", GENERATED_PAGES, _SOURCE_PAGE, "std-sources", "file", suffix=".html")


def read_folder(folder: Path) -> Iterator[Document]:
    """
    Yield the .rs files below a folder that `rust_files` selects, and print how many are left out and why. The source
    of a document is the name of the top-level subfolder that it is in, or of the folder itself.

    Raises:
        ValueError: The folder does not exist or has no readable .rs file.
    """
    files, readable = rust_files(folder), 0
    for path in files.paths:
        try:
            code = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            files.left_out[UNREADABLE] += 1
            continue
        if not code.strip():
            files.left_out[EMPTY] += 1
            continue
        readable += 1
        relative = path.relative_to(folder)
        source = relative.parts[0] if len(relative.parts) > 1 else folder.name
        yield Document.of(source, relative.as_posix(), "file", "unknown", code)
    if not readable:
        raise ValueError(
            f"data_dir must be a folder with .rs files in UTF-8, got {str(folder)!r} with none"
            + (f" (left out: {files})" if files.left_out else "")
        )
    if files.left_out:
        print(f"{folder}: {readable:,} files read; left out: {files}")


def read_builtin() -> Iterator[Document]:
    """Yield the small set of Rust files that were written for this project."""
    for path in sorted(BUILTIN_RUST.iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".rs"):
            yield Document.of("builtin", path.name, "file", "MIT", path.read_text(encoding="utf-8"))


def unique_documents(rows: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents without duplicates; differences in whitespace are ignored."""
    seen = set()
    for row in rows:
        if row.id not in seen:
            seen.add(row.id)
            yield row


def read_documents(data_dir: Path | None) -> list[Document]:
    """
    Return all documents of `data_dir`, or of the installed toolchain's documentation, or of the built-in set, without
    duplicates.

    Print what to install if the documentation is missing.
    """
    if data_dir is not None:
        return list(unique_documents(read_folder(data_dir)))
    docs = toolchain_docs()
    if docs is None:
        print(f"No Rust documentation is installed; using the small built-in set. For more: {RUST_DOCS_HINT}")
        return list(unique_documents(read_builtin()))
    readers = (read_rust_by_example, read_std_examples, read_std_sources)
    return list(unique_documents(row for reader in readers for row in reader(docs)))
