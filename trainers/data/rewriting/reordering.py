"""Reordering: swaps adjacent independent statements, and adjacent items.

Two statements are independent if neither writes what the other reads or writes, and at most one of them may have a
side effect that is not visible in its source; if one may, the other must not panic. A statement writes the names that
it binds, assigns, borrows mutably or moves, and the receivers of methods that are not known to leave them unchanged.
Statements of code with interior mutability, or with observable drops, are not reordered.
"""

import random
import re
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS
from evaluation.rust.syntax.nodes import field, parent_of, walk
from trainers.data.rewriting.bindings import captured_names, parse, text
from trainers.data.rewriting.nodes import has_attribute, may_leave, own_methods
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
# Methods that advance an iterator or change an option if they are called on it directly.
DRAWING = set(
    "all any cloned cmp collect copied count enumerate eq filter filter_map find flat_map flatten fold last map max "
    "max_by max_by_key min min_by min_by_key nth partition position product replace rev rfind skip skip_while step_by "
    "sum take take_while zip".split()
)
# Methods that may call or advance their argument.
CALLING = set(
    "all any filter filter_map find flat_map fold map max_by max_by_key min_by min_by_key partition position rfind "
    "skip_while take_while zip".split()
)
# Methods that change only the receiver.
CHANGING = set(
    "as_mut clear dedup entry fill get_mut insert iter_mut or_default or_insert pop pop_back pop_front push push_back "
    "push_front push_str remove reverse sort sort_unstable swap truncate".split()
)
PANICKING = set("chunks clamp expect insert nth remove split_at step_by swap unwrap windows".split())
HIDDEN_STATE = re.compile(
    r"\b(?:Drop|unsafe|(?<!')static|thread_local|Rc|Arc|Weak|\w*Cell|\w*Lock|Mutex|Condvar|Atomic\w+|Instant|SystemTime|"
    r"stdin|stdout|stderr|mpsc|thread|File)\b"
)
PLACES = {"identifier", "self", "field_expression", "index_expression", "unary_expression"}
PURE_FUNCTIONS = {
    "Some",
    "Ok",
    "Err",
    "String::new",
    "String::from",
    "Vec::new",
    "Vec::with_capacity",
    "HashMap::new",
    "HashSet::new",
    "BTreeMap::new",
    "BTreeSet::new",
    "VecDeque::new",
    "Box::new",
    "String::with_capacity",
}
PURE_MACROS = {"vec", "format", "matches"}
MOVING = {"into_iter", "into_bytes", "into_boxed_slice", "into_inner", "unwrap", "expect"}
LEAVING = {"return_expression", "break_expression", "continue_expression", "try_expression", "await_expression"}
MOVABLE_ITEMS = {
    "function_item",
    "struct_item",
    "enum_item",
    "impl_item",
    "trait_item",
    "const_item",
    "static_item",
    "type_item",
    "use_declaration",
}


@dataclass(frozen=True)
class _Effects:
    reads: frozenset[str]
    writes: frozenset[str]
    unknown: bool
    """Whether it may have a side effect, such as printing."""
    panics: bool
    """Whether it may panic for another reason than overflow."""


def reorder(code: str, pick: random.Random) -> str | None:
    """
    Return the code with two adjacent statements or items swapped, or both, or None if nothing can be swapped.

    Raises:
        ValueError: The code does not parse.
    """
    root = parse(code)
    statements, items = [], []
    own, still = own_methods(root), HIDDEN_STATE.search(code) is None
    for node in walk(root):
        if node.type == "block" and still:
            inner = node.named_children
            statements += [(a, b) for a, b in zip(inner, inner[1:], strict=False) if _independent(a, b, own)]
        elif node.type in ("source_file", "declaration_list"):
            items += _item_pairs(node)
    edits: list[tuple[int, int, str]] = []
    # Items that contain a changed statement would have to be moved together with the change.
    if statements and (not items or pick.random() < 0.75):
        edits = _exchange(code, *(each.byte_range for each in pick.choice(statements)))
    elif items:
        edits = _exchange(code, *pick.choice(items))
    return apply_edits(code, edits) if edits else None


def _exchange(code: str, first: tuple[int, int], second: tuple[int, int]) -> list[tuple[int, int, str]]:
    encoded = code.encode()
    return [(*first, encoded[slice(*second)].decode()), (*second, encoded[slice(*first)].decode())]


def _item_pairs(parent: Node) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return pairs of adjacent items with their comments and attributes; macros are visible only after them."""
    if any(child.type in ("macro_definition", "macro_invocation") for child in parent.named_children):
        return []
    spans: list[tuple[int, int] | None] = []
    start = None
    for child in parent.named_children:
        if child.type in COMMENTS or child.type == "attribute_item":
            # A comment after an item on the same line belongs to that item, an inner doc comment to the file.
            before = child.prev_sibling
            trails = child.type in COMMENTS and before is not None and before.end_point[0] == child.start_point[0]
            inner = text(child).startswith(("//!", "/*!"))
            if trails or inner:
                spans.append(None)
            elif start is None:
                start = child.start_byte
            continue
        # The node of a doc comment includes the line break.
        span = (child.start_byte if start is None else start, child.end_byte)
        spans.append(span if child.type in MOVABLE_ITEMS else None)
        start = None
    return [(a, b) for a, b in zip(spans, spans[1:], strict=False) if a is not None and b is not None]


def _independent(first: Node, second: Node, own: set[str]) -> bool:
    if first.type not in STATEMENTS or second.type not in STATEMENTS or has_attribute(first):
        return False
    a, b = _effects(first, own), _effects(second, own)
    if a is None or b is None or (a.unknown and (b.unknown or b.panics)) or (b.unknown and a.panics):
        return False
    return a.writes.isdisjoint(b.reads | b.writes) and b.writes.isdisjoint(a.reads)


STATEMENTS = {"let_declaration", "expression_statement"}


def _effects(statement: Node, own: set[str]) -> _Effects | None:
    """
    Return what a statement reads and writes, or None if it may exit its block or cannot be analyzed.

    Args:
        statement: Statement of a block.
        own: Methods that the code declares, for which nothing is assumed.
    """
    if any(node.type in LEAVING or (node.type == "macro_invocation" and may_leave(node)) for node in walk(statement)):
        return None
    if statement.type == "expression_statement":
        kind = statement.named_children[0].type
        if kind not in ("assignment_expression", "compound_assignment_expr", "call_expression"):
            return None
    elif statement.child_by_field_name("value") is None or statement.child_by_field_name("alternative") is not None:
        return None
    names = {text(node) for node in walk(statement) if node.type == "identifier"}
    names |= {text(node) for node in walk(statement) if node.type == "self"}
    names |= {name for node in walk(statement) if node.type in STRINGS for name in captured_names(node)}
    writes, unknown, panics = set(), False, False
    for node in walk(statement):
        if node.type == "let_declaration":
            pattern = field(node, "pattern")
            writes |= {text(each) for each in walk(pattern) if each.type in BOUND}
            value = node.child_by_field_name("value")
            writes |= {text(value)} if value is not None and value.type == "identifier" else set()
        elif node.type in ("assignment_expression", "compound_assignment_expr"):
            writes |= _root_names(node.child_by_field_name("left"))
            panics |= text(node.child_by_field_name("operator")) in ("-=", "/=", "%=")
        elif node.type == "reference_expression" and any(child.type == "mutable_specifier" for child in node.children):
            writes |= _root_names(node.child_by_field_name("value"))
        elif node.type == "macro_invocation":
            if text(node.child_by_field_name("macro")) not in PURE_MACROS or _acts_among_tokens(node):
                unknown = True
                writes |= {text(each) for each in walk(node) if each.type in ("identifier", "self")}
        elif node.type == "index_expression":
            panics = True
        elif node.type == "binary_expression":
            panics |= text(node.child_by_field_name("operator")) in ("-", "/", "%")
        elif node.type == "call_expression":
            function = field(node, "function")
            if function.type == "generic_function":
                function = field(function, "function")
            # An argument may be moved.
            arguments = field(node, "arguments").named_children
            writes |= {text(each) for each in arguments if each.type == "identifier"}
            pure = text(function) in PURE_FUNCTIONS
            if function.type == "field_expression":
                receiver, method = field(function, "value"), text(function.child_by_field_name("field"))
                pure = method in PURE_METHODS and method not in own
                if not pure or (method in DRAWING and _is_place(receiver)):
                    writes |= _root_names(receiver)
                    unknown |= method in own or method not in MOVING | CHANGING
                    unknown |= method not in MOVING and not _root_names(receiver)
                unknown |= method in CALLING and any(each.type not in GIVEN for each in arguments)
                panics |= method in PANICKING
            else:
                unknown |= not pure
            if not pure:
                # A mutable reference is passed on.
                writes |= {name for each in arguments if each.type in PLACES for name in _root_names(each)}
            unknown |= any(each.type == "scoped_identifier" for each in arguments)
    return _Effects(frozenset(names), frozenset(writes), unknown, panics)


STRINGS = {"string_literal", "raw_string_literal"}
BOUND = {"identifier", "shorthand_field_identifier"}
# Arguments that contain only calls of known methods.
GIVEN = {"closure_expression", "integer_literal", "float_literal", "string_literal", "char_literal", "boolean_literal"}


def _is_place(node: Node) -> bool:
    while node.type == "parenthesized_expression":
        node = node.named_children[0]
    return node.type in PLACES


def _acts_among_tokens(macro: Node) -> bool:
    """Return whether the tokens of a macro may contain a call, an assignment or an index."""
    return any(node.type == "token_tree" and parent_of(node).type == "token_tree" for node in walk(macro))


def _root_names(node: Node | None) -> set[str]:
    """Return the variables at the start of a place expression or a chain of calls."""
    while node is not None and node.type not in ("identifier", "self"):
        inner = node.child_by_field_name("value") or node.child_by_field_name("function")
        if inner is None:
            inner = node.named_child(0) if node.type in ("index_expression", "unary_expression") else None
        if inner is None:
            return {text(each) for each in walk(node) if each.type in ("identifier", "self")}
        node = inner
    return {text(node)}
