"""Refusals of unused lifetimes and of types that define their own equality."""

import re
from collections.abc import Sequence
from itertools import zip_longest

from tree_sitter import Node

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.syntax.nodes import Found, Nodes, field, in_macro, name_of, node_bytes, node_text, walk

# Methods by which an iterator is compared; an override can return anything.
JUDGMENTS = {b"eq", b"ne", b"lt", b"le", b"gt", b"ge", b"cmp", b"partial_cmp", b"all", b"any"}
COMPARISONS = {b"PartialEq", b"PartialOrd"}


def unused_lifetimes(nodes: Nodes) -> Found:
    """Find lifetimes that a function declares and never uses."""
    for function in nodes["function_item"]:
        parameters = function.child_by_field_name("type_parameters")
        if parameters is None:
            continue
        body = function.child_by_field_name("body")
        declared = {
            node_bytes(field(parameter, "name")): parameter
            for parameter in parameters.named_children
            if parameter.type == "lifetime_parameter"
        }
        # A bound of a type is a use of a lifetime, a bound of another lifetime is not.
        signature = walk(function, lambda node, body=body: node == body or node.type == "lifetime_parameter")
        used = {node.text for node in signature if node.type == "lifetime"}
        for name, parameter in declared.items():
            if name not in used:
                yield parameter, f"declares a lifetime it never uses: `{name.decode()}`"


def equality(root: Node, tokens: Sequence[Node], nodes: Nodes, tests: HiddenTests | None) -> Found:
    """Find definitions of equality, if the cases compare values of the candidate's own types."""
    if tests is None or tests.blank:
        return
    demanded = {name.encode() for kind, name in tests.declarations.items if kind != "fn"}
    if demanded:
        yield from _own_comparisons(tokens, nodes, demanded)
        yield from _false_variants(root, tests)
    if "Iterator" not in tests.signature:
        return
    for implementation in nodes["impl_item"]:
        for node in walk(implementation):
            if node.type == "function_item" and name_of(node).encode() in JUDGMENTS:
                yield node, f"overrides how an iterator is compared: `{name_of(node)}`"


def _own_comparisons(tokens: Sequence[Node], nodes: Nodes, demanded: set[bytes]) -> Found:
    own = {name_of(node).encode() for kind in ("struct_item", "enum_item") for node in nodes[kind]} - demanded
    own -= {name_of(node).encode() for node in nodes["type_item"]}
    own -= {field(node, "alias").text for node in nodes["use_as_clause"]}
    for node in nodes["impl_item"]:
        trait = node.child_by_field_name("trait")
        if trait is None:
            continue
        name, kind = (node_bytes(_without_arguments(part)) for part in (trait, field(node, "type")))
        name = name.rpartition(b"::")[2].strip()
        if name in COMPARISONS and (trait.type == "generic_type" or (name == b"PartialEq" and kind not in own)):
            yield node, f"defines the equality of its answers: `impl {node_text(trait)}`"
    for node, following in zip_longest(tokens, tokens[1:]):
        renamed = following is not None and following.text == b"as"
        if node.text in COMPARISONS and (renamed or in_macro(node) and not _is_derived(node)):
            yield node, f"provides `{node_text(node)}` other than by an impl"


def _without_arguments(kind: Node) -> Node:
    return field(kind, "type") if kind.type == "generic_type" else kind


def _is_derived(node: Node | None) -> bool:
    while node is not None and node.type not in ("macro_definition", "macro_invocation", "attribute"):
        node = node.parent
    return node is not None and node.type == "attribute"


def _false_variants(root: Node, tests: HiddenTests) -> Found:
    """Find missing variants of an enum: constants or functions in their place may all be the same value."""
    demanded = {name for kind, name in tests.declarations.items if kind == "enum"}
    for node in root.named_children:
        if node.type != "enum_item" or name_of(node) not in demanded:
            continue
        body = field(node, "body")
        variants = {name_of(child) for child in body.named_children if child.type == "enum_variant"}
        for name in re.findall(rf"\b{name_of(node)}::([A-Z]\w*)", tests.checker):
            if name not in variants:
                yield node, f"`{name_of(node)}` has no variant `{name}`"
                break
