"""What is refused of safe code that this compiler accepts although it is not sound.

Every rule is about the shape of one or more open reports of rust-lang/rust, which its docstring numbers; honest code
hardly needs any of these shapes. A rule looks at the syntax tree only: names are compared as they are spelt, types are
not inferred. What a macro is given or made of is looked at too, as far as it parses when its variables are taken for
names.

Known and not refused by shape, because honest code looks the same: a closure that lives longer than what it returns
(#84366, #112905), but for the forms the rule on projections names. Of no use with the options the judge compiles with:
comparisons of addresses that an optimizing build gets wrong (#107975).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from tree_sitter import Node

from evaluation.rust.macro_contents import MACROS, macro_contents
from evaluation.rust.nodes import Found, Nodes, name_of, walk
from evaluation.rust.syntax import COMMENTS, TEXTS

LOOPS = {"loop_expression", "while_expression", "for_expression"}
BODIES = {"closure_expression", "async_block", "function_item"}
DIVERGING_MACROS = {b"panic", b"unreachable", b"todo", b"unimplemented"}
WITH_PARAMETERS = {
    "function_item", "function_signature_item", "impl_item", "trait_item", "struct_item", "enum_item", "type_item",
    "associated_type",
}  # fmt: skip
PLACES_OF_TYPES = {
    "parameter", "reference_type", "type_arguments", "impl_item", "tuple_type", "generic_type", "type_item",
    "type_binding", "function_type", "parameters", "trait_bounds", "qualified_type", "dynamic_type", "where_predicate",
}  # fmt: skip
REASON = "what the compiler infers from that is not sound"


def holes(root: Node, nodes: Nodes) -> Found:
    """Shapes of code that make the compiler accept what it should not; in macros, too."""
    yield from _unseen(nodes)
    read = defaultdict(list, {kind: list(found) for kind, found in nodes.items()})
    macros = {}
    for macro, content in macro_contents(nodes, len(root.text)):
        if content is None:
            yield macro, "has macros within macros that are too much to read"
            return
        macros[content.id] = macro
        for node in walk(content, lambda node: node.type in COMMENTS or node.type in TEXTS):
            if node.is_named:
                read[node.type].append(node)
    for rule in RULES:
        for node, reason in rule(read):
            yield macros.get(_root(node).id, node), reason


def _unseen(nodes: Nodes) -> Found:
    """Macros that put items together of pieces, or stand for types: what they become is not read."""
    if any(node.text == b"tt" for node in nodes["fragment_specifier"]):
        tokens = (node for kind in MACROS for macro in nodes[kind] for node in walk(macro) if not node.child_count)
        keyword = next((node for node in tokens if node.text in (b"impl", b"trait")), None)
        if keyword is not None:
            yield keyword, "makes impls or traits of a macro's tokens: what they are cannot be seen"
    for node in nodes["macro_invocation"]:
        if node.parent.type in PLACES_OF_TYPES or (node.parent.parent and node.parent.parent.type == "trait_item"):
            yield node, "makes types by macros: what they are cannot be seen"


def _root(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def nested_lifetimes(nodes: Nodes) -> Found:
    """Types with two lifetimes, one of which must outlive the other (#25860, #84591, #100051, #112905, #152489).

    A function may rely on that relation; a function pointer, a closure, a bound or an impl can lose it. In a method,
    `Self` stands for the lifetimes of the impl.
    """
    places = nodes["function_type"] + nodes["higher_ranked_trait_bound"]
    places += [node.child_by_field_name(name) for node in _impls(nodes) for name in ("trait", "type")]
    if nodes["function_type"]:  # without one, no function becomes a value of another type
        places += [n.child_by_field_name("type") for n in nodes["parameter"] + nodes["impl_item"] + nodes["type_item"]]
    for place in places:
        if len(_lifetimes(place)) > 1:
            yield place, f"has one type with two lifetimes: {REASON}"
    for node in nodes["impl_item"] if nodes["function_type"] else ():
        outer = _lifetimes(node.child_by_field_name("type")) - {b"'static"}
        for method in (child for child in _body(node) if child.type == "function_item" and outer):
            parameters = method.child_by_field_name("parameters").named_children
            related = [p for p in parameters if _says_self(p) and _lifetimes(p) - outer]
            if related and any(p != related[0] and (_says_self(p) or _lifetimes(p) & outer) for p in parameters):
                yield related[0], f"has `Self` with another lifetime: {REASON}"


def _lifetimes(place: Node) -> set[bytes]:
    return {node.text for node in walk(place) if node.type == "lifetime"} - {b"'_"}


def _says_self(node: Node) -> bool:
    return any(below.text == b"Self" or below.type == "self" for below in walk(node))


def function_pointers(nodes: Nodes) -> Found:
    """Function pointers beside functions that may rely on what a type implies (#25860).

    In `fn f<'a, T>(_: &'a T, v: T)` the first type implies `T: 'a`, and a pointer to `f` may lose that. Types with a
    bound on what they are given imply it, too. Where the function declares the bound, nothing is lost.
    """
    if all(map(_is_bound, nodes["function_type"])):
        return
    demanding = {
        _plain(node.child_by_field_name("name"))
        for node in nodes["struct_item"] + nodes["enum_item"]
        if _outliving(node) or any(_is_outliving_lifetime(below) for below in walk(node))
    }
    for function in nodes["function_item"]:
        given = function.child_by_field_name("parameters")
        for name in (_lifetimes(given) - {b"'static"}) | (_type_parameters(function) - _outliving(function)):
            found = [n for n in walk(given) if _plain(n) == name and n.type in ("lifetime", "type_identifier")]
            implied = [_around(node, given, demanding) - {name} for node in found]
            if set().union(*implied) - set(implied[0]).intersection(*implied) if implied else False:
                yield given, f"has function pointers, and a function with a bound that its types imply: {REASON}"
                break


def _around(node: Node, end: Node, demanding: set[bytes]) -> set[bytes]:
    """Lifetimes of the references and types it stands in, and the types that demand something of what they hold."""
    around = set()
    while node != end:
        node = node.parent
        if node.type == "reference_type":
            around |= {child.text for child in node.named_children if child.type == "lifetime"}
        elif node.type == "generic_type":
            arguments = node.child_by_field_name("type_arguments").named_children
            around |= {child.text for child in arguments if child.type == "lifetime"}
            around |= {_plain(node.child_by_field_name("type"))} & demanding
    return around - {b"'_"}


def _is_outliving_lifetime(node: Node) -> bool:
    """Whether it is a lifetime that is declared with a bound, or a condition on a lifetime."""
    if node.type == "where_predicate":
        return any(child.type == "lifetime" for child in walk(node))
    return node.type == "lifetime_parameter" and node.child_by_field_name("bounds") is not None


def _is_bound(function_type: Node) -> bool:
    return function_type.child_by_field_name("trait") is not None


def _outliving(item: Node) -> set[bytes]:
    """Type parameters with a lifetime among their bounds."""
    return {
        _plain(place.child_by_field_name("name" if place.type == "type_parameter" else "left"))
        for place in _bounded(item)
        if (bounds := place.child_by_field_name("bounds")) is not None
        if any(child.type == "lifetime" for child in bounds.named_children)
    }


def _impls(nodes: Nodes) -> list[Node]:
    """Those of traits."""
    return [node for node in nodes["impl_item"] if node.child_by_field_name("trait") is not None]


def blanket_impls(nodes: Nodes) -> Found:
    """`impl<T> Trait for T` with an associated type (#57893, #135011, #154172, #161405).

    The compiler takes that type for known whatever `T` is; trait objects and types that are defined by themselves have
    another. An alias or a macro may stand for `T`.
    """
    aliases = _aliases(nodes)
    for node in _impls(nodes):
        place = _resolved(node.child_by_field_name("type"), aliases)
        if _plain(place) not in _type_parameters(place) and place.type != "macro_invocation":
            continue
        if any(child.type in ("type_item", "macro_invocation") for child in _body(node)):
            yield node, f"has a trait with a type for all types: {REASON}"


def projected_impls(nodes: Nodes) -> Found:
    """`impl Trait for <A as B>::C`, also by an alias (#100051, #152783).

    The type may be a trait object that has the trait already, or come with bounds that nobody checks.
    """
    aliases = _aliases(nodes)
    for node in _impls(nodes):
        place = _resolved(node.child_by_field_name("type"), aliases)
        path = place.child_by_field_name("path") if place.type == "scoped_type_identifier" else None
        if path is not None and (path.type == "bracketed_type" or _plain(path) in _type_parameters(place)):
            yield node, f"has an impl for what another trait says: {REASON}"


def _aliases(nodes: Nodes) -> dict[bytes, Node]:
    """What types with another name are; not the associated types of an impl."""
    named = [
        n for n in nodes["type_item"] if n.parent.type != "declaration_list" or n.parent.parent.type == "mod_item"
    ]
    return {_plain(node.child_by_field_name("name")): node.child_by_field_name("type") for node in named}


def _resolved(place: Node, aliases: dict[bytes, Node]) -> Node:
    """Without parentheses and aliases."""
    seen: set[bytes] = set()
    while True:
        while place.type == "tuple_type" and place.named_child_count == 1 and b"," not in _last_tokens(place):
            place = place.named_children[0]
        name = _plain(place.child_by_field_name("type") if place.type == "generic_type" else place)
        if name in seen or name not in aliases or _plain(place) in _type_parameters(place):
            return place
        seen.add(name)
        place = aliases[name]


def _last_tokens(place: Node) -> list[bytes]:
    return [child.text for child in place.children[-2:]]


def bound_types(nodes: Nodes) -> Found:
    """Associated types whose bounds say what another associated type is: `type A: Trait<B = C>` (#135011, #154172).

    Two such types may prove each other when `Trait` leads back to the trait they are in. With a condition on the type
    itself, `type A: Trait<B = C> where ..`, nobody checks the condition.
    """
    traits = {_plain(node.child_by_field_name("name")): node for node in nodes["trait_item"]}
    leads = {name: _names_of_bounds(node) & set(traits) for name, node in traits.items()}
    saying = {name for name, node in traits.items() if any(_said(b) & set(traits) for b in _supertraits(node))}
    for name, node in traits.items():
        types = [child for child in _body(node) if child.type == "associated_type"]
        for place in types + [p for p in _predicates(node) if _plain(p.child_by_field_name("left")) != b"Self"]:
            predicates = _predicates(place)
            bounds = [b for p in (place, *predicates) if (b := p.child_by_field_name("bounds")) is not None]
            conditions = [p for p in predicates if _plain(p.child_by_field_name("left")) != b"Self"]
            conditions += [p for p in walk(place) if p.type == "type_parameter" and p.child_by_field_name("bounds")]
            said = set().union(*map(_said, bounds))
            back = (said | saying & set().union(*map(_names, bounds))) & set(traits)
            if (said and conditions) or _leads_to(name, back, leads):
                yield place, f"has a type that is known by bounds of another: {REASON}"


def _leads_to(name: bytes, starts: set[bytes], leads: dict[bytes, set[bytes]]) -> bool:
    reached, waiting = set(), list(starts)
    while waiting and name not in reached:
        other = waiting.pop()
        if other not in reached:
            reached.add(other)
            waiting += leads[other]
    return name in reached


def _names_of_bounds(trait: Node) -> set[bytes]:
    """Names in the trait but for those in its functions."""
    parts = (node for node in walk(trait, lambda n: n.type in ("function_item", "function_signature_item")))
    return {_plain(node) for node in parts if node.type == "type_identifier"}


def _said(bounds: Node) -> set[bytes]:
    """The traits of which associated types are said: `Trait` of `Trait<A = B>`."""
    bindings = [node for node in walk(bounds) if node.type == "type_binding"]
    return set().union(*(_names(node.parent.parent.child_by_field_name("type")) for node in bindings))


def ranked_supertraits(nodes: Nodes) -> Found:
    """`for<'a> Trait<'a, &'a T>` where the trait has a supertrait with arguments: it forgets `T: 'a` (#84591)."""
    generic = {
        _plain(node.child_by_field_name("name"))
        for node in nodes["trait_item"]
        if any(below.type == "generic_type" for place in _supertraits(node) for below in walk(place))
    }
    for node in nodes["higher_ranked_trait_bound"]:
        place = node.parent if node.parent.type == "where_predicate" else node
        if _names(place) & generic:
            yield node, f"has a bound for all lifetimes on a trait with a supertrait: {REASON}"


def ranked_objects(nodes: Nodes) -> Found:
    """`dyn for<'a> Trait<'a, Type = ..>`: the type need not be well-formed (#152489)."""
    for node in nodes["dynamic_type"]:
        below = list(walk(node))
        if any(b.type == "higher_ranked_trait_bound" for b in below) and any(b.type == "type_binding" for b in below):
            yield node, f"has a trait object for all lifetimes that says what its types are: {REASON}"


def outliving_projections(nodes: Nodes) -> Found:
    """`fn f<I: Iterator + 'static>(.., v: I::Item)`: a closure in `I` may live longer than what it gives (#84366).

    What it gives can come by another parameter, too, or stand in a type beside it.
    """
    outliving = {
        _plain(node.child_by_field_name("name"))
        for node in nodes["trait_item"]
        if any(child.type == "lifetime" for place in _supertraits(node) for child in place.named_children)
    }
    beside = {
        _plain(node.child_by_field_name("name"))
        for node in nodes["struct_item"] + nodes["enum_item"]
        if (body := node.child_by_field_name("body")) is not None and _projected(body) & _type_parameters(node)
    }
    for node in nodes["function_item"]:
        implementation = (
            node.parent.parent if node.parent is not None and node.parent.type == "declaration_list" else None
        )
        types = _type_parameters(node)
        given = [node.child_by_field_name("parameters")]
        given += [below for place in _bounded(node) for below in walk(place) if below.type == "type_binding"]
        projected = set().union(*map(_projected, given)) & types
        if implementation is not None and _names(implementation.child_by_field_name("type")) & beside:
            projected |= types
        for place in _bounded(node):
            bounds = place.child_by_field_name("bounds")
            name = place.child_by_field_name("name" if place.type == "type_parameter" else "left")
            if bounds is None or _plain(name) not in projected:
                continue
            if any(child.type == "lifetime" for child in bounds.named_children) or _names(bounds) & outliving:
                yield place, f"has something that is known to live as long as another type: {REASON}"


def _projected(place: Node) -> set[bytes]:
    """Names in the types that associated types are of: `A` of `A::B`."""
    paths = [node.child_by_field_name("path") for node in walk(place) if node.type == "scoped_type_identifier"]
    return set().union(*map(_names, paths))


def jumping_arguments(nodes: Nodes) -> Found:
    """A method's argument that jumps out of the call, whose borrow is then forgotten (#160598)."""
    jumping = any(node.text in (b"break", b"continue") for macro in nodes["macro_definition"] for node in walk(macro))
    macros = _own_macros(nodes) if jumping else set()
    for node in nodes["call_expression"]:
        function = node.child_by_field_name("function")
        if function.type == "generic_function":
            function = function.child_by_field_name("function")
        if function.type != "field_expression":
            continue
        for below in walk(node.child_by_field_name("arguments"), lambda n: n.type in BODIES):
            if _called_macro(below) in macros or _jumps_out(below, node):
                yield below, f"jumps out of a method's arguments: {REASON}"
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
    conditions = [condition for n in nodes["match_pattern"] if (condition := n.child_by_field_name("condition"))]
    stopping = _stopping(nodes) if conditions else set()
    for condition in conditions:
        if any(_disturbs(below, stopping) for below in walk(condition)):
            yield condition, f"has a match guard that assigns or does not come back: {REASON}"


def indices(nodes: Nodes) -> Found:
    """Indices that assign, bind or do not come back: what is indexed may have changed (#160525, #161852)."""
    stopping = _stopping(nodes) if nodes["index_expression"] else set()
    for node in nodes["index_expression"]:
        index = node.named_children[-1]
        if any(_disturbs(n, stopping) or n.type in ("let_declaration", "slice_pattern") for n in walk(index)):
            yield index, f"has an index that assigns, binds or does not come back: {REASON}"


def _disturbs(node: Node, stopping: set[bytes]) -> bool:
    """Whether it assigns, or may never come to its end."""
    if node.type in ("assignment_expression", "compound_assignment_expr"):
        # The grammar takes `..=end` for an assignment.
        return node.child_by_field_name("left").text != b".."
    if node.type == "macro_invocation":
        return _called_macro(node) in stopping
    if node.type == "call_expression":
        return _plain(node.child_by_field_name("function")).rpartition(b"::")[2] in stopping
    return node.type in ("return_expression", "break_expression", "continue_expression", "loop_expression")


def _stopping(nodes: Nodes) -> set[bytes]:
    """Functions and macros that may not come back; macros of its own may do anything."""
    results = [(name_of(node), node.child_by_field_name("return_type")) for node in nodes["function_item"]]
    never = {name.encode() for name, result in results if result is not None and result.type == "never_type"}
    return never | DIVERGING_MACROS | _own_macros(nodes)


def _own_macros(nodes: Nodes) -> set[bytes]:
    return {_plain(macro.child_by_field_name("name")) for macro in nodes["macro_definition"]}


def _called_macro(node: Node) -> bytes | None:
    if node.type != "macro_invocation":
        return None
    return _plain(node.child_by_field_name("macro")).rpartition(b"::")[2]


def _plain(node: Node | None) -> bytes:
    return b"" if node is None else node.text.removeprefix(b"r#")


def _names(place: Node | None) -> set[bytes]:
    if place is None:
        return set()
    return {_plain(node) for node in walk(place) if node.type in ("type_identifier", "identifier")}


def _type_parameters(node: Node) -> set[bytes]:
    """Of the item and of those it stands in."""
    lists = [item.child_by_field_name("type_parameters") for item in _items(node)]
    given = [parameter for found in lists if found is not None for parameter in found.named_children]
    return {_plain(parameter.child_by_field_name("name")) for parameter in given if parameter.type == "type_parameter"}


def _items(node: Node | None) -> Iterator[Node]:
    """The items it stands in, itself included, that may have parameters."""
    while node is not None:
        if node.type in WITH_PARAMETERS:
            yield node
        node = node.parent


def _predicates(item: Node) -> list[Node]:
    clauses = [child for child in item.named_children if child.type == "where_clause"]
    return [p for clause in clauses for p in clause.named_children if p.type == "where_predicate"]


def _bounded(node: Node) -> Iterator[Node]:
    """Type parameters and conditions of the item and of those it stands in."""
    for item in _items(node):
        parameters = item.child_by_field_name("type_parameters")
        yield from (p for p in (parameters.named_children if parameters else ()) if p.type == "type_parameter")
        yield from _predicates(item)


def _body(item: Node) -> Iterable[Node]:
    body = item.child_by_field_name("body")
    return () if body is None else body.named_children


def _supertraits(trait: Node) -> list[Node]:
    bounds = [trait.child_by_field_name("bounds")]
    bounds += [
        p.child_by_field_name("bounds") for p in _predicates(trait) if _plain(p.child_by_field_name("left")) == b"Self"
    ]
    return [b for b in bounds if b is not None]


RULES = (
    nested_lifetimes, function_pointers, blanket_impls, projected_impls, bound_types, ranked_supertraits,
    ranked_objects, outliving_projections, jumping_arguments, guards, indices,
)  # fmt: skip
