"""
Make the tests of a crate compile: with its integration tests, and without tests that need something that is missing.

Integration tests (`tests/*.rs`) become modules of the crate's unit tests, in which the crate is `crate`. Tests
that do not compile, often because of a dependency that the folder of crates lacks, are blanked: their text becomes
spaces, so that all places stay. Only code that is compiled for tests alone is changed, and `#![no_std]`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tree_sitter import Node, Parser

from evaluation.rust.crates.holes.functions import CFG_TEST, Function, Source, functions_of, read_source
from evaluation.rust.crates.holes.programs import Programs
from evaluation.rust.crates.holes.warm import NotBuilt, WarmCrate
from evaluation.rust.rustc.compiler import Compilation
from evaluation.rust.sandbox.runner import SandboxFailure
from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import node_text

TEST = re.compile(r"#\[\s*(?:\w+\s*::\s*)*test\b")
NO_STD = re.compile(rb"#!\[\s*no_std\s*\]")
OWN_CRATE = re.compile(rb"(?<![$\w:])crate::")
INTEGRATION = "nanochat_tests_"  # prefix of the names of modules with integration tests
MAX_ROUNDS = 12


@dataclass(frozen=True)
class OpenCrate:
    """A warm crate with its files and functions, and tests that compile."""

    warm: WarmCrate
    sources: dict[str, Source]
    """All files that were read, with their changes."""
    changed: dict[str, bytes]
    """The changed files."""
    functions: dict[str, Function]
    """Functions by name."""


def make_testable(crate: WarmCrate, sources: Mapping[str, Source], programs: Programs) -> OpenCrate:
    """
    Return a crate with tests that compile.

    Raises:
        NotBuilt: There is an error outside of the tests.
        SandboxFailure: The sandbox failed.
    """
    with_integration = _with_integration_tests(crate, sources)
    if len(with_integration) > len(sources):
        try:
            return _without_errors(crate, sources, with_integration, programs)
        except NotBuilt:
            pass  # some integration tests cannot be modules
    return _without_errors(crate, sources, dict(sources), programs)


def _with_integration_tests(crate: WarmCrate, sources: Mapping[str, Source]) -> dict[str, Source]:
    package = crate.package
    found = dict(sources)
    root = sources[package.library_path]
    # An alias of the crate would not do: many crates have a module of their own name.
    own_name = re.compile(rf"(?<![\w:])(?:::)?{package.library_name}::".encode())
    declared = re.compile(rf"(?:#\[macro_use\]\s*)?extern crate {package.library_name};".encode())
    added = []
    for file in sorted((package.folder / "tests").glob("*.rs")):
        path = f"tests/{file.name}"
        code = read_source(package.folder, path)
        name = INTEGRATION + re.sub(r"\W", "_", file.stem)
        if code is not None:
            code = OWN_CRATE.sub(f"crate::{name}::".encode(), code)
            code = declared.sub(b"", own_name.sub(b"crate::", code))
            found[path] = Source(path, code, (), is_test=True)
            added.append(f'#[cfg(test)] #[path = "{_above(crate)}{path}"] mod {name};')
    # Integration tests use the standard library even if the crate does not.
    code = NO_STD.sub(lambda attribute: b" " * len(attribute[0]), root.code)
    found[root.path] = replace(root, code=code + ("\n" + "\n".join(added) + "\n").encode())
    return found


def _above(crate: WarmCrate) -> str:
    """Return the path from the folder of the crate's root to the crate's folder."""
    return "../" * crate.package.library_path.count("/")


def _without_errors(
    crate: WarmCrate, original: Mapping[str, Source], sources: dict[str, Source], programs: Programs
) -> OpenCrate:
    """Blank tests with errors until the rest compiles."""
    for _ in range(MAX_ROUNDS):
        changed = {
            path: source.code
            for path, source in sources.items()
            if path not in original or source.code != original[path].code
        }
        order = list(sources)
        # The compiler names a file by the path of the module, relative to the file of its parent.
        folder = crate.package.library_path.rpartition("/")[0]
        names = {path: index for index, path in enumerate(order)}
        names |= {f"{folder}/{_above(crate)}{path}": index for path, index in names.items()}
        compilation = programs.check(crate, changed, names)
        if compilation.accepted:
            return OpenCrate(crate, sources, changed, {each.name: each for each in functions_of(sources)})
        if compilation.failure == "unavailable":
            raise SandboxFailure(compilation.reason)
        blanked = False
        for index, errors in compilation.errors.items():
            source = sources[order[index]]
            items = list(_test_items(source))
            code = source.code
            for error in errors:
                holding = [span for span, lines in items if error.line is not None and error.line - 1 in lines]
                if not holding and source.is_test:
                    holding = [(0, len(code))]
                if not holding:
                    raise NotBuilt(error.message)
                start, end = min(holding, key=lambda span: span[1] - span[0])
                code = code[:start] + re.sub(rb"[^\n]", b" ", code[start:end]) + code[end:]
            blanked |= code != source.code
            sources = sources | {source.path: replace(source, code=code)}
        if not blanked:
            raise NotBuilt(_first(compilation))
    raise NotBuilt("its tests still do not compile after those with errors are removed")


def _first(compilation: Compilation) -> str:
    errors = [*compilation.unplaced, *(error for each in compilation.errors.values() for error in each)]
    return errors[0].message if errors else compilation.reason


def _test_items(source: Source) -> Iterator[tuple[tuple[int, int], range]]:
    """Yield the spans in bytes and the lines of items that are compiled for tests alone, with their attributes."""
    waiting = [(Parser(RUST).parse(source.code).root_node, source.is_test)]
    while waiting:
        container, inside = waiting.pop()
        before: list[Node] = []
        for node in container.named_children:
            if node.type == "attribute_item" or node.type in COMMENTS:
                before.append(node)
                continue
            attributes = [node_text(each) for each in before if each.type == "attribute_item"]
            is_test = inside or any(CFG_TEST.fullmatch(text) or TEST.match(text) for text in attributes)
            # A documentation comment needs an item after it.
            own = [
                each for each in before if each.type == "attribute_item" or node_text(each).startswith(("///", "/**"))
            ]
            first = own[0] if own else node
            before = []
            if is_test and node.type != "inner_attribute_item":
                yield (first.start_byte, node.end_byte), range(first.start_point[0], node.end_point[0] + 1)
            body = node.child_by_field_name("body")
            if body is not None and node.type in ("mod_item", "impl_item"):
                waiting.append((body, is_test))
