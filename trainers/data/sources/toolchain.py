"""
Rust code in the HTML documentation that comes with every Rust toolchain: the books, the examples of the standard
library, and the source pages of the standard library; and a few files that were written for this project.
"""

import html
import re
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from trainers.data.sources.document import EXAMPLE, FILE, Document

TOOLCHAIN_LICENSE = "MIT OR Apache-2.0"
RUST_DOCS_HINT = "rustup component add rust-docs"
TRANSLATIONS = {"es", "fr", "ja", "ko", "pt-br", "ru", "vi", "zh"}
# Thousands of generated pages of vendor intrinsics that differ in one line.
GENERATED_PAGES = {"arch", "core_arch", "portable-simd", "simd", "stdarch"}

_BOOK_EXAMPLE = re.compile(r'<code class="language-rust([^"]*)">(.*?)</code>', re.DOTALL)
_SOURCE_PAGE = re.compile(r'<pre class="rust()"><code>(.*?)</code></pre>', re.DOTALL)
_LINE_NUMBER = re.compile(r"<a href=#\d+ id=\d+ data-nosnippet>\d+</a>")
_TAG = re.compile(r"<[^>]*>")

BUILTIN_RUST = Path(str(files("trainers.data").joinpath("builtin_rust")))


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


def read_book(docs: Path, book: str) -> Iterator[tuple[str, str, str]]:
    """
    Yield the Rust examples of a book of the documentation, including hidden lines: the page, the flags of the example
    such as "ignore edition2021", and the code.
    """
    return _read_pages(docs / book, TRANSLATIONS | {"print.html"}, _BOOK_EXAMPLE)


def read_rust_by_example(docs: Path) -> Iterator[Document]:
    """Yield the programs of Rust by Example, including hidden lines."""
    for page, _, code in read_book(docs, "rust-by-example"):
        yield Document.of("rust-by-example", page, EXAMPLE, TOOLCHAIN_LICENSE, code)


def read_std_sources(docs: Path) -> Iterator[Document]:
    """Yield the source files of the standard library from their documentation pages."""
    for page, _, code in _read_pages(docs / "src", GENERATED_PAGES, _SOURCE_PAGE):
        yield Document.of("std-sources", page.removesuffix(".html"), FILE, TOOLCHAIN_LICENSE, code)


def read_builtin() -> Iterator[Document]:
    """Yield the small set of Rust files that were written for this project."""
    for path in sorted(BUILTIN_RUST.iterdir(), key=lambda entry: entry.name):
        if path.name.endswith(".rs"):
            yield Document.of("builtin", path.name, FILE, "MIT", path.read_text(encoding="utf-8"))


def _read_pages(folder: Path, skip: set[str], pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Yield page, flags and text of each match in the pages below a folder; `skip` names folders and files to omit."""
    for page in sorted(folder.rglob("*.html")):
        relative = page.relative_to(folder)
        if skip.isdisjoint(relative.parts):
            for flags, markup in pattern.findall(page.read_text(encoding="utf-8")):
                yield relative.as_posix(), flags.strip(), _text_of(markup)


def _text_of(markup: str) -> str:
    return html.unescape(_TAG.sub("", _LINE_NUMBER.sub("", markup))).strip("\n") + "\n"
