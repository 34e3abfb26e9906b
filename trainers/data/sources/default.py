"""The documents of a recipe that names only a folder, or nothing."""

from pathlib import Path

from trainers.data.sources.document import Document, unique_documents
from trainers.data.sources.documentation import BuiltinSource, DocumentationSource, RustByExampleSource, StdSource
from trainers.data.sources.folder import read_folder
from trainers.data.sources.source import Source
from trainers.data.sources.toolchain import (
    RUST_DOCS_HINT,
    read_builtin,
    read_rust_by_example,
    read_std_examples,
    read_std_sources,
    toolchain_docs,
)


def default_sources() -> list[Source]:
    """
    Return the sources of a recipe that names none: the installed toolchain's documentation, or the built-in files.

    Print what to install if the documentation is missing.
    """
    if toolchain_docs() is None:
        print(f"No Rust documentation is installed; using the small built-in set. For more: {RUST_DOCS_HINT}")
        return [BuiltinSource()]
    return [RustByExampleSource(), DocumentationSource(), StdSource()]


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
