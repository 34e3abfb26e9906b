"""
Single edits that may break a program: each removes, replaces or adds one thing on the syntax tree.

Whether an edit breaks the program, and with which error, is for the compiler to say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import field, node_bytes, node_text, walk

CONVERSIONS = {"clone", "to_owned", "to_string", "to_vec", "into", "as_ref", "as_mut", "borrow", "iter", "take"}
OTHER_FRAGMENT = {"expr": "ident", "ident": "literal", "ty": "ident", "tt": "literal", "pat": "ident", "stmt": "ident"}


@dataclass(frozen=True)
class ProgramEdit:
    """
    A replacement in a program.

    Attributes:
        operator: Its kind in words, such as "remove a borrow".
        start, end: Offsets in bytes of the text that is replaced.
        text: The new text.
    """

    operator: str
    start: int
    end: int
    text: str = ""

    def applied(self, program: str) -> str:
        """Return the program after the edit."""
        code = program.encode()
        return (code[: self.start] + self.text.encode() + code[self.end :]).decode()


def edits_of(program: str) -> list[ProgramEdit]:
    """Return all edits of a program, in source order, without those that make an equal text."""
    found: dict[str, ProgramEdit] = {}
    for node in walk(Parser(RUST).parse(program.encode()).root_node):
        for edit in EDITS.get(node.type, _nothing)(node):
            found.setdefault(edit.applied(program), edit)
    found.pop(program, None)
    return sorted(found.values(), key=lambda edit: (edit.start, edit.end, edit.text))


Edits = Iterator[ProgramEdit]


def _nothing(node: Node) -> Edits:
    yield from ()


def _without(operator: str, node: Node) -> ProgramEdit:
    """Return the removal of a node with the whitespace behind it."""
    after = node.next_sibling
    end = after.start_byte if after is not None and after.start_point[0] == node.end_point[0] else node.end_byte
    return ProgramEdit(operator, node.start_byte, end)


def _from_list(operator: str, node: Node) -> ProgramEdit:
    """Return the removal of an element of a list with one of the separators beside it."""
    before, after = node.prev_sibling, node.next_sibling
    if after is not None and after.type in (",", "+"):
        end = after.next_sibling
        return ProgramEdit(operator, node.start_byte, after.end_byte if end is None else end.start_byte)
    if before is not None and before.type in (",", "+"):
        return ProgramEdit(operator, before.start_byte, node.end_byte)
    return ProgramEdit(operator, node.start_byte, node.end_byte)


def _borrow(node: Node) -> Edits:
    value = field(node, "value")
    yield ProgramEdit("remove a borrow", node.start_byte, value.start_byte)
    mutable = next((child for child in node.children if child.type == "mutable_specifier"), None)
    if mutable is not None:
        yield _without("make a mutable borrow shared", mutable)
    else:
        yield ProgramEdit("make a shared borrow mutable", value.start_byte, value.start_byte, "mut ")


def _reference_type(node: Node) -> Edits:
    for child in node.children:
        if child.type == "lifetime":
            yield _without("remove a lifetime from a reference", child)
            if node_text(child) != "'static":
                yield ProgramEdit("make a lifetime static", child.start_byte, child.end_byte, "'static")
        elif child.type == "mutable_specifier":
            yield _without("make a mutable reference shared", child)


def _mutable(node: Node) -> Edits:
    if node.parent is not None and node.parent.type in ("let_declaration", "parameter", "mut_pattern"):
        yield _without("remove `mut`", node)


def _self_parameter(node: Node) -> Edits:
    children = [child.type for child in node.children]
    if "mutable_specifier" in children and "&" in children:
        yield ProgramEdit("make a mutable receiver shared", node.start_byte, node.end_byte, "&self")
    elif "&" in children:
        yield ProgramEdit("take a receiver by value", node.start_byte, node.end_byte, "self")


def _call(node: Node) -> Edits:
    function, arguments = field(node, "function"), field(node, "arguments")
    if function.type == "field_expression" and node_text(field(function, "field")) in CONVERSIONS:
        if not arguments.named_children:
            yield ProgramEdit("remove a conversion", field(function, "value").end_byte, node.end_byte)
    for argument in arguments.named_children:
        if argument.type == "identifier":
            yield ProgramEdit("borrow an argument", argument.start_byte, argument.start_byte, "&")


def _type_parameters(node: Node) -> Edits:
    for child in node.named_children:
        if child.type in ("lifetime_parameter", "lifetime"):
            yield _from_list("remove a lifetime parameter", child)


def _type_arguments(node: Node) -> Edits:
    for child in node.named_children:
        if child.type == "lifetime" and node_text(child) not in ("'static", "'_"):
            yield ProgramEdit("make a lifetime static", child.start_byte, child.end_byte, "'static")


def _bounds(node: Node) -> Edits:
    bounds = [child for child in node.named_children if child.type not in COMMENTS]
    yield ProgramEdit("remove bounds", node.start_byte, node.end_byte)
    if len(bounds) > 1:
        for bound in bounds:
            yield _from_list("remove one of several bounds", bound)


def _where(node: Node) -> Edits:
    yield ProgramEdit("remove a where clause", node.start_byte, node.end_byte)
    predicates = [child for child in node.named_children if child.type == "where_predicate"]
    if len(predicates) > 1:
        for predicate in predicates:
            yield _from_list("remove one of several predicates", predicate)


def _attribute(node: Node) -> Edits:
    attribute = node.named_children[0] if node.named_children else None
    if attribute is None or not node_text(attribute).startswith(("derive", "macro_use", "macro_export", "repr")):
        return
    yield ProgramEdit("remove an attribute", node.start_byte, node.end_byte)
    arguments = attribute.child_by_field_name("arguments")
    names = [] if arguments is None else [child for child in arguments.children if child.type == "identifier"]
    if node_text(attribute).startswith("derive") and len(names) > 1:
        for name in names:
            yield _from_list("remove a derive", name)


def _impl(node: Node) -> Edits:
    body = node.child_by_field_name("body")
    if node.child_by_field_name("trait") is None or body is None:
        return
    yield ProgramEdit("remove an impl of a trait", node.start_byte, node.end_byte)
    for item in body.named_children:
        if item.type in ("function_item", "type_item", "const_item"):
            yield ProgramEdit("remove an item of an impl", item.start_byte, item.end_byte)


def _closure(node: Node) -> Edits:
    for child in node.children:
        if child.type == "move":
            yield _without("remove `move`", child)
    parameters = field(node, "parameters")
    if not any(child.type == "move" for child in node.children):
        yield ProgramEdit("add `move`", parameters.start_byte, parameters.start_byte, "move ")


def _unary(node: Node) -> Edits:
    if node.children[0].type == "*":
        yield ProgramEdit("remove a dereference", node.start_byte, node.children[1].start_byte)


def _ref_pattern(node: Node) -> Edits:
    yield ProgramEdit("remove `ref`", node.start_byte, node.named_children[0].start_byte)


def _statements(block: Node) -> Edits:
    statements = [child for child in block.named_children if child.type in ("let_declaration", "expression_statement")]
    for statement in statements:
        after, text = statement.end_byte, node_text(statement)
        if statement.type == "expression_statement" and text.endswith(";"):
            yield ProgramEdit("repeat a statement", after, after, f" {text}")
        elif statement.type == "let_declaration":
            pattern = field(statement, "pattern")
            if pattern.type == "identifier" and statement.child_by_field_name("value") is not None:
                yield ProgramEdit("drop a variable early", after, after, f" drop({node_text(pattern)});")
    for first, second in zip(statements, statements[1:], strict=False):
        between = node_bytes(block)[first.end_byte - block.start_byte : second.start_byte - block.start_byte].decode()
        swapped = f"{node_text(second)}{between}{node_text(first)}"
        yield ProgramEdit("swap two statements", first.start_byte, second.end_byte, swapped)


def _macro_rule(node: Node) -> Edits:
    rules = [child for child in node.parent.children if child.type == "macro_rule"] if node.parent else []
    after = node.next_sibling
    if len(rules) > 1 and after is not None:
        end = after.end_byte if after.type == ";" else node.end_byte
        yield ProgramEdit("remove a rule of a macro", node.start_byte, end)


def _binding(node: Node) -> Edits:
    kind, name = field(node, "type"), field(node, "name")
    yield ProgramEdit("remove a fragment specifier", name.end_byte, kind.end_byte)
    other = OTHER_FRAGMENT.get(node_text(kind))
    if other is not None:
        yield ProgramEdit("change a fragment specifier", kind.start_byte, kind.end_byte, other)


def _repetition(node: Node) -> Edits:
    opened = next((child for child in node.children if child.type == "("), None)
    closed = next((child for child in node.children if child.type == ")"), None)
    if opened is not None and closed is not None:
        inner = node_bytes(node)[opened.end_byte - node.start_byte : closed.start_byte - node.start_byte].decode()
        yield ProgramEdit("remove a repetition", node.start_byte, node.end_byte, inner)


def _macro_call(node: Node) -> Edits:
    name = field(node, "macro")
    tree = next((child for child in node.children if child.type == "token_tree"), None)
    yield ProgramEdit("misspell a macro", name.end_byte - 1, name.end_byte)
    tokens = [] if tree is None else tree.children[1:-1]
    for token in tokens[:12]:
        yield _without("remove a token of a macro's arguments", token)
    commas = [token for token in tokens if token.type == ","]
    for comma, end in zip(commas, [*commas[1:], tree.children[-1]] if tree is not None else [], strict=False):
        yield ProgramEdit("remove an argument of a macro", comma.start_byte, end.start_byte)
    for comma in commas[:4]:
        yield ProgramEdit("replace a separator of a macro's arguments", comma.start_byte, comma.end_byte, ";")


def _macro_definition(node: Node) -> Edits:
    yield ProgramEdit("remove a macro", node.start_byte, node.end_byte)


EDITS: dict[str, Callable[[Node], Edits]] = {
    "reference_expression": _borrow,
    "reference_type": _reference_type,
    "mutable_specifier": _mutable,
    "self_parameter": _self_parameter,
    "call_expression": _call,
    "type_parameters": _type_parameters,
    "type_arguments": _type_arguments,
    "trait_bounds": _bounds,
    "where_clause": _where,
    "attribute_item": _attribute,
    "impl_item": _impl,
    "closure_expression": _closure,
    "unary_expression": _unary,
    "ref_pattern": _ref_pattern,
    "block": _statements,
    "macro_rule": _macro_rule,
    "token_binding_pattern": _binding,
    "token_repetition": _repetition,
    "token_repetition_pattern": _repetition,
    "macro_invocation": _macro_call,
    "macro_definition": _macro_definition,
}
"""The edits of each type of node."""
