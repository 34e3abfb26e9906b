"""Types, functions and other items of a file that a function of it needs, without their comments."""

import re
from collections.abc import Iterable, Mapping

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS
from evaluation.rust.syntax.nodes import name_of, node_bytes, node_text, walk

REMOVED = COMMENTS | {"attribute_item"}
DEFINITIONS = ("struct_item", "enum_item", "trait_item", "type_item", "const_item")
ITEMS = (*DEFINITIONS, "union_item", "static_item", "function_item", "macro_definition")
PRELUDE = frozenset(
    "Option Result String Vec Box Clone Copy Send Sync Sized Drop Fn FnMut FnOnce ToOwned ToString AsRef AsMut Into "
    "From Default Iterator IntoIterator Extend DoubleEndedIterator ExactSizeIterator FromIterator TryFrom TryInto Eq "
    "PartialEq Ord PartialOrd Debug Hash".split()
)
"""Names that need no definition: the standard library's own files define them."""
DERIVED = frozenset("Debug Clone Copy PartialEq Eq PartialOrd Ord Hash Default".split())
"""Traits that `#[derive]` implements without further crates."""
_CAPITALIZED, _WORD = re.compile(r"\b[A-Z]\w*"), re.compile(r"\b[A-Za-z_]\w*")
_DERIVE = re.compile(r"#\[\s*derive\s*\((.*)\)", re.DOTALL)


def needed_definitions(container: Node, head: str) -> list[Node]:
    """Return the definitions of a file or module that the head of a function needs, in their order."""
    there = {name_of(node): node for node in container.named_children if node.type in DEFINITIONS}
    return _needed(there, head, _CAPITALIZED)


def needed_items(container: Node, code: str, own_name: str) -> list[Node]:
    """
    Return the items of a file or module that the code of a function may need, in their order: those whose names occur.

    Args:
        container: The file or module.
        code: Head and body of the function.
        own_name: Its name, which is not needed.
    """
    there = {name_of(node): node for node in container.named_children if node.type in ITEMS}
    there.pop(own_name, None)
    return _needed(there, code, _WORD)


def _needed(there: Mapping[str, Node], code: str, words: re.Pattern[str]) -> list[Node]:
    needed: dict[str, Node] = {}
    names = [name for name in words.findall(code) if name in there]
    while names:
        name = names.pop()
        if name not in needed and name not in PRELUDE:
            needed[name] = there[name]
            names += [other for other in words.findall(written(there[name])) if other in there]
    return sorted(needed.values(), key=lambda node: node.start_byte)


def written(definition: Node) -> str:
    """Return a definition without comments and attributes, after those traits that it derives from the library."""
    code, start, end = node_bytes(definition), definition.start_byte, 0
    parts: list[bytes] = []
    for node in walk(definition, whole=lambda node: node.type in REMOVED):
        if node.type in REMOVED:
            # The end of its line is a part of a doc comment.
            parts += [code[end : node.start_byte - start].rstrip(b" \t"), b"\n" * node_bytes(node).endswith(b"\n")]
            end = node.end_byte - start
    lines = b"".join([*parts, code[end:]]).decode().split("\n")
    lines = [line.rstrip() for line in lines if line.strip()]
    derived = [name for name in _derived(definition) if name in DERIVED]
    return "\n".join([*([f"#[derive({', '.join(derived)})]"] if derived else []), *unindented(lines)])


def declared(definition: Node) -> str:
    """Return a definition as a declaration of `HiddenTests`, which names what the code must define."""
    name = name_of(definition)
    if definition.type == "struct_item":
        return f"struct {name};"
    if definition.type in ("enum_item", "trait_item"):
        return f"{definition.type.removesuffix('_item')} {name} {{}}"
    return written(definition)


def _derived(definition: Node) -> list[str]:
    """Return the names in the `#[derive]` attributes above a definition."""
    names: list[str] = []
    before = definition.prev_named_sibling
    while before is not None and (before.type == "attribute_item" or before.type in COMMENTS):
        found = _DERIVE.match(node_text(before))
        names = [*re.findall(r"\w+", found[1] if found else ""), *names]
        before = before.prev_named_sibling
    return names


def unindented(lines: Iterable[str]) -> list[str]:
    """Return the lines of an item or a body without the indentation of the last one, which closes it."""
    lines = list(lines)
    width = len(lines[-1]) - len(lines[-1].lstrip())
    return [line[width:] if not line[:width].strip() else line for line in lines]
