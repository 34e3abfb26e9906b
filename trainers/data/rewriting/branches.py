"""Rewriting of branches: `match` and `if let`, early returns and `else`."""

import re

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS
from evaluation.rust.syntax.nodes import field, node_bytes, parent_of
from trainers.data.rewriting.bindings import text
from trainers.data.rewriting.nodes import (
    Rewrite,
    Source,
    function_of,
    is_function_body,
    is_function_tail,
    last_code,
    next_code,
    rewrite_nodes,
    statements_of,
)

# The scrutinee of `if let` lives until the end of the `else`, and may hold a lock or count as an owner.
HELD = {"RefCell", "Mutex", "RwLock", "borrow", "borrow_mut", "lock", "Rc", "Arc"}


def match_to_if_let(node: Node, source: Source) -> Rewrite | None:
    """Rewrite a `match` of two arms, one of which matches everything else, as `if let .. else`."""
    arms = [each for each in field(node, "body").named_children if each.type not in COMMENTS]
    if len(arms) != 2 or any(each.type != "match_arm" for each in arms):
        return None
    patterns = [field(each, "pattern") for each in arms]
    if any(each.child_by_field_name("condition") is not None for each in patterns):
        return None
    if any(arm.start_byte != pattern.start_byte for arm, pattern in zip(arms, patterns, strict=True)):
        return None  # an attribute
    first, second = map(text, patterns)
    rests = {"Some": "None", "Ok": "Err(_)", "Err": "Ok(_)"}
    rest_of = [rests.get(each.partition("(")[0]) for each in (first, second)]
    if second == "_" or (rest_of[0] is not None and second == rest_of[0]):
        chosen, other = arms
    elif rest_of[1] is not None and first == rest_of[1]:
        other, chosen = arms
    else:
        return None
    value, margin = field(node, "value"), source.margin(node)
    if first == "_" or value.type == "struct_expression":
        return None
    taken, left = (_as_block(field(each, "value"), margin) for each in (chosen, other))
    pattern = text(chosen.child_by_field_name("pattern"))
    if re.fullmatch(r"true|false", pattern):
        return None
    new = f"if let {pattern} = {text(value)} {taken} else {left}"
    return rewrite_nodes("match_to_if_let", node, node, new if _may_stand_bare(node) else f"({new})")


def if_let_to_match(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `if let p = e { a } else { b }` as `match e { p => a, _ => b }`."""
    condition, alternative = field(node, "condition"), node.child_by_field_name("alternative")
    if condition.type != "let_condition" or parent_of(node).type == "else_clause":
        return None
    pattern = field(condition, "pattern")
    if pattern.type == "identifier" and text(pattern)[0].islower():
        return None
    margin = source.margin(node)
    other = "{}" if alternative is None else _dedented_block(text(alternative.named_children[-1]))
    taken = text(node.child_by_field_name("consequence"))
    arms = "".join(
        f"{margin}    {arm},\n".replace("\n", "\n    ").removesuffix("    ")
        for arm in (f"{text(pattern)} => {taken}", f"_ => {other}")
    )
    new = f"match {text(condition.child_by_field_name('value'))} {{\n{arms}{margin}}}"
    return rewrite_nodes("if_let_to_match", node, node, new)


def return_to_else(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `if c { return a; } b` in the body of a function as `if c { a } else { b }`."""
    if node.child_by_field_name("alternative") is not None:
        return None
    statement = _statement_of(node)
    block, consequence = parent_of(statement), field(node, "consequence")
    if not is_function_body(block):
        return None
    if _holds(node, source.names):
        return None
    last, following, final = last_code(consequence), next_code(statement), last_code(block)
    if last is None or following is None or final is None:
        return None
    leaving = last.named_child(0) if last.type == "expression_statement" else last
    if leaving is None or leaving.type != "return_expression":
        return None
    if _has_items([each for each in statements_of(block) if each.start_byte >= following.start_byte]):
        return None
    value = leaving.named_child(0) if leaving.named_child_count else None
    returns = parent_of(block).child_by_field_name("return_type") is not None
    has_value = final.type not in ("let_declaration", "empty_statement") and not text(final).endswith(";")
    if returns != (value is not None) or (returns and not has_value):
        return None
    kept = node_bytes(consequence)[: last.start_byte - consequence.start_byte].decode().rstrip()
    margin = source.margin(statement)
    inner = f"{kept}\n{margin}    {text(value)}\n{margin}}}" if value is not None else f"{kept}\n{margin}}}"
    rest = node_bytes(block)[following.start_byte - block.start_byte : final.end_byte - block.start_byte].decode()
    rest = rest.replace("\n", "\n    ")
    condition = text(node.child_by_field_name("condition"))
    new = f"if {condition} {inner} else {{\n{margin}    {rest}\n{margin}}}"
    return rewrite_nodes("return_to_else", statement, final, new)


def else_to_return(node: Node, source: Source) -> Rewrite | None:
    """Rewrite `if c { a } else { b }` at the end of a function as `if c { return a; } b`."""
    alternative, consequence = node.child_by_field_name("alternative"), field(node, "consequence")
    statement = _statement_of(node)
    if alternative is None or text(statement).endswith(";") or not is_function_tail(statement):
        return None
    if _holds(node, source.names) or _has_items(statements_of(alternative.named_children[-1])):
        return None
    tail = last_code(consequence)
    if function_of(node).child_by_field_name("return_type") is None or tail is None:
        return None
    if tail.type in ("let_declaration", "empty_statement") or text(tail).endswith(";"):
        return None
    margin = source.margin(node)
    kept = node_bytes(consequence)[: tail.start_byte - consequence.start_byte].decode()
    other = alternative.named_children[-1]
    rest = _inside(text(other), margin) if other.type == "block" else text(other)
    condition = text(node.child_by_field_name("condition"))
    new = f"if {condition} {kept}return {text(tail)};\n{margin}}}\n{margin}{rest}"
    return rewrite_nodes("else_to_return", node, node, new)


def _statement_of(node: Node) -> Node:
    """Return the statement that consists of an expression, or the expression itself."""
    parent = parent_of(node)
    return parent if parent.type == "expression_statement" else node


def _holds(node: Node, names: set[str]) -> bool:
    """Return whether the condition of an `if` may hold a temporary value until the end of its branches."""
    return field(node, "condition").type in ("let_condition", "let_chain") and bool(names & HELD)


def _has_items(statements: list[Node]) -> bool:
    """Return whether there are items, which are visible in their whole block."""
    kinds = ("use_declaration", "macro_definition", "extern_crate_declaration")
    return any(
        each.type in kinds or (each.type.endswith("_item") and "attribute" not in each.type) for each in statements
    )


def _as_block(node: Node, margin: str) -> str:
    if node.type == "block":
        return _dedented_block(text(node))
    return f"{{\n{margin}    {text(node)}\n{margin}}}"


def _dedented_block(block: str) -> str:
    """Return a block with one level of indentation removed."""
    return block.replace("\n    ", "\n")


def _inside(block: str, margin: str) -> str:
    """Return the contents of a block with one level of indentation removed."""
    return block[1:-1].strip("\n").strip().replace("\n    ", "\n")


def _may_stand_bare(node: Node) -> bool:
    """Return whether an `if` expression needs no parentheses in this place."""
    return parent_of(node).type in (
        "block",
        "expression_statement",
        "let_declaration",
        "match_arm",
        "return_expression",
        "arguments",
        "assignment_expression",
        "field_initializer",
        "closure_expression",
        "tuple_expression",
        "else_clause",
    )
