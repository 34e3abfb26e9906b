"""Looking at syntax trees."""

from collections.abc import Callable, Iterator

from tree_sitter import Node

Nodes = dict[str, list[Node]]
Found = Iterator[tuple[Node, str]]
MACRO_PARTS = {"token_tree", "token_tree_pattern", "token_repetition", "token_repetition_pattern"}


def walk(node: Node, skipped: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """The node and all below it, in the order of the text; nothing of what is skipped. Trees can be very deep."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if not skipped(node):
            yield node
            waiting += reversed(node.children)


def in_macro(node: Node) -> bool:
    """Whether it is a token of a macro's call or definition."""
    return node.parent is not None and node.parent.type in MACRO_PARTS


def name_of(node: Node) -> str:
    """Of an item; empty for what has none."""
    name = node.child_by_field_name("name")
    return "" if name is None else name.text.decode()
