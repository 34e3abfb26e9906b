"""Sources of documentation: the books and std's examples of the toolchain, and the doc comments of crates."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trainers.data.sources.crate import count_tests
from trainers.data.sources.crates import CrateSource
from trainers.data.sources.document import COMPILE_FAIL, EXAMPLE, Document
from trainers.data.sources.rustdoc import DocExample, doc_examples, read_example, rustdoc_program
from trainers.data.sources.source import Source, files_identity, read_text
from trainers.data.sources.toolchain import (
    BUILTIN_RUST,
    RUST_DOCS_HINT,
    TOOLCHAIN_LICENSE,
    read_book,
    read_builtin,
    read_std_sources,
    toolchain_docs,
)

# Edition of the examples that do not name one. The error index is left out: nearly all of its examples are wrong on
# purpose, and this project's tests of the verifier are made of them.
BOOKS = {"book": "2024", "reference": "2024", "nomicon": "2024", "edition-guide": "2015"}
RUST_BY_EXAMPLE, RUST_BY_EXAMPLE_EDITION = "rust-by-example", "2021"
STD_EXAMPLES, STD_SOURCES, STD_EDITION = "std-examples", "std-sources", "2024"

NOT_RUST = "code blocks that are not Rust"
IGNORED = "examples with the flag ignore"
INCOMPLETE = "examples that macros complete"
UNSTABLE = "that need unstable features"
_FEATURE = re.compile(r"#!\[(?:[^\]\n]*\W)?feature\s*\(")


def needs_unstable(code: str) -> bool:
    """Whether code has an attribute `#![feature(...)]`, which only a nightly compiler accepts."""
    return _FEATURE.search(code) is not None


def example_document(
    example: DocExample, left_out: Counter[str], source: str, path: str, license: str, edition: str, crate: str | None
) -> Document | None:
    """
    Return the document of an example; or None if it is not tested, with the reason counted in `left_out`. Examples
    that must not compile are complete programs of the kind `COMPILE_FAIL`.
    """
    reason = None
    if not example.is_rust:
        reason = NOT_RUST
    elif example.is_ignored:
        reason = IGNORED
    elif example.is_incomplete:
        reason = INCOMPLETE
    elif needs_unstable(example.code):
        reason = UNSTABLE
    if reason is not None:
        left_out[reason] += 1
        return None
    kind, code = EXAMPLE, example.code
    if example.must_fail:
        kind, code = COMPILE_FAIL, rustdoc_program(code)
    return Document.of(source, path, kind, license, code, edition=example.edition or edition, crate=crate)


class ToolchainSource(Source):
    """
    A part of the toolchain's HTML documentation.

    Args:
        docs: Folder of the documentation (default: of the installed toolchain).
    """

    def __init__(self, docs: Path | None = None):
        super().__init__(self.kind)
        self.docs = docs

    def folder(self) -> Path:
        """
        Return the folder of the documentation.

        Raises:
            ValueError: There is none.
        """
        docs = self.docs or toolchain_docs()
        if docs is None:
            raise ValueError(
                f"{self.kind} must have the toolchain's documentation installed, got none: {RUST_DOCS_HINT}"
            )
        return docs

    def check(self) -> None:
        if next(self.read(), None) is None:
            raise ValueError(f"{self.kind} must be a folder of the toolchain's documentation, got {self.folder()}")

    def identity(self) -> str:
        # Thousands of pages that are installed together, and this file has their hashes in its name.
        folder = self.folder()
        return files_identity(
            sorted([*folder.glob("*.js"), *folder.glob("version_info.html")]), str(folder), self.kind
        )

    def _book(self, book: str, edition: str) -> Iterator[Document]:
        numbers: Counter[str] = Counter()
        for page, flags, code in read_book(self.folder(), book):
            numbers[page] += 1
            # Beside rustdoc's flags, the books have some of their own for the look of the page.
            example = read_example(code, f"rust {flags}")
            path = f"{page}#{numbers[page]}"
            document = example_document(example, self.left_out, book, path, TOOLCHAIN_LICENSE, edition, None)
            if document is not None:
                yield document


class RustByExampleSource(ToolchainSource):
    """The programs of Rust by Example."""

    kind = RUST_BY_EXAMPLE

    def _documents(self) -> Iterator[Document]:
        return self._book(RUST_BY_EXAMPLE, RUST_BY_EXAMPLE_EDITION)


class DocumentationSource(ToolchainSource):
    """
    The examples of the Book, the Reference, the Nomicon and the Edition Guide, and of the standard library's doc
    comments with their hidden lines.
    """

    kind = "documentation"

    def _documents(self) -> Iterator[Document]:
        for book, edition in BOOKS.items():
            yield from self._book(book, edition)
        for row in read_std_sources(self.folder()):
            for number, example in enumerate(doc_examples(row.code), 1):
                path = f"{row.path}#{number}"
                document = example_document(
                    example, self.left_out, STD_EXAMPLES, path, TOOLCHAIN_LICENSE, STD_EDITION, None
                )
                if document is not None:
                    yield document


class StdSource(ToolchainSource):
    """The source files of the standard library."""

    kind = STD_SOURCES

    def _documents(self) -> Iterator[Document]:
        return read_std_sources(self.folder())


class CrateExampleSource(Source):
    """
    The examples in the doc comments of crates, with their hidden lines.

    Args:
        path: As for `CrateSource`.
    """

    kind = "crate-examples"

    def __init__(self, path: Path):
        super().__init__(self.kind)
        self.crates = CrateSource(path)

    def _documents(self) -> Iterator[Document]:
        self.crates.left_out.clear()
        for crate in self.crates.crates():
            files = crate.files(self.left_out)
            num_tests = count_tests(files)
            for file in files:
                text = read_text(file, self.left_out)
                if text is None:
                    continue
                within = file.relative_to(crate.folder).as_posix()
                for number, example in enumerate(doc_examples(text), 1):
                    document = example_document(
                        example,
                        self.left_out,
                        self.name,
                        f"{crate.key}/{within}#{number}",
                        crate.license_of(within),
                        crate.edition,
                        crate.key,
                    )
                    if document is not None:
                        yield replace(document, num_tests=num_tests)
        self.left_out.update(self.crates.left_out)

    def check(self) -> None:
        self.crates.check()

    def identity(self) -> str:
        return self.crates.identity()


class BuiltinSource(Source):
    """The Rust files that were written for this project."""

    kind = "builtin"

    def __init__(self) -> None:
        super().__init__(self.kind)

    def _documents(self) -> Iterator[Document]:
        return read_builtin()

    def check(self) -> None:
        """Do nothing: the files are a part of this package."""

    def identity(self) -> str:
        return files_identity([BUILTIN_RUST])
