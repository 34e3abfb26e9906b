"""The sources of a recipe that names none."""

from trainers.data.sources.documentation import BuiltinSource, DocumentationSource, RustByExampleSource, StdSource
from trainers.data.sources.source import Source
from trainers.data.sources.toolchain import RUST_DOCS_HINT, toolchain_docs


def default_sources() -> list[Source]:
    """
    Return the sources of a recipe that names none: the installed toolchain's documentation, or the built-in files.

    Print what to install if the documentation is missing.
    """
    if toolchain_docs() is None:
        print(f"No Rust documentation is installed; using the small built-in set. For more: {RUST_DOCS_HINT}")
        return [BuiltinSource()]
    return [RustByExampleSource(), DocumentationSource(), StdSource()]
