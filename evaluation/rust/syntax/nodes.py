"""Looking at syntax trees, which can be as deep as the text is long: nothing here uses Python's stack for depth."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

from tree_sitter import Node

Nodes = dict[str, list[Node]]
Found = Iterator[tuple[Node, str]]
Visit = Generator["Visit | None", Any, Any]
MACRO_PARTS = {"token_tree", "token_tree_pattern", "token_repetition", "token_repetition_pattern"}


def walk(
    node: Node,
    skipped: Callable[[Node], bool] = lambda node: False,
    whole: Callable[[Node], bool] = lambda node: False,
) -> Iterator[Node]:
    """The node and all below it, in the order of the text; nothing of what is skipped, and nothing below a whole."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if not skipped(node):
            yield node
            if not whole(node):
                waiting += reversed(node.children)


def evaluate(visit: Visit) -> Any:
    """
    What a recursive visit returns that is written as generators: where it would call itself it yields the inner visit,
    and is sent what that one returns. A visit of None is over at once.
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


def in_macro(node: Node) -> bool:
    """Whether it is a token of a macro's call or definition."""
    return node.parent is not None and node.parent.type in MACRO_PARTS


def name_of(node: Node) -> str:
    """Of an item; empty for what has none."""
    name = node.child_by_field_name("name")
    return "" if name is None else name.text.decode()
