"""Methods as functions: the value is the first parameter, and the generic parameters of the `impl` come first."""

import re

from tree_sitter import Node

from evaluation.rust.syntax.nodes import field, node_text
from trainers.data.rewriting.renaming import KEYWORDS

NOUNS = {"str": "text", "char": "letter", "bool": "flag"}
_SELF = re.compile(r"(?P<reference>&\s*(?:'\w+\s+)?)?(?P<mut>mut\s+)?self")


def method_as_function(function: Node, impl: Node) -> tuple[str, str] | None:
    """
    Return the head of a function that takes the value of a method as its first parameter, and the parameter's name.

    Args:
        function: The method.
        impl: The `impl` around it, without a trait.

    Returns:
        None if the method takes no value or a `self` with a type, or names associated types or constants.
    """
    parameters = field(function, "parameters").named_children
    if not parameters or parameters[0].type != "self_parameter":
        return None
    found = _SELF.fullmatch(" ".join(node_text(parameters[0]).split()))
    kind = node_text(field(impl, "type"))
    others = [node_text(each) for each in parameters[1:] if each.type == "parameter"]
    returned = function.child_by_field_name("return_type")
    bounds = [*_bounds(impl), *_bounds(function)]
    parts = [*others, *bounds, *([node_text(returned)] if returned else [])]
    if found is None or any("Self::" in each for each in parts):
        return None
    noun = _noun(kind)
    if noun in KEYWORDS or any(re.search(rf"\b{noun}\b", each) for each in others):
        noun = "this"
    reference, mutable = found["reference"] or "", found["mut"] or ""
    own = f"{noun}: {reference}{mutable}{kind}" if reference else f"{mutable}{noun}: {kind}"
    generics = [*_generics(impl), *_generics(function)]
    # Lifetimes come before types.
    ordered = sorted(generics, key=lambda each: not each.startswith("'"))
    listed = f"<{', '.join(ordered)}>" if ordered else ""
    head = f"fn {node_text(field(function, 'name'))}{listed}"
    head += f"({', '.join([own, *others])})" + (f" -> {node_text(returned)}" if returned else "")
    if bounds:
        head += "\nwhere\n" + "\n".join(f"    {each}," for each in bounds)
    return re.sub(r"\bSelf\b", lambda _: kind, head), noun


def receiver_renamed(body: str, impl: Node, noun: str) -> str | None:
    """
    Return the body of a method as that of a function that takes the value as a parameter.

    Args:
        body: Code of the body.
        impl: The `impl` around the method.
        noun: Name of the parameter.

    Returns:
        None if the body has something of that name already.
    """
    if re.search(rf"\b{noun}\b", body):
        return None
    body = re.sub(r"\bself\b", noun, body)
    return re.sub(r"\bSelf\b", lambda _: node_text(field(impl, "type")), body)


def _noun(kind: str) -> str:
    """Return a name for a value of a type: the last word of its name."""
    if kind.startswith("["):
        return "items"
    name = re.split(r"[<\s]", kind.removeprefix("&").strip(), maxsplit=1)[0].rpartition("::")[2]
    if name in NOUNS:
        return NOUNS[name]
    if re.fullmatch(r"[iuf]\d+|[iu]size", name):
        return "number"
    words = re.findall(r"[A-Z][a-z0-9]*", name)
    return words[-1].lower() if words else "value"


def _generics(node: Node) -> list[str]:
    parameters = node.child_by_field_name("type_parameters")
    return [] if parameters is None else [node_text(each) for each in parameters.named_children]


def _bounds(node: Node) -> list[str]:
    """Return the predicates of a `where` clause."""
    return [
        node_text(each)
        for clause in node.named_children
        if clause.type == "where_clause"
        for each in clause.named_children
        if each.type == "where_predicate"
    ]
