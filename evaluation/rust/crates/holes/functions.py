"""
Functions of a crate whose bodies can be replaced: those of modules, impls and traits, outside of macros and tests.

The files of the crate are found as the compiler finds them, by following `mod name;` from the crate's root. Modules
that a macro declares or that have a `#[path]` are not followed, so their functions are not found.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import field, name_of, node_bytes, node_text, walk

MAX_FILE_BYTES = 1 << 20
MIN_BODY_CHARACTERS = 30
LONG_BODY_CHARACTERS = 60  # a single statement of this length is not trivial
MAX_BODY_CHARACTERS = 4000
# Functions that the compiler, the linker or libtest treats in a special way.
SPECIAL = {
    "test",
    "bench",
    "no_mangle",
    "export_name",
    "link_section",
    "naked",
    "target_feature",
    "panic_handler",
    "proc_macro",
    "proc_macro_derive",
    "proc_macro_attribute",
    "global_allocator",
}
CFG_TEST = re.compile(r"#!?\[\s*cfg\s*\(.*\btest\b.*\)\s*\]", re.DOTALL)


@dataclass(frozen=True)
class Function:
    """A function whose body can be replaced."""

    path: str
    """Its file, relative to the crate's folder."""
    name: str
    """Its path in the crate: modules, the type (`<Type as Trait>` in an impl of a trait) and the function's name."""
    documentation: str
    """The comments and attributes directly before it."""
    head: str
    """From its visibility up to its body, without the opening brace."""
    body: str
    """The body with its braces."""
    start: int
    """Offset in bytes of the documentation."""
    body_start: int
    body_end: int

    @property
    def simple_name(self) -> str:
        """Name of the function without its path."""
        return self.name.rpartition("::")[2]


@dataclass(frozen=True)
class Source:
    """A file of a crate with its functions."""

    path: str
    code: bytes
    functions: tuple[Function, ...]
    is_test: bool = False
    """Whether it is only compiled for tests."""


def read_crate(folder: Path, root: str) -> dict[str, Source]:
    """
    Return the files of a crate by their paths relative to the folder, with their functions.

    A file that is missing, larger than 1 MiB, not UTF-8, or outside of the folder is left out, as are functions with
    a name that occurs twice, of which a `cfg` usually compiles one.

    Args:
        folder: Folder of the crate.
        root: File of the crate's root relative to the folder, usually `src/lib.rs`.
    """
    found: dict[str, Source] = {}
    waiting: list[tuple[str, tuple[str, ...], bool]] = [(root, (), False)]
    while waiting:
        path, modules, is_test = waiting.pop()
        code = None if path in found else read_source(folder, path)
        if code is None:
            continue
        items = _Items(path, modules)
        items.read(Parser(RUST).parse(code).root_node)
        found[path] = Source(path, code, () if is_test else tuple(items.functions), is_test or items.is_test)
        is_folder = path == root or Path(path).name == "mod.rs"
        base = Path(path).parent if is_folder else Path(path).with_suffix("")
        for names, only_tests in items.modules:
            place = base.joinpath(*names)
            for file in (place.with_suffix(".rs"), place / "mod.rs"):
                waiting.append((file.as_posix(), (*modules, *names), found[path].is_test or only_tests))
    names = Counter(function.name for source in found.values() for function in source.functions)
    return {
        path: replace(source, functions=tuple(each for each in source.functions if names[each.name] == 1))
        for path, source in sorted(found.items())
    }


def read_source(folder: Path, path: str) -> bytes | None:
    """Return a source file of a crate; None if it is missing, too large, not UTF-8, or outside of the folder."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file() or file.stat().st_size > MAX_FILE_BYTES:
        return None
    code = file.read_bytes()
    try:
        code.decode()
    except UnicodeDecodeError:
        return None
    return code


class _Items:
    """Functions and modules of one file."""

    def __init__(self, path: str, modules: tuple[str, ...]):
        self.path = path
        self.functions: list[Function] = []
        self.modules: list[tuple[tuple[str, ...], bool]] = []
        """Modules in other files: their names from the file's module on, and whether they are only for tests."""
        self.is_test = False
        self._outside = modules

    def read(self, root: Node) -> None:
        """Read a whole file."""
        inner = [node for node in root.named_children if node.type == "inner_attribute_item"]
        self.is_test = any(CFG_TEST.fullmatch(node_text(node)) for node in inner)
        if not self.is_test:
            self._read(root, (), None)

    def _read(self, container: Node, modules: tuple[str, ...], owner: str | None) -> None:
        before: list[Node] = []
        for node in container.named_children:
            if node.type == "attribute_item" or node.type in COMMENTS:
                before.append(node)
                continue
            attributes = [node_text(each) for each in before if each.type == "attribute_item"]
            if not any(CFG_TEST.fullmatch(each) for each in attributes):
                self._read_item(node, before, attributes, modules, owner)
            elif node.type == "mod_item" and node.child_by_field_name("body") is None:
                self.modules.append(((*modules, name_of(node)), True))
            before = []

    def _read_item(
        self, node: Node, before: list[Node], attributes: list[str], modules: tuple[str, ...], owner: str | None
    ) -> None:
        body = node.child_by_field_name("body")
        if node.type == "mod_item":
            names = (*modules, name_of(node))
            if body is not None:
                self._read(body, names, None)
            elif not any(_attribute_name(each) == "path" for each in attributes):
                self.modules.append((names, False))
        elif node.type in ("impl_item", "trait_item") and body is not None:
            self._read(body, modules, _owner(node))
        elif node.type == "function_item" and body is not None and _is_replaceable(node, body, attributes):
            path = [*self._outside, *modules, *([owner] if owner else []), name_of(node)]
            self.functions.append(_function(self.path, "::".join(path), _adjacent(before, node), node, body))


def _owner(node: Node) -> str:
    """Return the path segment of an impl or a trait."""
    if node.type == "trait_item":
        return name_of(node)
    trait, kind = node.child_by_field_name("trait"), _compact(field(node, "type"))
    return kind if trait is None else f"<{kind} as {_compact(trait)}>"


def _compact(node: Node) -> str:
    return re.sub(r"\s+", " ", node_text(node))


def _attribute_name(text: str) -> str:
    found = re.match(r"#!?\[\s*(?:unsafe\s*\(\s*)?([\w:]+)", text)
    return "" if found is None else found[1]


def _adjacent(before: Sequence[Node], node: Node) -> list[Node]:
    """Return the comments and attributes directly before an item: no blank line may be between them."""
    chosen: list[Node] = []
    row = node.start_point[0]
    for each in reversed(before):
        # A comment for documentation includes its line break.
        end = each.end_point[0] - (each.end_point[1] == 0)
        if end < row - 1:
            break
        chosen.append(each)
        row = each.start_point[0]
    return chosen[::-1]


def _is_replaceable(node: Node, body: Node, attributes: Sequence[str]) -> bool:
    names = [_attribute_name(each) for each in attributes]
    if node.has_error or any(name in SPECIAL or name.endswith("::test") for name in names):
        return False
    modifiers = [node_text(child) for child in node.children if child.type == "function_modifiers"]
    if any(word != "async" for text in modifiers for word in text.split()):
        return False
    # Every body would have another type.
    returns = node.child_by_field_name("return_type")
    if returns is not None and any(each.type == "abstract_type" for each in walk(returns)):
        return False
    return not _is_trivial(body) and not any(child.type == "inner_attribute_item" for child in body.named_children)


def _is_trivial(body: Node) -> bool:
    statements = [child for child in body.named_children if child.type not in COMMENTS]
    size = sum(len(re.sub(r"\s+", " ", node_text(each))) for each in statements)
    if not MIN_BODY_CHARACTERS <= size or len(node_bytes(body)) > MAX_BODY_CHARACTERS:
        return True
    return len(statements) < 2 and size < LONG_BODY_CHARACTERS


def _function(path: str, name: str, before: Sequence[Node], node: Node, body: Node) -> Function:
    whole = node_bytes(node)
    return Function(
        path=path,
        name=name,
        documentation="\n".join(node_text(each).rstrip("\n") for each in before),
        head=whole[: body.start_byte - node.start_byte].decode(),
        body=node_text(body),
        start=before[0].start_byte if before else node.start_byte,
        body_start=body.start_byte,
        body_end=body.end_byte,
    )


def functions_of(sources: dict[str, Source]) -> Iterator[Function]:
    """Yield the functions of a crate's files, by file and place."""
    for source in sources.values():
        yield from source.functions
