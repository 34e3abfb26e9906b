"""Which names of a piece of Rust are its own, and where each is used.

A binding is a local variable, a parameter, a type or constant parameter, or a lifetime, with every place that means
it. Scopes are Rust's: a `let` binds what follows it in its block, an arm its guard and value, `if let` its
consequence, a closure its body; a nested function sees no locals from outside. Tokens of macros are looked up in the
scope they stand in, by position: what follows a `.` or `::`, or stands before `::`, `!` or a single `:`, is no
variable.

What cannot be followed is marked: names captured in format strings (`"{total}"`), and what appears among the tokens of
a macro that is not the standard library's.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from tree_sitter import Node, Parser

from evaluation.rust.refusals import STANDARD_MACROS
from evaluation.rust.syntax import RUST

Kind = Literal["local", "parameter", "generic", "lifetime"]
ITEMS_WITH_GENERICS = {
    "function_item", "function_signature_item", "impl_item", "struct_item", "enum_item", "trait_item", "type_item",
    "union_item",
}  # fmt: skip
ISOLATED = ITEMS_WITH_GENERICS | {"mod_item", "const_item", "static_item", "macro_definition", "use_declaration"}
SPELLING = {"stringify", "dbg"}  # macros that write down what they are given
CAPTURED = re.compile(r"(?<!\{)(?:\{\{)*\{\s*([^\W\d]\w*)|([^\W\d]\w{0,99})\$")


@dataclass
class Binding:
    """One name and the places that mean it."""

    name: str
    kind: Kind
    item: Node
    """The function (or other item) it belongs to."""
    places: list[Node] = field(default_factory=list)
    fixed: bool = False
    """It is used where it cannot be renamed."""
    mutable: bool = False


Scope = dict[str, Binding]


def parse(code: str) -> Node:
    """
    The root of the syntax tree.

    Raises:
        ValueError: The code does not parse.
    """
    root = Parser(RUST).parse(code.encode()).root_node
    if root.has_error:
        raise ValueError("code must be Rust that parses")
    return root


def text(node: Node | None) -> str:
    """The source of a node."""
    return "" if node is None else node.text.decode()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def captured_names(literal: Node) -> list[str]:
    """Names that a string captures, if it is a format: `{total}`, `{:>width$}`."""
    return [name or width for name, width in CAPTURED.findall(text(literal))]


def find_bindings(root: Node) -> list[Binding]:
    """All bindings below a node, in the order of the text."""
    resolver = _Resolver(set(_kept_names(root)))
    resolver.visit(root, [{}], root)
    return resolver.bindings


class _Resolver:
    """Walks the tree with the scopes that are open, innermost last."""

    def __init__(self, kept: set[str]):
        self.bindings: list[Binding] = []
        self.kept = kept

    def bind(self, scope: Scope, place: Node, kind: Kind, item: Node, mutable: bool = False) -> None:
        name = text(place)
        binding = Binding(name, kind, item, [place], fixed=name in self.kept, mutable=mutable)
        scope[binding.name] = binding
        self.bindings.append(binding)

    def use(self, scopes: list[Scope], place: Node, kinds: tuple[Kind, ...], fixed: bool = False) -> None:
        for scope in reversed(scopes):
            binding = scope.get(text(place))
            if binding is not None and binding.kind in kinds:
                binding.places.append(place)
                binding.fixed |= fixed
                return

    def visit(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """Everything below `node` that is no pattern."""
        handler = getattr(self, f"visit_{node.type}", None)
        if node.type in ISOLATED:
            self.visit_item(node, scopes)
        elif handler is not None:
            handler(node, scopes, item)
        else:
            self.visit_children(node, scopes, item)

    def visit_children(self, node: Node, scopes: list[Scope], item: Node) -> None:
        for child in node.children:
            self.visit(child, scopes, item)

    def visit_item(self, node: Node, scopes: list[Scope]) -> None:
        """An item sees the generics of an `impl` or `trait` around it, and no locals."""
        if node.type in ("macro_definition", "use_declaration"):
            return
        outer = {}
        for scope in scopes:
            inherited = {name: each for name, each in scope.items() if each.kind in ("generic", "lifetime")}
            outer |= inherited
        inner: Scope = {}
        parameters = node.child_by_field_name("type_parameters")
        for parameter in [] if parameters is None else parameters.named_children:
            name = parameter.child_by_field_name("name")
            if parameter.type == "lifetime_parameter":
                self.bind(inner, name.named_child(0), "lifetime", node)
            elif parameter.type in ("type_parameter", "const_parameter"):
                self.bind(inner, name, "generic", node)
        declared = {binding.places[0].start_byte for binding in inner.values()}
        opened = [outer, inner, {}]
        for child in node.children:
            if child.type == "parameters":
                self.bind_parameters(child, opened, node)
            elif child == node.child_by_field_name("name"):
                continue
            elif child.type == "type_parameters":
                for each in walk(child):
                    if each.start_byte not in declared and each.type in ("type_identifier", "identifier"):
                        self.use(opened, each, ("lifetime",) if each.parent.type == "lifetime" else ("generic",))
            else:
                self.visit(child, opened, node)

    def bind_parameters(self, node: Node, scopes: list[Scope], item: Node) -> None:
        for parameter in node.named_children:
            pattern = parameter.child_by_field_name("pattern")
            if parameter.type != "parameter" or pattern is None:
                self.visit(parameter, scopes, item)
                continue
            self.visit(parameter.child_by_field_name("type"), scopes, item)
            self.bind_pattern(pattern, scopes, item, "parameter", _is_mutable(parameter))

    def bind_pattern(
        self, pattern: Node, scopes: list[Scope], item: Node, kind: Kind = "local", mutable: bool = False
    ) -> None:
        """Binds the names of a pattern in the innermost scope; alternatives share theirs."""
        mine: Scope = {}
        self._bind_names(pattern, mine, scopes, item, kind, mutable)
        scopes[-1].update(mine)

    def _bind_names(self, node: Node, mine: Scope, scopes: list[Scope], item: Node, kind: Kind, mutable: bool) -> None:
        name = text(node)
        if node.type in ("identifier", "shorthand_field_identifier"):
            # What begins with a capital is a constant or a variant.
            if name[0].isupper():
                self.use(scopes, node, ("generic",))
            elif name in mine:
                mine[name].places.append(node)
            else:
                self.bind(mine, node, kind, item, mutable)
            return
        if node.type in ("range_pattern", "macro_invocation", "const_block") or node.type.endswith("_literal"):
            self.visit_children(node, scopes, item)
            return
        kept = node.child_by_field_name("type"), node.child_by_field_name("name")
        mutable = mutable or _is_mutable(node)
        for child in node.named_children:
            if child == kept[0] or (child == kept[1] and child.type != "shorthand_field_identifier"):
                if child.type != "field_identifier":
                    self.visit(child, scopes, item)
            elif child.type in ("scoped_identifier", "generic_type"):
                self.visit(child, scopes, item)
            else:
                self._bind_names(child, mine, scopes, item, kind, mutable)

    def visit_parameter(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """A parameter of a function type, whose name means nothing."""
        self.visit(node.child_by_field_name("type"), scopes, item)

    def visit_closure_expression(self, node: Node, scopes: list[Scope], item: Node) -> None:
        opened = [*scopes, {}]
        for child in node.children:
            if child.type == "closure_parameters":
                for each in child.named_children:
                    if each.type == "parameter":
                        self.visit(each.child_by_field_name("type"), opened, item)
                        pattern = each.child_by_field_name("pattern")
                        self.bind_pattern(pattern, opened, item, "local", _is_mutable(each))
                    else:
                        self.bind_pattern(each, opened, item)
            else:
                self.visit(child, opened, item)

    def visit_block(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.visit_children(node, [*scopes, {}], item)

    def visit_let_declaration(self, node: Node, scopes: list[Scope], item: Node) -> None:
        pattern = node.child_by_field_name("pattern")
        for child in node.children:
            if child != pattern:
                self.visit(child, scopes, item)
        self.bind_pattern(pattern, scopes, item, mutable=_is_mutable(node))

    def visit_let_condition(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """Binds in the scope that `if`, `while` or an arm opened."""
        self.visit(node.child_by_field_name("value"), scopes, item)
        self.bind_pattern(node.child_by_field_name("pattern"), scopes, item)

    def visit_if_expression(self, node: Node, scopes: list[Scope], item: Node) -> None:
        opened = [*scopes, {}]
        self.visit(node.child_by_field_name("condition"), opened, item)
        self.visit(node.child_by_field_name("consequence"), opened, item)
        alternative = node.child_by_field_name("alternative")
        if alternative is not None:
            self.visit(alternative, scopes, item)

    def visit_while_expression(self, node: Node, scopes: list[Scope], item: Node) -> None:
        opened = [*scopes, {}]
        self.visit(node.child_by_field_name("condition"), opened, item)
        self.visit(node.child_by_field_name("body"), opened, item)

    def visit_for_expression(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.visit(node.child_by_field_name("value"), scopes, item)
        opened = [*scopes, {}]
        self.bind_pattern(node.child_by_field_name("pattern"), opened, item)
        self.visit(node.child_by_field_name("body"), opened, item)

    def visit_match_arm(self, node: Node, scopes: list[Scope], item: Node) -> None:
        opened = [*scopes, {}]
        pattern = node.child_by_field_name("pattern")
        condition = pattern.child_by_field_name("condition")
        for child in pattern.named_children:
            if child != condition:
                self.bind_pattern(child, opened, item)
        if condition is not None:
            self.visit(condition, opened, item)
        self.visit(node.child_by_field_name("value"), opened, item)

    def visit_label(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """Labels of loops are not renamed."""

    def visit_lifetime(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.use(scopes, node.named_child(0), ("lifetime",))

    def visit_identifier(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.use(scopes, node, ("local", "parameter", "generic"))

    def visit_type_identifier(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.use(scopes, node, ("generic",))

    def visit_scoped_identifier(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """Of a path only the first segment can be a type parameter."""
        path = node.child_by_field_name("path")
        if path is not None and path.type == "identifier":
            self.use(scopes, path, ("generic",))
        elif path is not None:
            self.visit(path, scopes, item)

    visit_scoped_type_identifier = visit_scoped_identifier

    def visit_type_binding(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """The name in `Iterator<Item = T>` is the trait's."""
        self.visit(node.child_by_field_name("type"), scopes, item)

    def visit_field_initializer(self, node: Node, scopes: list[Scope], item: Node) -> None:
        self.visit(node.child_by_field_name("value"), scopes, item)

    def visit_attribute_item(self, node: Node, scopes: list[Scope], item: Node) -> None:
        """Attributes name no locals."""

    def visit_macro_invocation(self, node: Node, scopes: list[Scope], item: Node) -> None:
        name = text(node.child_by_field_name("macro")).rpartition("::")[2]
        for child in node.children:
            if child.type == "token_tree":
                self.visit_tokens(child, scopes, fixed=name not in STANDARD_MACROS - SPELLING)

    def visit_tokens(self, tree: Node, scopes: list[Scope], fixed: bool) -> None:
        """The tokens of a macro; nothing here opens a scope, so a name bound among them keeps the outer meaning."""
        children = tree.children
        for index, node in enumerate(children):
            if node.type == "token_tree":
                is_macro = index > 1 and text(children[index - 1]) == "!" and children[index - 2].type == "identifier"
                doubtful = is_macro and text(children[index - 2]) not in STANDARD_MACROS - SPELLING
                self.visit_tokens(node, scopes, fixed or doubtful)
            elif node.type in ("string_literal", "raw_string_literal"):
                for name in captured_names(node):
                    for scope in reversed(scopes):
                        binding = scope.get(name)
                        if binding is not None:
                            binding.fixed = True
                            break
            elif node.type == "identifier":
                before = text(children[index - 1]) if index else ""
                after = text(children[index + 1]) if index + 1 < len(children) else ""
                if before in (".", "::") or after == "!":
                    continue
                # A field of a struct expression, a named argument, the variable of a shorthand field: all look alike.
                doubtful = after in (":", "=") or (before in ("{", ",") and after in ("}", ",") and _is_braced(tree))
                kinds = ("generic",) if after == "::" else ("local", "parameter", "generic")
                self.use(scopes, node, kinds, fixed or doubtful)
            elif node.type == "lifetime":
                self.use(scopes, node.named_child(0), ("lifetime",), fixed)


def _kept_names(root: Node) -> Iterator[str]:
    """Names that may mean a constant in a pattern, or that a macro among statements may take from around it."""
    for node in walk(root):
        if node.type == "macro_definition" and node.parent.type == "block":
            for each in walk(node):
                if each.type == "identifier":
                    yield text(each)
                elif each.type in ("string_literal", "raw_string_literal"):
                    yield from captured_names(each)
        if node.type in ("const_item", "enum_variant") or (
            node.type == "struct_item" and node.child_by_field_name("body") is None
        ):
            yield text(node.child_by_field_name("name"))


def _is_braced(tree: Node) -> bool:
    return text(tree.children[0]) == "{"


def _is_mutable(node: Node) -> bool:
    return any(child.type == "mutable_specifier" for child in node.children)
