"""Type parameters, bounds and lifetimes of items, and names of macros, in syntax trees."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tree_sitter import Node

from evaluation.rust.syntax.nodes import Nodes, field, node_bytes, walk

WITH_PARAMETERS = {
    "function_item",
    "function_signature_item",
    "impl_item",
    "trait_item",
    "struct_item",
    "enum_item",
    "type_item",
    "associated_type",
}


def plain(node: Node | None) -> bytes:
    """Return the source of a name without `r#`; empty for None."""
    return b"" if node is None else node_bytes(node).removeprefix(b"r#")


def names_in(place: Node | None) -> set[bytes]:
    """Return the identifiers in a node; empty for None."""
    if place is None:
        return set()
    return {plain(node) for node in walk(place) if node.type in ("type_identifier", "identifier")}


def lifetimes_in(place: Node) -> set[bytes]:
    """Return the named lifetimes in a node."""
    return {node_bytes(node) for node in walk(place) if node.type == "lifetime"} - {b"'_"}


def type_parameters(node: Node) -> set[bytes]:
    """Return the names of the type parameters of the items around a node, itself included."""
    lists = [item.child_by_field_name("type_parameters") for item in _items(node)]
    given = [parameter for found in lists if found is not None for parameter in found.named_children]
    return {plain(parameter.child_by_field_name("name")) for parameter in given if parameter.type == "type_parameter"}


def _items(node: Node | None) -> Iterator[Node]:
    """Yield the items around a node, itself included, that may have parameters."""
    while node is not None:
        if node.type in WITH_PARAMETERS:
            yield node
        node = node.parent


def predicates(item: Node) -> list[Node]:
    """Return the predicates in the where clauses of an item."""
    clauses = [child for child in item.named_children if child.type == "where_clause"]
    return [p for clause in clauses for p in clause.named_children if p.type == "where_predicate"]


def bounded(node: Node) -> Iterator[Node]:
    """Yield the type parameters and where predicates of the items around a node, itself included."""
    for item in _items(node):
        parameters = item.child_by_field_name("type_parameters")
        yield from (p for p in (parameters.named_children if parameters else ()) if p.type == "type_parameter")
        yield from predicates(item)


def outliving_parameters(item: Node) -> set[bytes]:
    """Return the names of type parameters that have a lifetime among their bounds."""
    return {
        plain(place.child_by_field_name("name" if place.type == "type_parameter" else "left"))
        for place in bounded(item)
        if (bounds := place.child_by_field_name("bounds")) is not None
        if any(child.type == "lifetime" for child in bounds.named_children)
    }


def body_of(item: Node) -> Iterable[Node]:
    """Return the children of an item's body; empty without a body."""
    body = item.child_by_field_name("body")
    return () if body is None else body.named_children


def supertraits(trait: Node) -> list[Node]:
    """Return the bounds of a trait, after its name and on `Self` in its where clauses."""
    bounds = [trait.child_by_field_name("bounds")]
    bounds += [
        p.child_by_field_name("bounds") for p in predicates(trait) if plain(p.child_by_field_name("left")) == b"Self"
    ]
    return [b for b in bounds if b is not None]


def trait_impls(nodes: Nodes) -> list[Node]:
    """Return the impls of traits."""
    return [node for node in nodes["impl_item"] if node.child_by_field_name("trait") is not None]


def called_macro(node: Node) -> bytes | None:
    """Return the name of the macro that a node invokes, or None if it is no invocation."""
    if node.type != "macro_invocation":
        return None
    return node_bytes(field(node, "macro")).rpartition(b"::")[2].strip().removeprefix(b"r#")


def with_other_names(names: set[bytes], nodes: Nodes) -> set[bytes]:
    """Return names together with their renames by `use .. as ..` and the type aliases that contain them."""
    kinds = (("use_as_clause", "path", "alias"), ("type_item", "type", "name"))
    given = defaultdict(set)
    for kind, thing, alias in kinds:
        for node in nodes[kind]:
            for name in names_in(node.child_by_field_name(thing)):
                given[name].add(plain(node.child_by_field_name(alias)))
    found, waiting = set(), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += given[name]
    return found
