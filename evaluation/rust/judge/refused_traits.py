"""
Refusals of trait impls by which the compiler confuses two types.

The numbers are open issues of rust-lang/rust.
"""

from collections import defaultdict

from tree_sitter import Node

from evaluation.rust.syntax.generics import (
    body_of,
    names_in,
    plain,
    predicates,
    supertraits,
    trait_impls,
    type_parameters,
)
from evaluation.rust.syntax.nodes import Found, Nodes, field, node_bytes, parent_of, walk

UNSOUND = "what the compiler infers from that is not sound"


def blanket_impls(nodes: Nodes) -> Found:
    """
    Find `impl<T> Trait for T` with an associated type (#57893, #135011, #154172, #161405).

    The compiler assumes that type for every `T`, but trait objects and recursively defined types have another one. An
    alias or a macro may stand for `T`.
    """
    aliases = _aliases(nodes)
    for node in trait_impls(nodes):
        place = _resolved(field(node, "type"), aliases)
        if plain(place) not in type_parameters(place) and place.type != "macro_invocation":
            continue
        if any(child.type in ("type_item", "macro_invocation") for child in body_of(node)):
            yield node, f"has an impl for all types with an associated type: {UNSOUND}"


def projected_impls(nodes: Nodes) -> Found:
    """
    Find `impl Trait for <A as B>::C`, also by an alias (#100051, #152783).

    The type may be a trait object that already has the trait, or have bounds that the compiler does not check.
    """
    aliases = _aliases(nodes)
    for node in trait_impls(nodes):
        place = _resolved(field(node, "type"), aliases)
        path = place.child_by_field_name("path") if place.type == "scoped_type_identifier" else None
        if path is not None and (path.type == "bracketed_type" or plain(path) in type_parameters(place)):
            yield node, f"has an impl for an associated type: {UNSOUND}"


def _aliases(nodes: Nodes) -> dict[bytes, Node]:
    """Return the types behind type aliases, without associated types."""
    named = [
        n
        for n in nodes["type_item"]
        if parent_of(n).type != "declaration_list" or parent_of(parent_of(n)).type == "mod_item"
    ]
    return {plain(field(node, "name")): field(node, "type") for node in named}


def _resolved(place: Node, aliases: dict[bytes, Node]) -> Node:
    """Return a type without parentheses and aliases."""
    seen: set[bytes] = set()
    while True:
        while place.type == "tuple_type" and place.named_child_count == 1 and b"," not in _last_tokens(place):
            place = place.named_children[0]
        name = plain(place.child_by_field_name("type") if place.type == "generic_type" else place)
        if name in seen or name not in aliases or plain(place) in type_parameters(place):
            return place
        seen.add(name)
        place = aliases[name]


def _last_tokens(place: Node) -> list[bytes]:
    return [node_bytes(child) for child in place.children[-2:]]


def bound_types(nodes: Nodes) -> Found:
    """
    Find associated types whose bounds define another associated type: `type A: Trait<B = C>` (#135011, #154172).

    Two such types may prove each other if `Trait` leads back to their own trait. With a where clause,
    `type A: Trait<B = C> where ..`, the compiler does not check the clause.
    """
    traits = {plain(node.child_by_field_name("name")): node for node in nodes["trait_item"]}
    called = _called(set(traits), nodes)

    def own(names: set[bytes]) -> set[bytes]:
        return {called[name] for name in names if name in called}

    leads = {name: own(_names_of_bounds(node)) for name, node in traits.items()}
    saying = {name for name, node in traits.items() if any(own(_said(bound)) for bound in supertraits(node))}
    for name, node in traits.items():
        types = [child for child in body_of(node) if child.type == "associated_type"]
        for place in types + [p for p in predicates(node) if plain(p.child_by_field_name("left")) != b"Self"]:
            conditions = [p for p in predicates(place) if plain(p.child_by_field_name("left")) != b"Self"]
            bounds = [b for p in (place, *predicates(place)) if (b := p.child_by_field_name("bounds")) is not None]
            conditions += [p for p in walk(place) if p.type == "type_parameter" and p.child_by_field_name("bounds")]
            said = set().union(*map(_said, bounds))
            back = own(said) | (saying & own(set().union(*map(names_in, bounds))))
            if (said and conditions) or _leads_to(name, back, leads):
                yield place, f"has a type that is defined by the bounds of another: {UNSOUND}"


def _called(names: set[bytes], nodes: Nodes) -> dict[bytes, bytes]:
    """Return names and their renames by `use .. as ..`, each with the original name."""
    given = defaultdict(list)
    for node in nodes["use_as_clause"]:
        path = field(node, "path")
        given[plain(path.child_by_field_name("name") or path)].append(plain(node.child_by_field_name("alias")))
    called, waiting = {}, [(name, name) for name in names]
    while waiting:
        name, meant = waiting.pop()
        if name not in called:
            called[name] = meant
            waiting += [(other, meant) for other in given[name]]
    return called


def _leads_to(name: bytes, starts: set[bytes], leads: dict[bytes, set[bytes]]) -> bool:
    reached, waiting = set(), list(starts)
    while waiting and name not in reached:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += leads[other]
    return name in reached


def _names_of_bounds(trait: Node) -> set[bytes]:
    """Return the names in a trait, without those in its functions."""
    parts = (node for node in walk(trait, lambda n: n.type in ("function_item", "function_signature_item")))
    return {plain(node) for node in parts if node.type == "type_identifier"}


def _said(bounds: Node) -> set[bytes]:
    """Return the traits whose associated types are defined in bounds: `Trait` of `Trait<A = B>`."""
    bindings = [node for node in walk(bounds) if node.type == "type_binding"]
    return set().union(*(names_in(parent_of(parent_of(node)).child_by_field_name("type")) for node in bindings))
