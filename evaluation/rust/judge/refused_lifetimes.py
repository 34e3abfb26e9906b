"""
Refusals of shapes by which safe code extends a lifetime.

The numbers are open issues of rust-lang/rust.
"""

from tree_sitter import Node

from evaluation.rust.syntax.generics import (
    body_of,
    bounded,
    lifetimes_in,
    names_in,
    outliving_parameters,
    plain,
    supertraits,
    trait_impls,
    type_parameters,
    with_other_names,
)
from evaluation.rust.syntax.nodes import Found, Nodes, field, parent_of, walk

UNSOUND = "what the compiler infers from that is not sound"


def nested_lifetimes(nodes: Nodes) -> Found:
    """
    Find types with two lifetimes, one of which must outlive the other (#25860, #84591, #100051, #112905, #152489).

    A function may rely on that relation, which a function pointer, a closure, a bound or an impl can lose. In a
    method, `Self` has the lifetimes of the impl.
    """
    places = nodes["function_type"] + nodes["higher_ranked_trait_bound"]
    places += [field(node, name) for node in trait_impls(nodes) for name in ("trait", "type")]
    if nodes["function_type"]:  # without one, no function is coerced to another type
        places += [field(n, "type") for n in nodes["parameter"] + nodes["impl_item"] + nodes["type_item"]]
    for place in places:
        if len(lifetimes_in(place)) > 1:
            yield place, f"has one type with two lifetimes: {UNSOUND}"
    for node in nodes["impl_item"] if nodes["function_type"] else ():
        outer = lifetimes_in(field(node, "type")) - {b"'static"}
        for method in (child for child in body_of(node) if child.type == "function_item" and outer):
            parameters = field(method, "parameters").named_children
            related = [p for p in parameters if _says_self(p) and lifetimes_in(p) - outer]
            if related and any(p != related[0] and (_says_self(p) or lifetimes_in(p) & outer) for p in parameters):
                yield related[0], f"has `Self` with another lifetime: {UNSOUND}"


def _says_self(node: Node) -> bool:
    return any(below.text == b"Self" or below.type == "self" for below in walk(node))


def function_pointers(nodes: Nodes) -> Found:
    """
    Find function pointers in code with functions that may rely on an implied bound (#25860).

    In `fn f<'a, T>(_: &'a T, v: T)` the first type implies `T: 'a`, which a pointer to `f` may lose. Types with a
    bound on their parameters imply it as well. A bound that the function declares is not lost.
    """
    if all(map(_is_bound, nodes["function_type"])):
        return
    demanding = {
        plain(node.child_by_field_name("name"))
        for node in nodes["struct_item"] + nodes["enum_item"]
        if outliving_parameters(node) or any(_is_outliving_lifetime(below) for below in walk(node))
    }
    demanding = with_other_names(demanding, nodes)
    for function in nodes["function_item"]:
        given = field(function, "parameters")
        undeclared = type_parameters(function) - outliving_parameters(function)
        for name in undeclared | lifetimes_in(given) - {b"'static"}:
            found = [n for n in walk(given) if plain(n) == name and n.type in ("lifetime", "type_identifier")]
            implied = [_around(node, given, demanding) - {name} for node in found]
            if any(around != implied[0] for around in implied):
                yield given, f"has function pointers, and a function with a bound that its types imply: {UNSOUND}"
                break


def _around(node: Node, end: Node, demanding: set[bytes]) -> set[bytes]:
    """Return the lifetimes of references and types around a node, and the types with bounds on their parameters."""
    around = set()
    while node != end:
        node = parent_of(node)
        if node.type == "reference_type":
            around |= {child.text for child in node.named_children if child.type == "lifetime"}
        elif node.type == "generic_type":
            arguments = field(node, "type_arguments").named_children
            around |= {child.text for child in arguments if child.type == "lifetime"}
            around |= {plain(node.child_by_field_name("type"))} & demanding
    return around - {b"'_"}


def _is_outliving_lifetime(node: Node) -> bool:
    """Whether a node is a lifetime parameter with a bound, or a where predicate on a lifetime."""
    if node.type == "where_predicate":
        return any(child.type == "lifetime" for child in walk(node))
    return node.type == "lifetime_parameter" and node.child_by_field_name("bounds") is not None


def _is_bound(function_type: Node) -> bool:
    return function_type.child_by_field_name("trait") is not None


def ranked_supertraits(nodes: Nodes) -> Found:
    """Find `for<'a> Trait<'a, &'a T>` of a trait whose supertrait has arguments, which loses `T: 'a` (#84591)."""
    generic = {
        plain(node.child_by_field_name("name"))
        for node in nodes["trait_item"]
        if any(below.type == "generic_type" for place in supertraits(node) for below in walk(place))
    }
    generic = with_other_names(generic, nodes)
    ranked = [n for n in nodes["abstract_type"] if any(child.type == "type_parameters" for child in n.named_children)]
    for node in nodes["higher_ranked_trait_bound"] + ranked:
        place = node.parent if parent_of(node).type == "where_predicate" else node
        if names_in(place) & generic:
            yield node, f"has a bound for all lifetimes on a trait with a supertrait: {UNSOUND}"


def ranked_objects(nodes: Nodes) -> Found:
    """Find `dyn for<'a> Trait<'a, Type = ..>`, whose type need not be well-formed (#152489)."""
    for node in nodes["dynamic_type"]:
        below = list(walk(node))
        if any(b.type == "higher_ranked_trait_bound" for b in below) and any(b.type == "type_binding" for b in below):
            yield node, f"has a trait object for all lifetimes with associated types: {UNSOUND}"


def outliving_projections(nodes: Nodes) -> Found:
    """
    Find `fn f<I: Iterator + 'static>(.., v: I::Item)`: a closure in `I` may outlive the values it returns (#84366).

    These values may also be in another parameter, or in a type together with `I`.
    """
    outliving = _outliving_traits(nodes)
    beside = {
        plain(node.child_by_field_name("name"))
        for node in nodes["struct_item"] + nodes["enum_item"]
        if (body := node.child_by_field_name("body")) is not None and _projected(body) & type_parameters(node)
    }
    beside = with_other_names(beside, nodes)
    for node in nodes["function_item"]:
        given = [field(node, "parameters")]
        given += [below for place in bounded(node) for below in walk(place) if below.type == "type_binding"]
        projected = set().union(*map(_projected, given))
        around = node.parent.parent if node.parent is not None and node.parent.type == "declaration_list" else None
        if around is not None and around.type == "impl_item":
            if b"Self" in projected or names_in(around.child_by_field_name("type")) & beside:
                projected |= type_parameters(node)
        elif around is not None and around.type == "trait_item" and b"Self" in projected:
            if plain(around.child_by_field_name("name")) in outliving:
                yield node, f"has a value that is assumed to live as long as another type: {UNSOUND}"
        for place in bounded(node):
            bounds = place.child_by_field_name("bounds")
            name = plain(place.child_by_field_name("name" if place.type == "type_parameter" else "left"))
            if bounds is None or name not in projected or name not in type_parameters(node) | {b"Self"}:
                continue
            if any(child.type == "lifetime" for child in bounds.named_children) or names_in(bounds) & outliving:
                yield place, f"has a value that is assumed to live as long as another type: {UNSOUND}"


def _outliving_traits(nodes: Nodes) -> set[bytes]:
    """Return the names of traits with a lifetime among their bounds, directly or through a supertrait."""
    bounds = [(plain(node.child_by_field_name("name")), supertraits(node)) for node in nodes["trait_item"]]
    found = {name for name, places in bounds if any(c.type == "lifetime" for p in places for c in p.named_children)}
    found = with_other_names(found | {b"Any"}, nodes)
    while more := {name for name, places in bounds if any(names_in(place) & found for place in places)} - found:
        found = with_other_names(found | more, nodes)
    return found


def _projected(place: Node) -> set[bytes]:
    """Return the names in the types before associated types: `A` of `A::B`."""
    paths = [node.child_by_field_name("path") for node in walk(place) if node.type == "scoped_type_identifier"]
    return set().union(*map(names_in, paths))
