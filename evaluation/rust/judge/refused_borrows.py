"""
Refusals of expressions that change a borrowed value without an error of the borrow checker.

The numbers are open issues of rust-lang/rust.
"""

from tree_sitter import Node

from evaluation.rust.syntax.generics import called_macro, plain
from evaluation.rust.syntax.nodes import Found, Nodes, field, node_bytes, parent_of, walk

LOOPS = {"loop_expression", "while_expression", "for_expression"}
BODIES = {"closure_expression", "async_block", "function_item"}
JUMPS = {"return_expression", "break_expression", "continue_expression", "loop_expression"}
DIVERGING_MACROS = {b"panic", b"unreachable", b"todo", b"unimplemented"}
LEAVING_WORDS = {b"break", b"continue"}
DISTURBING_WORDS = {b"=", b"return", b"loop", *LEAVING_WORDS, *DIVERGING_MACROS}
UNSOUND = "what the borrow checker concludes from that is not sound"


def jumping_arguments(nodes: Nodes) -> Found:
    """Find arguments of a method that jump out of the call, whose borrow is then forgotten (#160598)."""
    macros = _macros_with(LEAVING_WORDS, nodes)
    for node in nodes["call_expression"]:
        function = field(node, "function")
        if function.type == "generic_function":
            function = field(function, "function")
        if function.type != "field_expression":
            continue
        for below in walk(field(node, "arguments"), lambda n: n.type in BODIES):
            if _may_hold(below, LEAVING_WORDS, macros) or _jumps_out(below, node):
                yield below, f"jumps out of a method's arguments: {UNSOUND}"
                break


def _jumps_out(jump: Node, call: Node) -> bool:
    if jump.type not in ("break_expression", "continue_expression"):
        return False
    if any(child.type == "label" for child in jump.named_children):
        return True
    while jump != call and jump.type not in LOOPS:
        jump = parent_of(jump)
    return jump == call


def guards(nodes: Nodes) -> Found:
    """Find match guards that assign or do not return: the matched value may have changed (#160599, #161578)."""
    macros = DIVERGING_MACROS | _macros_with(DISTURBING_WORDS, nodes)
    for node in nodes["match_pattern"]:
        condition = node.child_by_field_name("condition")
        if condition is not None and any(_disturbs(below, macros, nodes) for below in walk(condition)):
            yield condition, f"has a match guard that assigns or does not return: {UNSOUND}"


def indices(nodes: Nodes) -> Found:
    """Find indices that assign, bind or do not return: the indexed value may have changed (#160525, #161852)."""
    macros = DIVERGING_MACROS | _macros_with(DISTURBING_WORDS, nodes)
    for node in nodes["index_expression"]:
        index = node.named_children[-1]
        bound = (below.type in ("let_declaration", "slice_pattern") for below in walk(index))
        if any(bound) or any(_disturbs(below, macros, nodes) for below in walk(index)):
            yield index, f"has an index that assigns, binds or does not return: {UNSOUND}"


def _disturbs(node: Node, macros: set[bytes], nodes: Nodes) -> bool:
    """Whether a node assigns or may not return. Any call may not return if the code has the type `!`."""
    if node.type in ("assignment_expression", "compound_assignment_expr"):
        # The grammar parses `..=end` as an assignment.
        return field(node, "left").text != b".."
    if node.type == "match_expression":
        return not field(node, "body").named_child_count
    if node.type == "call_expression":
        return bool(nodes["never_type"])
    return node.type in JUMPS or _may_hold(node, DISTURBING_WORDS, macros)


def _may_hold(node: Node, words: set[bytes], macros: set[bytes]) -> bool:
    """Whether a node invokes one of these macros, or any macro with one of these words."""
    return (name := called_macro(node)) is not None and (name in macros or not words.isdisjoint(_tokens(node)))


def _macros_with(words: set[bytes], nodes: Nodes) -> set[bytes]:
    """Return the code's own macros that contain or receive one of these words, their variables, and renames."""
    tokens: dict[bytes, set[bytes]] = {}
    for macro in nodes["macro_definition"]:
        tokens.setdefault(plain(macro.child_by_field_name("name")), set()).update(_tokens(macro))
    for node in nodes["macro_invocation"]:
        if (name := called_macro(node)) in tokens:
            tokens[name].update(_tokens(node))
    if nodes["never_type"]:
        found = set(tokens)
    else:
        found = {name for name, within in tokens.items() if within & words}
        while more := {name for name, within in tokens.items() if within & found} - found:
            found |= more
    found |= {plain(node.child_by_field_name("alias")) for node in nodes["use_as_clause"]}
    within = (word for name in found & set(tokens) for word in tokens[name])
    return found | {word.removeprefix(b"$") for word in within if word.startswith(b"$")}


def _tokens(macro: Node) -> set[bytes]:
    return {node_bytes(node) for node in walk(macro) if not node.child_count or node.type == "metavariable"}
