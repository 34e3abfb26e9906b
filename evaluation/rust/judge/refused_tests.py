"""What published tests may hold that would mean something else, or nothing, in another crate than the candidate's."""

import re

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS, TEXTS
from evaluation.rust.syntax.declarations import Declarations
from evaluation.rust.syntax.nodes import field, name_of, node_bytes, node_text, parent_of, walk

OF_LIBTEST = ("test", "should_panic", "ignore")
ATTRIBUTE_ITEMS = ("attribute_item", "inner_attribute_item")
TOKENS = ("token_tree", "token_tree_pattern")
ATTRIBUTES = {
    *OF_LIBTEST,
    "allow",
    "cfg",
    "clippy",
    "cold",
    "default",
    "deprecated",
    "derive",
    "doc",
    "expect",
    "inline",
    "macro_use",
    "must_use",
    "non_exhaustive",
    "repr",
    "rustfmt",
    "track_caller",
    "warn",
}
MACRO_ATTRIBUTES = ATTRIBUTES - {*OF_LIBTEST, "macro_use"}
# The process of hidden tests can compute and nothing else, and to end it is no success.
OUTSIDE = re.compile(
    rb"\bprocess\s*::\s*(?:\{[^;}]*\b)?(?:exit|abort|Command)\b"
    rb"|\bstd\s*::\s*(?:\{[^;]*\b)?(?:fs|net)\b"
    rb"|\bio\s*::\s*(?:\{[^;}]*\b)?stdin\b"
)


def refused(node: Node, why: str, instead: str) -> ValueError:
    """The error that names what is at a node."""
    text = " ".join(node_text(node).split())
    line = node.start_point.row + 1
    return ValueError(f"tests cannot be made hidden: `{text[:80]}` in line {line} {why}; {instead}")


def refuse_what_differs(root: Node, declarations: Declarations) -> None:
    """Raises `ValueError` for the first thing in a text of tests that would not mean the same as hidden tests."""
    nodes = list(walk(root))
    types = {name for kind, name in declarations.items if kind != "fn"}
    own = {name_of(node) for node in nodes if node.type in ("struct_item", "enum_item", "trait_item", "type_item")}
    for node in nodes:
        _look_at(node)
        if node.type == "impl_item":
            _look_at_implementation(node, types - own, own)
    found = OUTSIDE.search(words(root))
    if found:
        node = root.descendant_for_byte_range(*(root.start_byte + position for position in found.span()))
        raise refused(node or root, "is refused to the process of hidden tests", "write tests that compute")


def words(root: Node) -> bytes:
    """The text without what comments and texts in it say, each byte in its place."""
    text = bytearray(node_bytes(root))
    for node in walk(root, whole=lambda node: node.type in COMMENTS | TEXTS):
        if node.type in COMMENTS | TEXTS:
            start, end = node.start_byte - root.start_byte, node.end_byte - root.start_byte
            text[start:end] = b" " * (end - start)
    return bytes(text)


def attribute_name(node: Node) -> str:
    """The path of an attribute."""
    attribute = next(child for child in node.named_children if child.type == "attribute")
    return re.sub(r"\s", "", node_text(attribute.children[0]))


def names_the_crate(node: Node) -> bool:
    """Whether it is an `extern crate self as name` of the root."""
    has_alias = node.child_by_field_name("alias") is not None
    return field(node, "name").text == b"self" and has_alias and parent_of(node).type == "source_file"


def _look_at(node: Node) -> None:
    if node.is_error or node.is_missing:
        raise refused(node, "cannot be read", "write it in another way")
    if node.type in ATTRIBUTE_ITEMS:
        if attribute_name(node).partition("::")[0] not in ATTRIBUTES:
            raise refused(node, "is an attribute that no plain test has", "write the test without it")
    elif node.type in TOKENS and node.prev_sibling is not None and node.prev_sibling.type == "#":
        names = [node_text(token) for token in node.named_children if token.type == "identifier"]
        if names and names[0] not in MACRO_ATTRIBUTES:
            raise refused(node, "is an attribute that a macro writes", "write the tests out")
    elif node.type == "mod_item" and node.child_by_field_name("body") is None:
        raise refused(node, "is in another file", "put its text here")
    elif node.type == "macro_definition" and name_of(node) == "check":
        raise refused(node, "has the name of the judge's macro for cases", "give it another name")
    elif node.type == "extern_crate_declaration":
        of_std = field(node, "name").text in (b"std", b"core", b"alloc")
        if not of_std and not names_the_crate(node):
            raise refused(node, "needs another crate", "use the standard library alone")


def _look_at_implementation(node: Node, foreign: set[str], own: set[str]) -> None:
    """A crate can implement for the type of another one its own traits, and those with a type of its own, only."""
    kind, trait = field(node, "type"), node.child_by_field_name("trait")
    base = kind.child_by_field_name("type") or kind
    names = set() if trait is None else {node_text(part) for part in walk(trait) if part.type == "type_identifier"}
    if node_text(base).rpartition("::")[2].strip() in foreign and not names & own:
        raise refused(node, "is for a type of the candidate, in whose crate it must be", "write a function instead")
