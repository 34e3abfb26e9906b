"""
Refusals of safe code that the compiler accepts although it is unsound.

Every rule is about the shape of one or more open issues of rust-lang/rust, which its docstring lists; honest code
rarely needs these shapes. The rules check the syntax tree only: they compare names as they are written and do not
infer types. The arguments and expansions of macros are checked as far as they parse with names in place of variables.

Known and not refused, because honest code has the same shape: a closure that lives longer than the value it returns
(#84366, #112905), except for the forms of `outliving_projections`. Not exploitable with the judge's compiler options:
comparisons of addresses that are wrong in optimized builds (#107975).
"""

from collections import defaultdict
from itertools import zip_longest

from tree_sitter import Node

from evaluation.rust.judge.refused_borrows import guards, indices, jumping_arguments
from evaluation.rust.judge.refused_lifetimes import (
    function_pointers,
    nested_lifetimes,
    outliving_projections,
    ranked_objects,
    ranked_supertraits,
)
from evaluation.rust.judge.refused_traits import blanket_impls, bound_types, projected_impls
from evaluation.rust.syntax.analysis import COMMENTS, TEXTS
from evaluation.rust.syntax.generics import called_macro, plain
from evaluation.rust.syntax.macro_contents import NAME, macro_contents
from evaluation.rust.syntax.nodes import Found, Nodes, field, name_of, node_bytes, parent_of, walk

PLACES_OF_TYPES = {
    "parameter",
    "reference_type",
    "type_arguments",
    "impl_item",
    "tuple_type",
    "generic_type",
    "type_item",
    "type_binding",
    "function_type",
    "parameters",
    "trait_bounds",
    "qualified_type",
    "dynamic_type",
    "where_predicate",
}
# Keywords that a macro must not combine with its tokens.
MADE_OF_TOKENS = (b"impl", b"trait", b"fn", b"match")


def holes(root: Node, nodes: Nodes) -> Found:
    """Find shapes that make the compiler accept unsound code, also in macros."""
    read = defaultdict(list, {kind: list(found) for kind, found in nodes.items()})
    macros = {}
    for macro, content in macro_contents(nodes, len(node_bytes(root))):
        if content is None:
            yield macro, "has nested macros that are too large to check"
            return
        macros[content.id] = macro
        for node in walk(content, lambda node: node.type in COMMENTS or node.type in TEXTS):
            if node.is_named:
                read[node.type].append(node)
    for rule in RULES:
        for node, reason in rule(read):
            yield macros.get(_root(node).id, node), reason


def unread_macros(nodes: Nodes) -> Found:
    """Find macros that combine code from tokens or expand to types, whose expansion is not checked."""
    tokens = {
        field(binding, "name").text
        for binding in nodes["token_binding_pattern"]
        if field(binding, "type").text == b"tt"
    }
    for macro in [*nodes["macro_definition"], *nodes["macro_invocation"]] if tokens else ():
        leaves = [node for node in walk(macro) if not node.child_count or node.type == "metavariable"]
        pieces = macro.type == "macro_invocation" or any(leaf.text in tokens for leaf in leaves)
        for leaf, following in zip_longest(leaves, leaves[1:]):
            names = ("identifier", "metavariable") if leaf.text == b"fn" else ()
            named = following is not None and following.type in names and following.text not in tokens
            if pieces and leaf.text in MADE_OF_TOKENS and not named:
                yield leaf, "creates code from a macro's tokens, which cannot be checked"
                break
    own = {plain(macro.child_by_field_name("name")) for macro in nodes["macro_definition"]}
    own |= {plain(node.child_by_field_name("alias")) for node in nodes["use_as_clause"]}
    for node in nodes["macro_invocation"]:
        place = parent_of(node)
        item = parent_of(place) if place.type == "declaration_list" else place
        if called_macro(node) not in own or name_of(item).encode() == NAME:
            continue
        declares = any(place.child_by_field_name(name) == node for name in ("type", "return_type"))
        if declares or place.type in PLACES_OF_TYPES or item.type == "trait_item":
            yield node, "creates types by macros, which cannot be checked"


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


RULES = (
    unread_macros,
    nested_lifetimes,
    function_pointers,
    blanket_impls,
    projected_impls,
    bound_types,
    ranked_supertraits,
    ranked_objects,
    outliving_projections,
    jumping_arguments,
    guards,
    indices,
)
