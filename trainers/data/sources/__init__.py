"""Sources of Rust code to train on: each is a class that yields documents."""

from trainers.data.sources.compiler_tests import CompilerTestSource
from trainers.data.sources.crate import Crate
from trainers.data.sources.crates import CrateSource
from trainers.data.sources.default import default_sources
from trainers.data.sources.document import COMPILE_FAIL, EXAMPLE, FILE, UNKNOWN_LICENSE, Document, unique_documents
from trainers.data.sources.documentation import (
    BuiltinSource,
    CrateExampleSource,
    DocumentationSource,
    RustByExampleSource,
    StdSource,
)
from trainers.data.sources.exercism import Exercise, ExercismSource
from trainers.data.sources.filters import SourceFilter
from trainers.data.sources.folder import FolderSource
from trainers.data.sources.hub import HubSource
from trainers.data.sources.registry import SOURCES, parse_source
from trainers.data.sources.repairs import RepairSource
from trainers.data.sources.source import Source
from trainers.data.sources.table import TableSource
from trainers.data.sources.toolchain import (
    BUILTIN_RUST,
    RUST_DOCS_HINT,
    read_builtin,
    read_rust_by_example,
    read_std_sources,
    toolchain_docs,
)

__all__ = [
    "BUILTIN_RUST",
    "COMPILE_FAIL",
    "EXAMPLE",
    "FILE",
    "RUST_DOCS_HINT",
    "SOURCES",
    "UNKNOWN_LICENSE",
    "BuiltinSource",
    "CompilerTestSource",
    "Crate",
    "CrateExampleSource",
    "CrateSource",
    "Document",
    "DocumentationSource",
    "Exercise",
    "ExercismSource",
    "FolderSource",
    "HubSource",
    "RepairSource",
    "RustByExampleSource",
    "Source",
    "SourceFilter",
    "StdSource",
    "TableSource",
    "parse_source",
    "default_sources",
    "read_builtin",
    "read_rust_by_example",
    "read_std_sources",
    "toolchain_docs",
    "unique_documents",
]
