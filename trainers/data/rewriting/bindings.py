"""Name resolution: the names that a piece of Rust code binds, and all places where each is used.

A binding is a local variable, a parameter, a type or constant parameter, or a lifetime, with every place that refers
to it. Scopes are those of Rust: a `let` applies to the rest of its block, the pattern of an arm to its guard and
value, `if let` to its consequence, a parameter of a closure to its body; a nested function sees no outer locals. The
tokens of macros are looked up in the surrounding scope by position: a name after `.` or `::`, or before `::`, `!` or a
single `:`, is not a variable.

Bindings that cannot be renamed are marked: names captured in format strings (`"{total}"`), and names that appear among
the tokens of a macro that is not from the standard library.
"""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node, Parser

from evaluation.rust.judge.refusals import STANDARD_MACROS
from evaluation.rust.syntax.analysis import COMMENTS, RUST, TEXTS
from evaluation.rust.syntax.nodes import Visit, evaluate, field, node_text, walk

Kind = Literal["local", "parameter", "generic", "lifetime"]
KINDS: tuple[Kind, ...] = Kind.__args__
VALUES: tuple[Kind, ...] = ("local", "parameter", "generic")
ITEMS_WITH_GENERICS = {
    "function_item",
    "function_signature_item",
    "impl_item",
    "struct_item",
    "enum_item",
    "trait_item",
    "type_item",
    "union_item",
}
ISOLATED = ITEMS_WITH_GENERICS | {"mod_item", "const_item", "static_item", "macro_definition", "use_declaration"}
SPELLING = {"stringify", "dbg"}  # macros that write down what they are given
ASSERTIONS = {"assert", "debug_assert"}
CAPTURED = re.compile(r"(?<!\{)(?:\{\{)*\{\s*([^\W\d]\w*)|([^\W\d]\w{0,99})\$")


@dataclass
class Binding:
    """A name and the places that refer to it."""

    name: str
    kind: Kind
    item: Node
    """The function (or other item) that contains the binding."""
    places: list[Node] = dataclasses.field(default_factory=list)
    fixed: bool = False
    """Whether it is used in a place where it cannot be renamed."""
    mutable: bool = False


def parse(code: str) -> Node:
    """
    Return the root of the syntax tree.

    Raises:
        ValueError: The code does not parse.
    """
    root = Parser(RUST).parse(code.encode()).root_node
    if root.has_error:
        raise ValueError("code must be Rust that parses")
    return root


def text(node: Node | None) -> str:
    """Return the source of a node."""
    return "" if node is None else node_text(node)


def captured_names(literal: Node) -> list[str]:
    """Return the names that a string captures if it is a format string, such as `{total}` or `{:>width$}`."""
    return [name or width for name, width in CAPTURED.findall(text(literal))]


def find_bindings(root: Node) -> list[Binding]:
    """Return all bindings below a node, in the order of the source."""
    resolver = _Resolver(set(_kept_names(root)))
    scopes = Scopes()
    with scopes.opened():
        visit = resolver.visit(root, scopes, root)
        if visit is not None:
            evaluate(visit)
    return resolver.bindings


class Scopes:
    """The visible names, with lookup in constant time regardless of the number of open scopes."""

    def __init__(self):
        self._seen: dict[str, list[Binding]] = defaultdict(list)
        self._opened: list[list[str]] = []

    @contextmanager
    def opened(self) -> Generator[None]:
        """Open an inner scope; its names disappear when it is closed."""
        self._opened.append([])
        yield
        for name in self._opened.pop():
            self._seen[name].pop()

    def add(self, binding: Binding) -> None:
        """Bind a name in the innermost scope."""
        self._seen[binding.name].append(binding)
        self._opened[-1].append(binding.name)

    def find(self, name: str, kinds: Iterable[Kind]) -> Binding | None:
        """Return the innermost binding of a name that is of one of the kinds."""
        return next((each for each in reversed(self._seen.get(name, ())) if each.kind in kinds), None)

    def within_item(self) -> "Scopes":
        """Return the names that an item sees: the surrounding generics and no locals. One scope is open."""
        inner = Scopes()
        inner._opened.append([])
        found = (self.find(name, (kind,)) for name in self._seen for kind in ("generic", "lifetime"))
        for binding in found:
            if binding is not None:
                inner.add(binding)
        return inner


class _Resolver:
    """Walks the tree with the open scopes. Its visits are generators for `evaluate`, so that trees can be deep."""

    def __init__(self, kept: set[str]):
        self.bindings: list[Binding] = []
        self.kept = kept

    def bind(self, place: Node, kind: Kind, item: Node, mutable: bool = False) -> Binding:
        name = text(place)
        binding = Binding(name, kind, item, [place], fixed=name in self.kept, mutable=mutable)
        self.bindings.append(binding)
        return binding

    def use(self, scopes: Scopes, place: Node, kinds: tuple[Kind, ...], fixed: bool = False) -> None:
        binding = scopes.find(text(place), kinds)
        if binding is not None:
            binding.places.append(place)
            binding.fixed |= fixed

    def use_lifetime(self, scopes: Scopes, lifetime: Node, fixed: bool = False) -> None:
        name = lifetime.named_child(0)
        if name is not None:
            self.use(scopes, name, ("lifetime",), fixed)

    def visit(self, node: Node, scopes: Scopes, item: Node) -> Visit | None:
        """Visit everything below `node` that is not a pattern."""
        handler = getattr(self, f"visit_{node.type}", self.visit_children)
        return self.visit_item(node, scopes) if node.type in ISOLATED else handler(node, scopes, item)

    def visit_children(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        for child in node.children:
            yield self.visit(child, scopes, item)

    def visit_item(self, node: Node, scopes: Scopes) -> Visit:
        """Visit an item, which sees the generics of the surrounding `impl` or `trait` and no locals."""
        if node.type in ("macro_definition", "use_declaration"):
            return
        opened = scopes.within_item()
        parameters, name = (node.child_by_field_name(each) for each in ("type_parameters", "name"))
        declared = set()
        for parameter in [] if parameters is None else parameters.named_children:
            if parameter.type == "lifetime_parameter":
                place, kind = field(parameter, "name").named_children[0], "lifetime"
            elif parameter.type in ("type_parameter", "const_parameter"):
                place, kind = field(parameter, "name"), "generic"
            else:
                continue
            opened.add(self.bind(place, kind, node))
            declared.add(place.start_byte)
        with opened.opened():
            for child in node.children:
                if child.type == "parameters":
                    yield self.bind_parameters(child, opened, node)
                elif child == parameters:
                    for each in walk(child, whole=lambda below: below.type == "lifetime"):
                        if each.type == "lifetime" and each.named_children[0].start_byte not in declared:
                            self.use(opened, each.named_children[0], ("lifetime",))
                        elif each.type in ("type_identifier", "identifier") and each.start_byte not in declared:
                            self.use(opened, each, ("generic",))
                elif child != name:
                    yield self.visit(child, opened, node)

    def bind_parameters(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        for parameter in node.named_children:
            pattern = parameter.child_by_field_name("pattern")
            if parameter.type != "parameter" or pattern is None:
                yield self.visit(parameter, scopes, item)
                continue
            yield self.visit(field(parameter, "type"), scopes, item)
            yield self.bind_pattern(pattern, scopes, item, "parameter", _is_mutable(parameter))

    def bind_pattern(
        self, pattern: Node, scopes: Scopes, item: Node, kind: Kind = "local", mutable: bool = False
    ) -> Visit:
        """Bind the names of a pattern in the innermost scope; alternatives share their names."""
        mine: dict[str, Binding] = {}
        yield self._bind_names(pattern, mine, scopes, item, kind, mutable)
        for binding in mine.values():
            scopes.add(binding)

    def _bind_names(
        self, node: Node, mine: dict[str, Binding], scopes: Scopes, item: Node, kind: Kind, mutable: bool
    ) -> Visit:
        if node.type in ("identifier", "shorthand_field_identifier"):
            name = text(node)
            # A name that starts with a capital letter is a constant or a variant.
            if name[0].isupper():
                self.use(scopes, node, ("generic",))
            elif name in mine:
                mine[name].places.append(node)
            else:
                mine[name] = self.bind(node, kind, item, mutable)
            return
        if node.type in ("range_pattern", "macro_invocation", "const_block") or node.type.endswith("_literal"):
            yield self.visit_children(node, scopes, item)
            return
        kept = node.child_by_field_name("type"), node.child_by_field_name("name")
        mutable = mutable or _is_mutable(node)
        for child in node.named_children:
            if child == kept[0] or (child == kept[1] and child.type != "shorthand_field_identifier"):
                if child.type != "field_identifier":
                    yield self.visit(child, scopes, item)
            elif child.type in ("scoped_identifier", "generic_type"):
                yield self.visit(child, scopes, item)
            else:
                yield self._bind_names(child, mine, scopes, item, kind, mutable)

    def visit_parameter(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        """Visit a parameter of a function type, whose name has no meaning."""
        yield self.visit(field(node, "type"), scopes, item)

    def visit_closure_expression(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        with scopes.opened():
            for child in node.children:
                if child.type == "closure_parameters":
                    yield self._bind_closure_parameters(child, scopes, item)
                else:
                    yield self.visit(child, scopes, item)

    def _bind_closure_parameters(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        for each in node.named_children:
            if each.type == "parameter":
                yield self.visit(field(each, "type"), scopes, item)
                pattern = field(each, "pattern")
                yield self.bind_pattern(pattern, scopes, item, "local", _is_mutable(each))
            else:
                yield self.bind_pattern(each, scopes, item)

    def visit_block(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        with scopes.opened():
            yield self.visit_children(node, scopes, item)

    def visit_let_declaration(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        pattern = field(node, "pattern")
        for child in node.children:
            if child != pattern:
                yield self.visit(child, scopes, item)
        yield self.bind_pattern(pattern, scopes, item, mutable=_is_mutable(node))

    def visit_let_condition(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        """Bind names in the scope that `if`, `while` or an arm opened."""
        yield self.visit(field(node, "value"), scopes, item)
        yield self.bind_pattern(field(node, "pattern"), scopes, item)

    def visit_if_expression(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        with scopes.opened():
            yield self.visit(field(node, "condition"), scopes, item)
            yield self.visit(field(node, "consequence"), scopes, item)
        alternative = node.child_by_field_name("alternative")
        if alternative is not None:
            yield self.visit(alternative, scopes, item)

    def visit_while_expression(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        with scopes.opened():
            yield self.visit(field(node, "condition"), scopes, item)
            yield self.visit(field(node, "body"), scopes, item)

    def visit_for_expression(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        yield self.visit(field(node, "value"), scopes, item)
        with scopes.opened():
            yield self.bind_pattern(field(node, "pattern"), scopes, item)
            yield self.visit(field(node, "body"), scopes, item)

    def visit_match_arm(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        pattern = field(node, "pattern")
        condition = pattern.child_by_field_name("condition")
        with scopes.opened():
            for child in pattern.named_children:
                if child != condition:
                    yield self.bind_pattern(child, scopes, item)
            if condition is not None:
                yield self.visit(condition, scopes, item)
            yield self.visit(field(node, "value"), scopes, item)

    def visit_label(self, node: Node, scopes: Scopes, item: Node) -> None:
        """Skip the labels of loops, which are not renamed."""

    def visit_lifetime(self, node: Node, scopes: Scopes, item: Node) -> None:
        self.use_lifetime(scopes, node)

    def visit_identifier(self, node: Node, scopes: Scopes, item: Node) -> None:
        self.use(scopes, node, VALUES)

    def visit_type_identifier(self, node: Node, scopes: Scopes, item: Node) -> None:
        self.use(scopes, node, ("generic",))

    def visit_scoped_identifier(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        """Visit a path, of which only the first segment can be a type parameter."""
        path = node.child_by_field_name("path")
        if path is not None and path.type == "identifier":
            self.use(scopes, path, ("generic",))
        elif path is not None:
            yield self.visit(path, scopes, item)

    visit_scoped_type_identifier = visit_scoped_identifier

    def visit_type_binding(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        """Visit `Iterator<Item = T>`, in which the name `Item` belongs to the trait."""
        yield self.visit(field(node, "type"), scopes, item)

    def visit_field_initializer(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        yield self.visit(field(node, "value"), scopes, item)

    def visit_attribute_item(self, node: Node, scopes: Scopes, item: Node) -> None:
        """Skip attributes, which do not refer to locals."""

    def visit_macro_invocation(self, node: Node, scopes: Scopes, item: Node) -> Visit:
        name = text(node.child_by_field_name("macro")).rpartition("::")[2]
        for child in node.children:
            if child.type == "token_tree":
                yield self.visit_tokens(child, scopes, fixed=_may_spell(name, child))

    def visit_tokens(self, tree: Node, scopes: Scopes, fixed: bool) -> Visit:
        """Visit the tokens of a macro; they open no scope, so a name bound among them keeps its outer meaning."""
        children = tree.children
        braced = text(children[0]) == "{"
        for index, node in enumerate(children):
            if node.type == "token_tree":
                is_macro = index > 1 and text(children[index - 1]) == "!" and children[index - 2].type == "identifier"
                doubtful = is_macro and _may_spell(text(children[index - 2]), node)
                yield self.visit_tokens(node, scopes, fixed or doubtful)
            elif node.type in ("string_literal", "raw_string_literal"):
                for name in captured_names(node):
                    binding = scopes.find(name, KINDS)
                    if binding is not None:
                        binding.fixed = True
            elif node.type == "identifier":
                before = text(children[index - 1]) if index else ""
                after = text(children[index + 1]) if index + 1 < len(children) else ""
                if before in (".", "::") or after == "!":
                    continue
                # A field of a struct expression, a named argument and a shorthand field look the same.
                doubtful = after in (":", "=") or (before in ("{", ",") and after in ("}", ",") and braced)
                kinds = ("generic",) if after == "::" else VALUES
                self.use(scopes, node, kinds, fixed or doubtful)
            elif node.type == "lifetime":
                self.use_lifetime(scopes, node, fixed)


def _may_spell(macro: str, tokens: Node) -> bool:
    """Return whether a macro may print its arguments' names, as `assert!` does unless it has a message."""
    if macro in ASSERTIONS:
        written = [child for child in tokens.children if child.type not in COMMENTS]
        pairs = zip(written, written[1:], strict=False)
        return not any(text(comma) == "," and message.type in TEXTS for comma, message in pairs)
    return macro not in STANDARD_MACROS - SPELLING


def _kept_names(root: Node) -> Iterator[str]:
    """Return names that may be constants in a pattern, or that a macro may use from or introduce into its context."""
    for node in walk(root):
        if node.type == "macro_definition" or (node.type == "macro_invocation" and _is_own(node)):
            for each in walk(node):
                if each.type == "identifier":
                    yield text(each)
                elif each.type in ("string_literal", "raw_string_literal"):
                    yield from captured_names(each)
        elif node.type == "use_declaration":
            # It may import a constant under any name.
            yield from (text(each) for each in walk(node) if each.type == "identifier")
        elif node.type in ("const_item", "enum_variant") or (
            node.type == "struct_item" and node.child_by_field_name("body") is None
        ):
            yield text(node.child_by_field_name("name"))


def _is_own(macro: Node) -> bool:
    """Return whether a macro is not from the standard library, so that it may define constants."""
    return text(macro.child_by_field_name("macro")).rpartition("::")[2] not in STANDARD_MACROS


def _is_mutable(node: Node) -> bool:
    return any(child.type == "mutable_specifier" for child in node.children)
