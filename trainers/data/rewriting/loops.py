"""Rewriting of loops as iterator chains, and of iterator chains as loops."""

import re

from tree_sitter import Node

from evaluation.rust.syntax.nodes import field, parent_of, walk
from trainers.data.rewriting.bindings import text
from trainers.data.rewriting.nodes import (
    LEAVING,
    Rewrite,
    Source,
    function_of,
    is_function_tail,
    label_of,
    last_code,
    may_exit,
    may_leave,
    next_code,
    rewrite_nodes,
    statements_of,
)
from trainers.data.rewriting.reordering import PURE_FUNCTIONS

# Expressions on which a method can be called without parentheses.
POSTFIX = {
    "identifier",
    "call_expression",
    "field_expression",
    "index_expression",
    "parenthesized_expression",
    "self",
    "macro_invocation",
    "scoped_identifier",
    "array_expression",
    "string_literal",
}
ENDINGS = {"any", "all", "count", "sum", "collect", "fold"}
INTEGER = re.compile(r"[iu](?:8|16|32|64|128|size)")


def for_to_for_each(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `for p in e { .. }` as `e.into_iter().for_each(|p| { .. })` if nothing in the body exits the loop."""
    body, value, pattern = (field(node, name) for name in ("body", "value", "pattern"))
    if label_of(node) is not None or may_exit(body) or not _is_statement(node) or _keeps_borrows(body):
        return None
    new = f"{_receiver(value)}.into_iter().for_each(|{text(pattern)}| {text(body)});"
    return rewrite_nodes("for_to_iterator", node, node, new)


def push_loop_to_extend(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `for p in e { v.push(x); }` as `v.extend(e.into_iter().map(|p| x))`."""
    body, value, pattern = (field(node, name) for name in ("body", "value", "pattern"))
    inner = _only(body)
    if label_of(node) is not None or inner is None or may_exit(body) or not _is_statement(node):
        return None
    condition = None
    if inner.type == "if_expression" and inner.child_by_field_name("alternative") is None:
        condition = field(inner, "condition")
        inner = _only(field(inner, "consequence"))
    pushed = _method_call(inner, "push") if inner is not None else None
    # `BinaryHeap::extend` may order equal elements differently.
    if pushed is None or pushed[0].type != "identifier" or "BinaryHeap" in source.names:
        return None
    target, (item,) = pushed
    rest = [pattern, value, item] + ([condition] if condition is not None else [])
    if any(text(each) == text(target) for part in rest for each in walk(part)):
        return None
    if condition is None:
        mapped = f"map(|{text(pattern)}| {text(item)})"
    else:
        mapped = f"filter_map(|{text(pattern)}| if {text(condition)} {{ Some({text(item)}) }} else {{ None }})"
    new = f"{text(target)}.extend({_receiver(value)}.into_iter().{mapped});"
    return rewrite_nodes("loop_to_chain", node, node, new)


def search_loop_to_chain(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `for p in e { if c { return true; } } false` at the end of a function as `e.into_iter().any(|p| c)`."""
    parent = parent_of(node)
    tail = next_code(parent) if parent.type == "expression_statement" else next_code(node)
    inner = _only(field(node, "body"))
    if tail is None or not is_function_tail(tail) or inner is None or inner.type != "if_expression":
        return None
    condition, consequence = field(inner, "condition"), inner.child_by_field_name("consequence")
    if inner.child_by_field_name("alternative") is not None or condition.type in ("let_condition", "let_chain"):
        return None
    returned = {"true": "false", "false": "true"}.get(text(tail))
    if returned is None or re.sub(r"\s|;", "", text(consequence)) != f"{{return{returned}}}" or may_exit(condition):
        return None
    pattern, value = text(node.child_by_field_name("pattern")), _receiver(field(node, "value"))
    test = f"any(|{pattern}| {text(condition)})" if returned == "true" else f"all(|{pattern}| !({text(condition)}))"
    return rewrite_nodes("loop_to_chain", node, tail, f"{value}.into_iter().{test}")


def chain_to_loop(node: Node, source: Source) -> Rewrite | None:
    """Rewrite a chain at the end of a function as a loop: `any`, `all`, `count`, `sum`, `fold`, `collect`."""
    call = field(node, "function")
    if call.type == "generic_function":
        call = field(call, "function")
    if call.type != "field_expression":
        return None
    method, chain = text(call.child_by_field_name("field")), field(call, "value")
    if method not in ENDINGS or not is_function_tail(node):
        return None
    function = function_of(node)
    returned = re.sub(r"\s", "", text(function.child_by_field_name("return_type")))
    arguments = field(node, "arguments").named_children
    if chain.type != "call_expression" or may_exit(node):
        return None
    margin = source.margin(node)
    iterated = text(chain)

    def loop(before: str, pattern: str, inside: str, after: str, over: str = iterated) -> Rewrite:
        new = f"{before}for {pattern} in {over} {{\n{margin}    {inside}\n{margin}}}\n{margin}{after}"
        return rewrite_nodes("chain_to_loop", node, node, new)

    if method in ("any", "all") and returned == "bool":
        closure = _closure(arguments, 1)
        if closure is None:
            return None
        (pattern,), body = closure
        test, result = (body, "true") if method == "any" else (f"!({body})", "false")
        other = "false" if result == "true" else "true"
        return loop("", pattern, f"if {test} {{\n{margin}        return {result};\n{margin}    }}", other)
    if method == "count" and returned == "usize":
        name = _fresh("count", source.names)
        return loop(f"let mut {name} = 0;\n{margin}", "_", f"{name} += 1;", name)
    # The sum of no floats is -0.0.
    if method == "sum" and INTEGER.fullmatch(returned):
        name, each = _fresh("total", source.names), _fresh("each", source.names)
        mapped = _mapped(chain)
        if mapped is not None:
            over, pattern, body = mapped
            return loop(f"let mut {name} = 0;\n{margin}", pattern, f"{name} += {body};", name, over)
        return loop(f"let mut {name} = 0;\n{margin}", each, f"{name} += {each};", name)
    if method == "collect" and returned.startswith("Vec<"):
        name, each = _fresh("collected", source.names), _fresh("each", source.names)
        mapped = _mapped(chain)
        if mapped is not None:
            over, pattern, body = mapped
            return loop(f"let mut {name} = Vec::new();\n{margin}", pattern, f"{name}.push({body});", name, over)
        return loop(f"let mut {name} = Vec::new();\n{margin}", each, f"{name}.push({each});", name)
    if method == "fold" and len(arguments) == 2:
        closure = _closure(arguments[1:], 2)
        if closure is None or not closure[0][0].isidentifier():
            return None
        (state, pattern), body = closure
        if re.search(rf"\b{state}\b", iterated) or not _may_go_first(arguments[0]):
            return None
        kind = f": {returned}" if INTEGER.fullmatch(returned) else ""
        before = f"let mut {state}{kind} = {text(arguments[0])};\n{margin}"
        return loop(before, pattern, f"{state} = {body};", state)
    return None


def for_each_to_for(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `e.for_each(|p| x);` as `for p in e { x; }`."""
    called = _method_call(node, "for_each")
    statement = parent_of(node)
    if called is None or statement.type != "expression_statement":
        return None
    closure = _closure(called[1], 1)
    if closure is None:
        return None
    (pattern,), body = closure
    block = body if body.startswith("{") else f"{{\n{source.margin(node)}    {body};\n{source.margin(node)}}}"
    return rewrite_nodes("iterator_to_for", statement, statement, f"for {pattern} in {text(called[0])} {block}")


def _keeps_borrows(body: Node) -> bool:
    """Return whether the body stores a borrow or moves a value in a way that a closure cannot."""
    for node in walk(body):
        if node.type == "assignment_expression":
            left, right = text(node.child_by_field_name("left")), field(node, "right")
            if re.search(r"&mut\b|\.(?:entry|as_mut|iter_mut|next|take)\(", text(right)):
                return True
            if right.type == "binary_expression" and text(right).startswith(f"{left} + ") and "&" in text(right):
                return True
    return False


def _is_statement(node: Node) -> bool:
    """Return whether the node is a statement whose value is not used."""
    parent = parent_of(node)
    return parent.type in ("expression_statement", "block") and not (
        parent.type == "block" and last_code(parent) == node and not _returns_nothing(parent)
    )


def _returns_nothing(block: Node) -> bool:
    parent = parent_of(block)
    return parent.type == "function_item" and parent.child_by_field_name("return_type") is None


def _receiver(node: Node) -> str:
    return text(node) if node.type in POSTFIX else f"({text(node)})"


def _only(block: Node) -> Node | None:
    """Return the only statement of a block, without its `;`."""
    inner = statements_of(block)
    if len(inner) != 1 or len(block.named_children) != 1:
        return None
    return inner[0].named_child(0) if inner[0].type == "expression_statement" else inner[0]


def _method_call(node: Node, name: str) -> tuple[Node, list[Node]] | None:
    """Return the receiver and the arguments of a call of this method."""
    if node.type != "call_expression":
        return None
    function = field(node, "function")
    if function.type != "field_expression" or text(function.child_by_field_name("field")) != name:
        return None
    return field(function, "value"), field(node, "arguments").named_children


def _closure(arguments: list[Node], count: int) -> tuple[list[str], str] | None:
    """Return the patterns and the body of the only argument if it is a closure without side effects."""
    if len(arguments) != 1 or arguments[0].type != "closure_expression":
        return None
    closure = arguments[0]
    parameters = field(closure, "parameters").named_children
    if len(parameters) != count or any(each.type == "parameter" for each in parameters):
        return None
    body = field(closure, "body")
    if any(node.type in LEAVING or (node.type == "macro_invocation" and may_leave(node)) for node in walk(body)):
        return None
    # A `move` closure changes copies of its captures.
    if closure.children[0].type != "closure_parameters" or closure.child_by_field_name("return_type") is not None:
        return None
    return [text(each) for each in parameters], text(body)


def _may_go_first(initial: Node) -> bool:
    """Return whether a value can be computed before the code that precedes it."""
    for node in walk(initial):
        if node.type == "call_expression" and text(node.child_by_field_name("function")) not in PURE_FUNCTIONS:
            return False
        if node.type in (*LEAVING, "index_expression") or (node.type == "macro_invocation" and text(node) != "vec![]"):
            return False
    return True


def _mapped(chain: Node) -> tuple[str, str, str] | None:
    """Return the receiver of `.map(|p| e)`, p, and e."""
    called = _method_call(chain, "map")
    if called is None:
        return None
    closure = _closure(called[1], 1)
    return None if closure is None else (text(called[0]), closure[0][0], closure[1])


def _fresh(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    return name
