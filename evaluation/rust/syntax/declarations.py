"""Declarations that a candidate must define, parsed from the signature of its tests, and Rust code to call them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import field, node_bytes, node_text, walk

ITEMS = {
    "function_item": "fn",
    "function_signature_item": "fn",
    "struct_item": "struct",
    "enum_item": "enum",
    "trait_item": "trait",
    "type_item": "type",
    "const_item": "const",
}
DECLARATION = (
    "declarations such as `fn add(a: i32, b: i32) -> i32;`, `struct Stack;` or `use std::collections::HashMap;`"
)

ITERATORS = {"Iterator", "DoubleEndedIterator", "ExactSizeIterator", "FusedIterator", "IntoIterator"}
TRAITS_OF_STRING = {"Debug", "Display", "Clone", "Default", "ToString", "PartialEq", "Eq", "PartialOrd", "Ord", "Hash"}


@dataclass(frozen=True)
class Type:
    """A type in a signature."""

    text: str
    in_pointer: str
    """Its text in the type of a `fn` pointer: `_` stands for an `impl Trait`, which the compiler infers."""
    node: Node


@dataclass(frozen=True)
class Function:
    """A function that a candidate must define."""

    name: str
    generics: str
    where: str
    parameters: tuple[Type, ...]
    result: Type | None
    """None without a return type."""
    type_parameters: Node | None

    def head(self) -> str:
        """Return `fn name<..>(nanochat_0: .., nanochat_1: ..) -> .. where ..`, without a body."""
        parameters = ", ".join(f"nanochat_{index}: {kind.text}" for index, kind in enumerate(self.parameters))
        result = "" if self.result is None else f" -> {self.result.text}"
        return f"fn {self.name}{self.generics}({parameters}){result} {self.where}"

    def arguments(self) -> list[str]:
        """Return the names of the parameters in `head`."""
        return [f"nanochat_{index}" for index in range(len(self.parameters))]

    def wrapper(self) -> str:
        """Return a function of the same name and type that calls the candidate's through a typed `fn` pointer."""
        # A reference in the type of a pointer has any lifetime, on which the type of an `impl Trait` cannot depend.
        opaque = self.result is not None and self.result.in_pointer != self.result.text
        types = ", ".join("_" if opaque and _is_elided(kind) else kind.in_pointer for kind in self.parameters)
        result = "" if self.result is None else f" -> {self.result.in_pointer}"
        return (
            f"#[allow(dead_code)] {self.head()} {{ let nanochat_function: fn({types}){result} = "
            f"nanochat_candidate::{self.name}; nanochat_function({', '.join(self.arguments())}) }}"
        )

    def stub(self) -> str | None:
        """Return a function of the same type that never returns, or None if its return type has no known value."""
        body = "loop {}" if self.result is None else _never(self.result.node)
        return None if body is None else f"#[allow(dead_code)] {self.head()} {{ {body} }}"


@dataclass(frozen=True)
class Declarations:
    """Everything that a candidate must define."""

    items: tuple[tuple[str, str], ...]
    """Kind and name of each item, such as `("fn", "add")`."""
    imports: str
    """The `use` declarations."""
    imported: dict[str, str]
    """Path of each name that the `use` declarations import."""
    functions: tuple[Function, ...]


def read_declarations(signature: str) -> Declarations:
    """Parse the declarations of a signature. Raises `ValueError`."""
    text = signature.strip()
    code = (text if text.endswith((";", "}")) else text + ";").encode()
    root = Parser(RUST).parse(code).root_node
    items, imports, functions = [], [], []
    for node in root.named_children:
        if node.type == "use_declaration":
            imports.append(node)
        elif node.type in ITEMS and not root.has_error:
            items.append((ITEMS[node.type], _text(node.child_by_field_name("name"))))
            if ITEMS[node.type] == "fn":
                functions.append(_function(node))
        elif node.type not in COMMENTS | {"empty_statement", "attribute_item"}:
            raise ValueError(f"signature must have {DECLARATION}, got {signature!r}")
    imported = {name: path for node in imports for name, path in _imported(node)}
    return Declarations(tuple(items), " ".join(map(_text, imports)), imported, tuple(functions))


def _function(node: Node) -> Function:
    name = _text(node.child_by_field_name("name"))
    modifiers = next((_text(child) for child in node.children if child.type == "function_modifiers"), "const")
    if has_body(node) or modifiers != "const":
        raise ValueError(
            f"signature must declare plain functions, without a body and not {modifiers}, got `{_text(node)}`"
            if modifiers != "const"
            else f"signature must declare functions without a body, got `{_text(node)}`"
        )
    parameters = []
    for parameter in field(node, "parameters").named_children:
        if parameter.type == "parameter":
            parameters.append(_type(field(parameter, "type")))
        elif parameter.type not in COMMENTS | {"attribute_item"}:
            raise ValueError(f"signature must declare functions, not methods, got `{_text(node)}`")
    result = node.child_by_field_name("return_type")
    generics = node.child_by_field_name("type_parameters")
    where = " ".join(_text(child) for child in node.children if child.type == "where_clause")
    return Function(
        name, _text(generics), where, tuple(parameters), None if result is None else _type(result), generics
    )


def _type(node: Node) -> Type:
    """Return a type of a signature. Outermost nodes are replaced: `impl A + B` is a node around `impl A`."""
    text, start = node_bytes(node), node.start_byte
    impls = []
    for below in walk(node, lambda below: bool(impls) and below.start_byte < impls[-1].end_byte):
        if _is_impl(below):
            impls.append(below)
    for found in reversed(impls):
        text = text[: found.start_byte - start] + b"_" + text[found.end_byte - start :]
    return Type(node_text(node), text.decode(), node)


def _is_elided(kind: Type) -> bool:
    """Whether a type has a reference with an elided lifetime."""
    references = [node for node in walk(kind.node) if node.type == "reference_type"]
    named = all(any(child.type == "lifetime" for child in node.children) for node in references)
    return not named or "'_" in kind.text


def _is_impl(node: Node) -> bool:
    while node.type == "bounded_type":
        node = node.named_children[0]
    return node.type == "abstract_type"


def _never(result: Node) -> str | None:
    """Return a body for a return type; for `impl Trait`, which needs a concrete type, only for the usual traits."""
    impls = [node for node in walk(result) if node.type == "abstract_type"]
    if not impls:
        return "loop {}"
    trait = impls[0].child_by_field_name("trait")
    if len(impls) > 1 or not _is_impl(result) or trait is None:
        return None
    name = trait.child_by_field_name("trait" if trait.type == "function_type" else "type") or trait
    name = _text(name).rpartition("::")[2]
    if name in ITERATORS:
        return "std::iter::empty()"
    if trait.type == "function_type":
        count = sum(child.type not in COMMENTS for child in field(trait, "parameters").named_children)
        return f"move |{', '.join('_' * count)}| loop {{}}"
    return "String::new()" if name in TRAITS_OF_STRING else None


def _imported(declaration: Node) -> Iterator[tuple[str, str]]:
    """Yield the names that a `use` imports, each with its path."""
    waiting = [(field(declaration, "argument"), "")]
    while waiting:
        node, prefix = waiting.pop()
        if node.type == "use_as_clause":
            path = prefix + _squeezed(field(node, "path"))
            yield _text(field(node, "alias")), path
        elif node.type == "use_list":
            waiting += [(child, prefix) for child in node.named_children if child.type not in COMMENTS]
        elif node.type == "scoped_use_list":
            path = node.child_by_field_name("path")
            inner = prefix if path is None else f"{prefix}{_squeezed(path)}::"
            waiting.append((field(node, "list"), inner))
        else:
            path = prefix + _squeezed(node)
            path = path.removesuffix("::self")
            yield path.rpartition("::")[2], path


def _squeezed(node: Node) -> str:
    """Return the text of a path without whitespace."""
    return re.sub(r"\s", "", _text(node)).removeprefix("::")


def has_body(node: Node) -> bool:
    """Whether a function has a body."""
    body = node.child_by_field_name("body")
    return body is not None and body.type == "block"


def _text(node: Node | None) -> str:
    return "" if node is None else node_text(node)
