"""Sources of Rust code to train on: each is a class that yields documents."""

from trainers.data.sources.default import read_documents
from trainers.data.sources.document import COMPILE_FAIL, EXAMPLE, FILE, UNKNOWN_LICENSE, Document, unique_documents
from trainers.data.sources.folder import FolderSource, read_folder
from trainers.data.sources.source import Source
from trainers.data.sources.toolchain import (
    BUILTIN_RUST,
    RUST_DOCS_HINT,
    read_builtin,
    read_rust_by_example,
    read_std_examples,
    read_std_sources,
    toolchain_docs,
)

__all__ = [
    "BUILTIN_RUST",
    "COMPILE_FAIL",
    "EXAMPLE",
    "FILE",
    "RUST_DOCS_HINT",
    "UNKNOWN_LICENSE",
    "Document",
    "FolderSource",
    "Source",
    "read_builtin",
    "read_documents",
    "read_folder",
    "read_rust_by_example",
    "read_std_examples",
    "read_std_sources",
    "toolchain_docs",
    "unique_documents",
]
