"""Refusals of function bodies that do nothing with their arguments."""

from tree_sitter import Node

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.refused_results import result_is_constant
from evaluation.rust.syntax.analysis import COMMENTS, PLACEHOLDER_MACROS, TEXTS, is_placeholder
from evaluation.rust.syntax.nodes import (
    Found,
    Nodes,
    Visit,
    evaluate,
    field,
    name_of,
    node_bytes,
    node_text,
    parent_of,
    walk,
)

LEAVING = {"return", "break", "?"}
BRANCHES = {
    "if",
    "match",
    "while",
    "for",
    "?",
    "&&",
    "||",
    "|",
    "return",
    "break",
    "else",
    "async",
    "macro_invocation",
}
EFFECTS = {
    "call_expression",
    "macro_invocation",
    "assignment_expression",
    "compound_assignment_expr",
    "return_expression",
    "break_expression",
    "continue_expression",
    "if_expression",
    "match_expression",
    "loop_expression",
    "while_expression",
    "for_expression",
    "block",
    "try_expression",
    "await_expression",
}
IDLE_CALLS = {b"drop", b"forget", b"black_box"}


def bodies(root: Node, nodes: Nodes, tests: HiddenTests | None) -> Found:
    """
    Find demanded functions that do nothing, never return, or never use their parameters; without cases, which would
    notice, also those whose result does not depend on them.
    """
    if tests is None:
        if all(is_placeholder(function) or _only_ends(function) for function in nodes["function_item"]):
            yield root, "has no function that does anything"
        return
    demanded = {name for kind, name in tests.declarations.items if kind == "fn"}
    for function in root.named_children:
        # Code that tree-sitter cannot parse is checked by its tokens: `unparsed.idle_functions`.
        if function.type != "function_item" or name_of(function) not in demanded or function.has_error:
            continue
        if is_placeholder(function) or _only_ends(function):
            yield function, f"`fn {name_of(function)}` does nothing"
        elif not nodes["macro_definition"] and _never_returns(function):
            yield function, f"`fn {name_of(function)}` never returns"
        elif _ignores_parameters(function):
            yield function, f"`fn {name_of(function)}` never uses its parameters"
        elif tests.blank and result_is_constant(function):
            yield function, f"`fn {name_of(function)}` returns the same whatever its parameters are"


def _only_ends(function: Node) -> bool:
    """Whether the body is only a call of the function itself, an endless empty loop, or a default value."""
    statements = [child for child in field(function, "body").named_children if child.type not in COMMENTS]
    if len(statements) != 1:
        return False
    inner = statements[0].named_children[0] if statements[0].type == "expression_statement" else statements[0]
    if inner.type == "return_expression" and inner.named_child_count:
        inner = inner.named_children[0]
    if inner.type in ("loop_expression", "while_expression"):
        return not field(inner, "body").named_child_count
    if inner.type != "call_expression":
        return False
    called = node_text(field(inner, "function")).rpartition("::")[2].strip()
    return called in (name_of(function), "default", "exit", "abort")


def _never_returns(function: Node) -> bool:
    """Whether a function always calls itself, or every path through its body ends in a panic or an endless loop."""
    body = field(function, "body")
    if any(node.type == "function_item" and name_of(node) == name_of(function) for node in walk(body)):
        return False
    inside = list(walk(body, _is_item))
    kinds = {node.type for node in inside}
    calls = {field(node, "function").text for node in inside if node.type == "call_expression"}
    if name_of(function).encode() in calls and not kinds & BRANCHES:
        return True
    return not kinds & {"return", "?"} and evaluate(_diverges(body))


def _diverges(node: Node | None) -> Visit:
    """Return whether every path through a node ends in a panic or an endless loop."""
    if node is None:
        return False
    children = [child for child in node.named_children if child.type not in COMMENTS]
    if children and children[0].type == "label" and node.type == "block":
        return False
    ways: list[Node | None] = []
    if node.type in ("block", "expression_statement", "else_clause"):
        ways = [*children[-1:]]
    elif node.type == "if_expression":
        ways = [node.child_by_field_name(name) for name in ("consequence", "alternative")]
    elif node.type == "match_expression":
        arms = [child for child in field(node, "body").named_children if child.type == "match_arm"]
        ways = [arm.child_by_field_name("value") for arm in arms]
    elif node.type == "loop_expression":
        return not any(below.type in LEAVING for below in walk(node))
    elif node.type == "macro_invocation":
        return node_text(field(node, "macro")).rpartition("::")[2].strip() in PLACEHOLDER_MACROS
    for way in ways:
        if not (yield _diverges(way)):
            return False
    return bool(ways)


def _is_item(node: Node) -> bool:
    """Whether a node is an item inside a function, which cannot use its parameters."""
    return node.type.endswith("_item") and node.type not in ("attribute_item", "inner_attribute_item")


def _ignores_parameters(function: Node) -> bool:
    """Whether the body uses none of the parameters. Statements without an effect do not count as a use."""
    parameters = field(function, "parameters")
    patterns = [field(node, "pattern") for node in parameters.named_children if node.type == "parameter"]
    names = {
        node_bytes(node)
        for pattern in patterns
        for node in walk(pattern)
        if node.type in ("identifier", "shorthand_field_identifier")
    }
    if not names:
        return bool(patterns)
    formats = [b"{" + name for name in names]
    for node in walk(field(function, "body"), _is_no_use):
        text = node_bytes(node)
        if text in names or (node.type in TEXTS and any(name in text for name in formats)):
            return False
    return True


def _is_no_use(node: Node) -> bool:
    if node.type == "let_declaration":
        value = node.child_by_field_name("value")
        if value is None or _has_effect(value) or node.child_by_field_name("alternative") is not None:
            return False
        pattern = walk(field(node, "pattern"))
        bound = [node_bytes(below) for below in pattern if below.type in ("identifier", "shorthand_field_identifier")]
        return all(name.startswith(b"_") and node_bytes(parent_of(node)).count(name) == 1 for name in bound)
    if node.type != "expression_statement":
        return _is_item(node)
    inner = node.named_children[0]
    if inner.type == "assignment_expression":
        return field(inner, "left").text == b"_" and not _has_effect(field(inner, "right"))
    if inner.type == "call_expression" and node.next_named_sibling is not None:
        called = node_bytes(field(inner, "function")).rpartition(b"::")[2].strip()
        return called in IDLE_CALLS and not _has_effect(field(inner, "arguments"))
    return not _has_effect(inner)


def _has_effect(node: Node) -> bool:
    return any(below.type in EFFECTS for below in walk(node))
