"""Exchanges neighbours whose order means nothing: independent statements, and items.

Two statements are independent when neither writes what the other reads or writes, and at most one of them does
something that cannot be seen from its text. Written are the names that a statement binds, assigns, borrows mutably, or
calls a method of that is not known to leave its receiver alone.
"""

import random
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust.syntax import COMMENTS
from trainers.data.rewriting.bindings import captured_names, parse, text, walk
from trainers.data.rewriting.renaming import apply_edits

PURE_METHODS = set(
    "abs all any as_bytes as_ref as_str bytes ceil char_indices chars checked_add checked_div checked_mul "
    "checked_sub chunks clamp clone cloned cmp collect concat contains contains_key copied copysign count "
    "count_ones ends_with enumerate eq eq_ignore_ascii_case filter filter_map find first flat_map flatten floor "
    "fold get is_alphabetic is_alphanumeric is_ascii_digit is_digit is_empty is_lowercase is_none is_some "
    "is_uppercase is_whitespace iter join keys last leading_zeros len lines map max max_by max_by_key min min_by "
    "min_by_key nth parse partition position pow powf powi product rem_euclid repeat replace rev rfind round "
    "saturating_sub skip skip_while split split_at split_whitespace sqrt starts_with step_by strip_prefix "
    "strip_suffix sum take take_while to_ascii_lowercase to_ascii_uppercase to_digit to_lowercase to_owned "
    "to_string to_uppercase to_vec trim trim_end trim_matches trim_start trunc unwrap_or unwrap_or_default values "
    "windows wrapping_add wrapping_mul zip".split()
)
PURE_FUNCTIONS = {
    "Some", "Ok", "Err", "String::new", "String::from", "Vec::new", "Vec::with_capacity", "HashMap::new",
    "HashSet::new", "BTreeMap::new", "BTreeSet::new", "VecDeque::new", "Box::new", "String::with_capacity",
}  # fmt: skip
PURE_MACROS = {"vec", "format", "matches"}
MOVING = {"into_iter", "into_bytes", "into_boxed_slice", "into_inner", "unwrap", "expect"}
LEAVING = {"return_expression", "break_expression", "continue_expression", "try_expression", "await_expression"}
MOVABLE_ITEMS = {
    "function_item", "struct_item", "enum_item", "impl_item", "trait_item", "const_item", "static_item", "type_item",
    "use_declaration",
}  # fmt: skip


@dataclass(frozen=True)
class _Effects:
    reads: frozenset[str]
    writes: frozenset[str]
    unknown: bool
    """It may do something that its text does not show, such as printing."""


def reorder(code: str, pick: random.Random) -> str | None:
    """
    The code with two neighbouring statements exchanged, or two items, or both; None where nothing can be.

    Raises:
        ValueError: The code does not parse.
    """
    root = parse(code)
    statements, items = [], []
    for node in walk(root):
        if node.type == "block":
            inner = node.named_children
            statements += [(a, b) for a, b in zip(inner, inner[1:], strict=False) if _independent(a, b)]
        elif node.type in ("source_file", "declaration_list"):
            items += _item_pairs(node)
    edits: list[tuple[int, int, str]] = []
    # Items around a changed statement would have to be moved with the change in them.
    if statements and (not items or pick.random() < 0.75):
        edits = _exchange(code, *(each.byte_range for each in pick.choice(statements)))
    elif items:
        edits = _exchange(code, *pick.choice(items))
    return apply_edits(code, edits) if edits else None


def _exchange(code: str, first: tuple[int, int], second: tuple[int, int]) -> list[tuple[int, int, str]]:
    encoded = code.encode()
    return [(*first, encoded[slice(*second)].decode()), (*second, encoded[slice(*first)].decode())]


def _item_pairs(parent: Node) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Neighbouring items with the comments and attributes above them; macros are seen only by what follows them."""
    if any(child.type in ("macro_definition", "macro_invocation") for child in parent.named_children):
        return []
    spans: list[tuple[int, int] | None] = []
    start = None
    for child in parent.named_children:
        if child.type in COMMENTS or child.type == "attribute_item":
            # What ends its line behind an item belongs to that item, an inner comment to the whole.
            trails = child.prev_sibling is not None and child.prev_sibling.end_point[0] == child.start_point[0]
            inner = text(child).startswith(("//!", "/*!"))
            if trails or inner:
                spans.append(None)
            elif start is None:
                start = child.start_byte
            continue
        # A doc comment's node has the end of its line in it.
        span = (child.start_byte if start is None else start, child.end_byte)
        spans.append(span if child.type in MOVABLE_ITEMS else None)
        start = None
    return [(a, b) for a, b in zip(spans, spans[1:], strict=False) if a is not None and b is not None]


def _independent(first: Node, second: Node) -> bool:
    if first.type not in STATEMENTS or second.type not in STATEMENTS:
        return False
    a, b = _effects(first), _effects(second)
    if a is None or b is None or (a.unknown and b.unknown):
        return False
    return a.writes.isdisjoint(b.reads | b.writes) and b.writes.isdisjoint(a.reads)


STATEMENTS = {"let_declaration", "expression_statement"}


def _effects(statement: Node) -> _Effects | None:
    """What a statement reads and writes; None for one that may leave its block, or that is not understood."""
    if any(node.type in LEAVING for node in walk(statement)):
        return None
    if statement.type == "expression_statement":
        kind = statement.named_child(0).type
        if kind not in ("assignment_expression", "compound_assignment_expr", "call_expression"):
            return None
    elif statement.child_by_field_name("value") is None or statement.child_by_field_name("alternative") is not None:
        return None
    names = {text(node) for node in walk(statement) if node.type == "identifier"}
    names |= {text(node) for node in walk(statement) if node.type == "self"}
    names |= {name for node in walk(statement) if node.type == "string_literal" for name in captured_names(node)}
    writes, unknown = set(), False
    for node in walk(statement):
        if node.type == "let_declaration":
            pattern = node.child_by_field_name("pattern")
            writes |= {text(each) for each in walk(pattern) if each.type == "identifier"}
            value = node.child_by_field_name("value")
            writes |= {text(value)} if value is not None and value.type == "identifier" else set()
        elif node.type in ("assignment_expression", "compound_assignment_expr"):
            writes |= _root_names(node.child_by_field_name("left"))
        elif node.type == "reference_expression" and any(child.type == "mutable_specifier" for child in node.children):
            writes |= _root_names(node.child_by_field_name("value"))
        elif node.type == "macro_invocation":
            unknown |= text(node.child_by_field_name("macro")) not in PURE_MACROS or _calls_among_tokens(node)
        elif node.type == "call_expression":
            function = node.child_by_field_name("function")
            if function.type == "generic_function":
                function = function.child_by_field_name("function")
            # What is handed over may be moved.
            arguments = node.child_by_field_name("arguments").named_children
            writes |= {text(each) for each in arguments if each.type == "identifier"}
            if function.type == "field_expression":
                method = text(function.child_by_field_name("field"))
                if method not in PURE_METHODS:
                    writes |= _root_names(function.child_by_field_name("value"))
                    unknown |= method not in MOVING and not _root_names(function.child_by_field_name("value"))
            else:
                unknown |= text(function) not in PURE_FUNCTIONS
    return _Effects(frozenset(names), frozenset(writes), unknown)


def _calls_among_tokens(macro: Node) -> bool:
    """Whether something may be called among the tokens of a macro."""
    trees = [node for node in walk(macro) if node.type == "token_tree" and node.parent.type == "token_tree"]
    return any(text(tree).startswith("(") for tree in trees)


def _root_names(node: Node) -> set[str]:
    """The variables that a place or a chain of calls starts from."""
    while node is not None and node.type not in ("identifier", "self"):
        inner = node.child_by_field_name("value") or node.child_by_field_name("function")
        if inner is None:
            inner = node.named_child(0) if node.type in ("index_expression", "unary_expression") else None
        if inner is None:
            return {text(each) for each in walk(node) if each.type in ("identifier", "self")}
        node = inner
    return {text(node)}
