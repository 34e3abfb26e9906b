"""Traversal of syntax trees without recursion: a tree can be as deep as its source is long."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from tree_sitter import Node

Nodes = dict[str, list[Node]]
"""Nodes of a tree by type."""
Found = Iterator[tuple[Node, str]]
"""Nodes that break a rule, each with the reason."""
Visit = Generator["Visit | None", Any, Any]
MACRO_PARTS = {"token_tree", "token_tree_pattern", "token_repetition", "token_repetition_pattern"}


@dataclass(frozen=True)
class Leaf:
    """A token of source that tree-sitter cannot parse, with the attributes of a leaf of a tree."""

    text: bytes
    type: str
    start_point: tuple[int, int]
    """Line, counted from 0, and column in bytes."""
    parent: None = None
    child_count: int = 0


AnyNode = Node | Leaf
FoundAnywhere = Iterator[tuple[AnyNode, str]]
"""Nodes or tokens that break a rule, each with the reason."""


def field(node: Node, name: str) -> Node:
    """Return the child in a field that the grammar requires."""
    child = node.child_by_field_name(name)
    assert child is not None, f"a {node.type} has a {name}"
    return child


def parent_of(node: Node) -> Node:
    """Return the parent of a node that is not the root."""
    assert node.parent is not None, "the root has no parent"
    return node.parent


def node_bytes(node: AnyNode) -> bytes:
    """Return the source of a node of a tree that was parsed from bytes."""
    text = node.text
    assert text is not None, "the tree was parsed from bytes"
    return text


def node_text(node: AnyNode) -> str:
    """Return the source of a node, decoded from UTF-8."""
    return node_bytes(node).decode()


def walk(
    node: Node,
    skipped: Callable[[Node], bool] = lambda node: False,
    whole: Callable[[Node], bool] = lambda node: False,
) -> Iterator[Node]:
    """
    Yield a node and its descendants in source order.

    Args:
        node: Where to start.
        skipped: Whether to leave out a node and its descendants.
        whole: Whether to leave out the descendants of a node, but not the node itself.
    """
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if not skipped(node):
            yield node
            if not whole(node):
                waiting += reversed(node.children)


def evaluate(visit: Visit) -> Any:
    """
    Run a recursive function that is written as a generator, without Python's call stack.

    Where the function would call itself it yields the inner generator, and receives that one's return value. Yielding
    None receives None.
    """
    waiting, result = [visit], None
    while waiting:
        try:
            inner = waiting[-1].send(result)
        except StopIteration as end:
            waiting.pop()
            result = end.value
        else:
            result = None
            if inner is not None:
                waiting.append(inner)
    return result


def in_macro(node: AnyNode) -> bool:
    """Whether a node is a token inside a macro's invocation or definition."""
    return node.parent is not None and node.parent.type in MACRO_PARTS


def name_of(node: Node) -> str:
    """Return the name of an item, or an empty string for a node without one."""
    name = node.child_by_field_name("name")
    return "" if name is None else node_text(name)
