"""What is refused of borrows: expressions that change what is being looked at, unseen by the borrow checker.

The numbers are open reports of rust-lang/rust.
"""

from tree_sitter import Node

from evaluation.rust.generics import plain
from evaluation.rust.nodes import Found, Nodes, walk

LOOPS = {"loop_expression", "while_expression", "for_expression"}
BODIES = {"closure_expression", "async_block", "function_item"}
JUMPS = {"return_expression", "break_expression", "continue_expression", "loop_expression"}
DIVERGING_MACROS = {b"panic", b"unreachable", b"todo", b"unimplemented"}
LEAVING_WORDS = {b"break", b"continue"}
DISTURBING_WORDS = {b"=", b"return", b"loop", *LEAVING_WORDS, *DIVERGING_MACROS}
UNSOUND = "what the borrow checker concludes from that is not sound"


def jumping_arguments(nodes: Nodes) -> Found:
    """A method's argument that jumps out of the call, whose borrow is then forgotten (#160598)."""
    macros = _macros_with(LEAVING_WORDS, nodes)
    for node in nodes["call_expression"]:
        function = node.child_by_field_name("function")
        if function.type == "generic_function":
            function = function.child_by_field_name("function")
        if function.type != "field_expression":
            continue
        for below in walk(node.child_by_field_name("arguments"), lambda n: n.type in BODIES):
            if _called_macro(below) in macros or _jumps_out(below, node):
                yield below, f"jumps out of a method's arguments: {UNSOUND}"
                break


def _jumps_out(jump: Node, call: Node) -> bool:
    if jump.type not in ("break_expression", "continue_expression"):
        return False
    if any(child.type == "label" for child in jump.named_children):
        return True
    while jump != call and jump.type not in LOOPS:
        jump = jump.parent
    return jump == call


def guards(nodes: Nodes) -> Found:
    """Match guards that assign or do not come back: what is matched on may have changed (#160599, #161578)."""
    macros = DIVERGING_MACROS | _macros_with(DISTURBING_WORDS, nodes)
    for node in nodes["match_pattern"]:
        condition = node.child_by_field_name("condition")
        if condition is not None and any(_disturbs(below, macros, nodes) for below in walk(condition)):
            yield condition, f"has a match guard that assigns or does not come back: {UNSOUND}"


def indices(nodes: Nodes) -> Found:
    """Indices that assign, bind or do not come back: what is indexed may have changed (#160525, #161852)."""
    macros = DIVERGING_MACROS | _macros_with(DISTURBING_WORDS, nodes)
    for node in nodes["index_expression"]:
        index = node.named_children[-1]
        bound = (below.type in ("let_declaration", "slice_pattern") for below in walk(index))
        if any(bound) or any(_disturbs(below, macros, nodes) for below in walk(index)):
            yield index, f"has an index that assigns, binds or does not come back: {UNSOUND}"


def _disturbs(node: Node, macros: set[bytes], nodes: Nodes) -> bool:
    """Whether it assigns, or may never come to its end. Any call may, where something has the type `!`."""
    if node.type in ("assignment_expression", "compound_assignment_expr"):
        # The grammar takes `..=end` for an assignment.
        return node.child_by_field_name("left").text != b".."
    if node.type == "match_expression":
        return not node.child_by_field_name("body").named_child_count
    if node.type == "call_expression":
        return bool(nodes["never_type"])
    return node.type in JUMPS or _called_macro(node) in macros


def _macros_with(words: set[bytes], nodes: Nodes) -> set[bytes]:
    """The code's own macros and their variables, if one has or is given one of these words, or may not come back."""
    own = {plain(macro.child_by_field_name("name")) for macro in nodes["macro_definition"]}
    if not own:
        return set()
    made = [*nodes["macro_definition"], *(node for node in nodes["macro_invocation"] if _called_macro(node) in own)]
    tokens = (node.text for macro in made for node in walk(macro) if not node.child_count)
    if not nodes["never_type"] and words.isdisjoint(tokens):
        return set()
    bindings = [binding.child_by_field_name("name") for binding in nodes["token_binding_pattern"]]
    return own | {binding.text.removeprefix(b"$") for binding in bindings}


def _called_macro(node: Node) -> bytes | None:
    if node.type != "macro_invocation":
        return None
    return plain(node.child_by_field_name("macro")).rpartition(b"::")[2]
