"""
Refusal of functions that return the same whatever their parameters are, although the body mentions them.

If only a signature is demanded, that is the easiest way to compile: `if values.is_empty() { None } else { None }`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS, PLACEHOLDER_MACROS, TEXTS
from evaluation.rust.syntax.nodes import field, node_bytes, node_text, parent_of, walk

NAMES = ("identifier", "shorthand_field_identifier")
PATTERNS = {
    "parameter": "pattern",
    "variadic_parameter": "pattern",
    "let_declaration": "pattern",
    "let_condition": "pattern",
    "for_expression": "pattern",
    "match_arm": "pattern",
    "closure_expression": "parameters",
}
"""Nodes that bind names, with the field that has them."""
APART = ("closure_expression", "async_block")
"""Nodes whose `return` and `?` do not leave the function."""
SHARED_STATE = (b"&mut", b"Cell", b"Mutex", b"RwLock", b"Atomic", b"Sender")
"""Parts of the types of parameters through which a function can act instead of returning something."""
ACTIONS = {
    "call_expression",
    "assignment_expression",
    "compound_assignment_expr",
    "macro_invocation",
    "await_expression",
}
STATEMENTS = {"expression_statement", "let_declaration", "block", "match_arm"}
"""Parents of an action that is more than a condition."""
LONGEST_CHAIN = 16
"""Number of constants of which each is made of the one before, up to which they are followed."""
PRINTING = {"print", "println", "eprint", "eprintln", "dbg"}


def result_is_constant(function: Node) -> bool:
    """
    Whether all results of a function are the same expression, which has neither a parameter nor a name whose value may
    depend on one. False for functions without parameters, where `?` or a macro such as `assert!` may leave the
    function, and where it acts on a parameter or, without a result, on anything.
    """
    parameters, returned = field(function, "parameters"), function.child_by_field_name("return_type")
    if not parameters.named_child_count:
        return False
    has_result = returned is not None and returned.type != "unit_type"
    inside = list(walk(field(function, "body"), lambda node: node.type in APART or node.type.endswith("_item")))
    if any(node.type == "try_expression" or _is_assertion(node) for node in inside):
        return False
    results = list(_results([field(function, "body"), *(node for node in inside if node.type == "return_expression")]))
    if not has_result or any(part in node_bytes(parameters) for part in SHARED_STATE):
        values = {node.id for node in results if node is not None} if has_result else set()
        actions = (
            node
            for node in inside
            if node.type in ACTIONS and parent_of(node).type in STATEMENTS and not _assigns_itself(node)
        )
        if any(node.id not in values for node in actions):
            return False
    if not has_result:
        return True
    found = [result for result in results if result is not None]
    if len(found) < len(results) or len({_tokens(result) for result in found}) != 1:
        return False
    varying = _varying(function, found)
    formats = [b"{" + name for name in varying]
    return not any(
        node_bytes(node) in varying or (node.type in TEXTS and any(name in node_bytes(node) for name in formats))
        for node in walk(found[0])
    )


def _is_assertion(node: Node) -> bool:
    """Whether a node is a macro as a statement that neither prints nor always panics."""
    if node.type != "macro_invocation" or parent_of(node).type != "expression_statement":
        return False
    return node_text(field(node, "macro")).rpartition("::")[2].strip() not in PRINTING | PLACEHOLDER_MACROS


def _assigns_itself(node: Node) -> bool:
    """Whether a node is an assignment such as `total = total`, which changes nothing, without calls that might."""
    if node.type != "assignment_expression":
        return False
    left = _tokens(field(node, "left"))
    return left == _tokens(field(node, "right")) and b"(" not in left


def _assigns_again(node: Node, values: Mapping[bytes, Node]) -> bool:
    """Whether a node gives a name the value that it began with, as the second statement of `let x = 3; x = 3;`."""
    if node.type != "assignment_expression":
        return False
    first = values.get(node_bytes(field(node, "left")))
    return first is not None and _tokens(first) == _tokens(field(node, "right"))


def _results(waiting: list[Node]) -> Iterator[Node | None]:
    """Yield the expressions that a body or a `return` evaluates to; None for one that is not followed."""
    while waiting:
        node = waiting.pop()
        children = [child for child in node.named_children if child.type not in COMMENTS]
        if node.type == "block":
            if node.children[0].type == "label":
                yield None
            # A block that ends with a statement has no value, or has left the function.
            elif children and not (
                children[-1].type == "expression_statement" and node_bytes(children[-1])[-1:] == b";"
            ):
                waiting.append(children[-1])
        elif node.type in ("expression_statement", "else_clause", "parenthesized_expression", "return_expression"):
            waiting += children
        elif node.type == "if_expression":
            alternative = node.child_by_field_name("alternative")
            if alternative is not None:
                waiting += [field(node, "consequence"), alternative]
        elif node.type == "match_expression":
            for arm in field(node, "body").named_children:
                if arm.type == "match_arm":
                    waiting.append(field(arm, "value"))
                    # The arms below are never reached.
                    if _takes_all(field(arm, "pattern")):
                        break
        elif node.type in ("loop_expression", "unsafe_block", "const_block", "async_block"):
            yield None
        elif node.type == "macro_invocation":
            if node_text(field(node, "macro")).rpartition("::")[2].strip() not in PLACEHOLDER_MACROS:
                yield node
        elif not node.type.endswith(("_item", "_declaration", "_statement")):
            if node.type not in ("while_expression", "for_expression"):
                yield node


def _takes_all(pattern: Node) -> bool:
    """Whether the pattern of an arm is `_` or a name, which begins with a small letter, without a condition."""
    text = node_bytes(pattern)
    return text == b"_" or (
        text[:1].islower() and text.replace(b"_", b"a").isalnum() and text not in (b"true", b"false")
    )


def _tokens(node: Node) -> tuple[bytes, ...]:
    """The leaves of an expression, without comments."""
    return tuple(node_bytes(leaf) for leaf in walk(node, lambda below: below.type in COMMENTS) if not leaf.child_count)


def _varying(function: Node, results: list[Node]) -> set[bytes]:
    """
    Names whose value may depend on a parameter: all that are bound, except by `let name = value;` with a value without
    such a name, if only the results, other constants and assignments that repeat its value mention it.
    """
    bound, plain, patterns = Counter[bytes](), dict[bytes, Node](), set[int]()
    for node in walk(function):
        pattern = node.child_by_field_name(PATTERNS[node.type]) if node.type in PATTERNS else None
        if pattern is None:
            continue
        # Names of variants and constants, which a pattern compares with, begin with a capital letter.
        names = [node_bytes(name) for name in walk(pattern) if name.type in NAMES]
        bound.update(name for name in names if not name[:1].isupper())
        value = node.child_by_field_name("value")
        if node.type == "let_declaration" and pattern.type == "identifier" and value is not None:
            plain[names[0]] = value
            patterns.add(pattern.id)
    constant = {name: value for name, value in plain.items() if bound[name] == 1}
    repeated = [node for node in walk(function) if _assigns_itself(node) or _assigns_again(node, constant)]
    for _ in range(LONGEST_CHAIN):
        inert = patterns | {node.id for part in (*results, *repeated, *constant.values()) for node in walk(part)}
        used = {node_bytes(node) for node in walk(function) if node.type in NAMES and node.id not in inert}
        varying = set(bound) - set(constant)
        kept = {
            name: value
            for name, value in constant.items()
            if name not in used and not any(node_bytes(node) in varying for node in walk(value))
        }
        if kept == constant:
            return varying
        constant = kept
    return set(bound)
