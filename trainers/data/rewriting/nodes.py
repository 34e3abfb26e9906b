"""Queries on the syntax tree for the rewriting of forms."""

import re
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust.judge.refusals import STANDARD_MACROS
from evaluation.rust.syntax.analysis import COMMENTS
from evaluation.rust.syntax.nodes import parent_of, walk
from trainers.data.rewriting.bindings import text

LEAVING = {"return_expression", "try_expression", "await_expression", "yield_expression"}
LOOPS = {"for_expression", "while_expression", "loop_expression"}


@dataclass(frozen=True)
class Rewrite:
    """A rewritten place: the bytes from `start` to `end` become `new`."""

    form: str
    start: int
    end: int
    new: str


@dataclass(frozen=True)
class Source:
    """The source that contains the nodes, with its names and other tokens."""

    code: bytes
    names: set[str]

    def margin(self, node: Node) -> str:
        """Return the indentation of the line on which a node begins."""
        line = self.code[node.start_byte - node.start_point[1] : node.start_byte].decode()
        return line[: len(line) - len(line.lstrip())]


def rewrite_nodes(form: str, first: Node, last: Node, new: str) -> Rewrite:
    """Return a rewrite from the beginning of one node to the end of another."""
    return Rewrite(form, first.start_byte, last.end_byte, new)


def label_of(loop: Node) -> Node | None:
    """Return the label of a loop, `break` or `continue`."""
    return next((child for child in loop.children if child.type == "label"), None)


def may_exit(node: Node) -> bool:
    """Return whether a node may exit the function or a surrounding loop; closures and items in it do not count."""
    waiting = [(node, False)]
    while waiting:
        current, in_loop = waiting.pop()
        if current.type in LEAVING or (current.type == "macro_invocation" and may_leave(current)):
            return True
        if current.type in ("break_expression", "continue_expression") and (not in_loop or label_of(current)):
            return True
        if current.type in ("closure_expression", "function_item"):
            continue
        inside = in_loop or current.type in LOOPS
        waiting += [(child, inside) for child in current.named_children]
    return False


def may_leave(macro: Node) -> bool:
    """Return whether a macro may exit a function or a loop, by its tokens or because its expansion is unknown."""
    name = text(macro.child_by_field_name("macro")).rpartition("::")[2]
    leaving = re.search(r"\b(?:return|break|continue|await)\b|\?", text(macro))
    return name not in STANDARD_MACROS - {"try"} or leaving is not None


def has_attribute(node: Node) -> bool:
    """Return whether the statement has an attribute, such as `cfg`."""
    parent = parent_of(node)
    statement = parent if parent.type == "expression_statement" else node
    before = statement.prev_named_sibling
    return before is not None and before.type == "attribute_item"


def own_methods(root: Node) -> set[str]:
    """Return the names of the methods that the code declares."""
    methods = (parent_of(parent_of(node)) for node in walk(root) if node.type == "self_parameter")
    return {text(method.child_by_field_name("name")) for method in methods}


def statements_of(block: Node) -> list[Node]:
    """Return the contents of a block without comments."""
    return [each for each in block.named_children if each.type not in COMMENTS and each.type != "empty_statement"]


def last_code(block: Node) -> Node | None:
    """Return the last statement of a block, or its value."""
    inner = statements_of(block)
    return inner[-1] if inner else None


def next_code(node: Node) -> Node | None:
    """Return the next sibling of a node that is not a comment."""
    following = node.next_named_sibling
    while following is not None and following.type in COMMENTS:
        following = following.next_named_sibling
    return following


def is_function_body(block: Node) -> bool:
    """Return whether a block is the body of a function."""
    return block.type == "block" and parent_of(block).type == "function_item"


def is_function_tail(node: Node) -> bool:
    """Return whether a node is the value that a function returns."""
    parent = parent_of(node)
    return is_function_body(parent) and last_code(parent) == node


def function_of(node: Node) -> Node:
    """Return the function that contains a node."""
    while node.type != "function_item":
        node = parent_of(node)
    return node
