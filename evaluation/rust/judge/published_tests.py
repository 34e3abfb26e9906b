"""
Conversion of published tests into hidden tests: every test becomes a case, as does every assertion in its body.

The source keeps its modules and lines, so that `super::`, helpers and macros keep their meaning and failed cases have
the right line. It becomes a module whose `super` has the functions of the signature. Each test becomes a function with
a case that holds if libtest would report the test as passed. Tests whose meaning would change raise an error.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.refused_tests import (
    OF_LIBTEST,
    TOKENS,
    attribute_name,
    names_the_crate,
    refuse_what_differs,
    refused,
    words,
)
from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.assertions import ASSERTIONS, Edit, cases
from evaluation.rust.syntax.declarations import read_declarations
from evaluation.rust.syntax.nodes import field, name_of, node_bytes, node_text, walk

CAN_FAIL = re.compile(rb"\b(?:debug_)?assert|panic|unreachable|unwrap|expect|\?")
# A module in a function, where the checker's statements are, has no path; a module inside it has one.
OPENED = "mod nanochat_tests { use super::*; pub mod nanochat_crate { "
CLOSED = """
use super::*;
}
}
nanochat_tests::nanochat_crate::nanochat_run();"""
LIBTEST = "::nanochat_harness::libtest"


@dataclass(frozen=True)
class _Item:
    """An item of a module."""

    node: Node
    before: tuple[Node, ...]
    """Its attributes."""
    depth: int
    """Number of modules around it."""

    @property
    def attributes(self) -> dict[str, Node]:
        return {attribute_name(node): node for node in self.before}

    @property
    def name(self) -> str:
        return name_of(self.node)

    @property
    def body(self) -> Node:
        return field(self.node, "body")

    def switches(self) -> list[Node]:
        """Return the attributes that enable or disable it (`cfg`)."""
        inside = self.body.named_children if self.node.type == "mod_item" else []
        inner = [node for node in inside if node.type == "inner_attribute_item"]
        return [node for node in (*self.before, *inner) if attribute_name(node) == "cfg"]


class _Edits:
    """Replacements in a text."""

    def __init__(self, code: bytes):
        self.code = code
        self._edits: list[Edit] = []

    def add(self, start: int, end: int, text: str | bytes) -> None:
        """Add a replacement; those inside another one are dropped."""
        self._edits.append((start, end, text.encode() if isinstance(text, str) else text))

    def blank(self, node: Node) -> None:
        """Replace a node with spaces, except for its line breaks."""
        self.add(*node.byte_range, re.sub(rb"[^\n]", b" ", node_bytes(node)))

    def applied(self, start: int, end: int) -> str:
        """Return the text between two positions with its replacements applied."""
        parts, position = [], start
        # Insertions at the start of a replacement come before it.
        for first, last, text in sorted(self._edits, key=lambda edit: (edit[0], edit[0] != edit[1], -edit[1])):
            if position <= first and last <= end:
                parts += [self.code[position:first], text]
                position = last
        return b"".join([*parts, self.code[position:end]]).decode()


def as_hidden_tests(signature: str, tests: str, allow_unsafe: bool = False) -> HiddenTests:
    """
    Convert functions with `#[test]`, or a `fn main`, into hidden tests that pass and fail like the published ones.

    Models may have seen published tests, but code that shares a crate with the tests can no longer cheat them. They
    can use the items of the signature and nothing else of the candidate. Ignored tests are included, as in runs of
    published tests.

    Args:
        signature: See `HiddenTests`.
        tests: The source as it would be appended to a candidate.
        allow_unsafe: See `HiddenTests`.

    Raises:
        ValueError: Something would have another meaning in a separate crate: tests that a macro generates, unusual
            attributes, modules in other files, other crates, files, methods for a type of the candidate; the message
            has its line. Also if no test can fail.
    """
    # A leading `}` closes the candidate's function.
    code = re.sub(r"^(\s*)\}", r"\1 ", tests).encode()
    root = Parser(RUST).parse(code).root_node
    refuse_what_differs(root, read_declarations(signature))
    nodes = list(walk(root))
    modules = list(_modules(root))
    chosen = _chosen(nodes, [item for _, items in modules for item in items])
    can_fail = CAN_FAIL.search(words(root)) or any(item.node.child_by_field_name("return_type") for item in chosen)
    if not chosen or not can_fail:
        raise ValueError(f"tests must have functions with #[test], or a fn main, with assertions, got {tests[:200]!r}")
    edits = _Edits(code)
    _point_to_root(root, edits)
    for node in nodes:
        if node.type == "identifier" and node.text == b"test" and _is_of_cfg(node):
            edits.add(*node.byte_range, "all()")
    replaced = {name_of(node).encode() for node in nodes if node.type == "macro_definition"}
    for item in chosen:
        _make_cases(item, not ASSERTIONS & replaced, edits)
    for module, items in modules:
        calls = " ".join(_call(item, edits) for item in items if item in chosen or item.node.type == "mod_item")
        function = f"pub fn nanochat_run() {{ {calls} }}"
        if module == root:
            edits.add(len(code), len(code), f"\n{function}")
        else:
            edits.add(module.end_byte - 1, module.end_byte - 1, f"{function} ")
    return HiddenTests(signature, OPENED + edits.applied(0, len(code)) + CLOSED, allow_unsafe)


def _modules(root: Node) -> Iterator[tuple[Node, list[_Item]]]:
    """Yield the node of each module and its items, without modules in functions, which libtest ignores."""
    waiting = [(root, 0)]
    while waiting:
        module, depth = waiting.pop()
        items, before = [], ()
        for node in module.named_children:
            if node.type == "attribute_item":
                before += (node,)
            elif node.type not in COMMENTS:
                items.append(_Item(node, before, depth))
                before = ()
        yield module, items
        waiting += [(item.body, depth + 1) for item in items if item.node.type == "mod_item"]


def _chosen(nodes: list[Node], items: list[_Item]) -> list[_Item]:
    """Return the tests, or the main function. Raises `ValueError` for a `#[test]` that libtest would reject."""
    functions = [item for item in items if item.node.type == "function_item"]
    marked = {item.attributes["test"].start_byte: item for item in functions if "test" in item.attributes}
    for node in nodes:
        if node.type == "attribute_item" and attribute_name(node) == "test" and node.start_byte not in marked:
            raise refused(node, "is on no function of a module", "write the test as such a function")
    for item in marked.values():
        given = field(item.node, "parameters").named_children
        if given or any(child.type in ("function_modifiers", "type_parameters") for child in item.node.children):
            raise refused(item.node, "is no plain function without parameters", "write the test as such a function")
    if marked:
        return list(marked.values())
    return [item for item in functions if item.depth == 0 and item.name == "main"]


def _point_to_root(root: Node, edits: _Edits) -> None:
    """Let paths of the crate, by `crate::` or an alias, start at the module that the source becomes."""
    declared = [node for node in root.named_children if node.type == "extern_crate_declaration"]
    aliases = [node for node in declared if names_the_crate(node)]
    names = {b"crate", b"$crate", *(field(node, "alias").text for node in aliases)}
    for node in aliases:
        edits.blank(node)
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        children = node.children
        for before, child, after in zip([None, *children], children, children[1:], strict=False):
            begins = after.type == "::" or (after.type == "as" and node.type == "use_as_clause")
            if begins and child.text in names and (before is None or before.type != "::"):
                edits.add(*child.byte_range, f"{_outside(depth)}::nanochat_crate")
        waiting += [(child, depth + (child.type == "mod_item")) for child in children]


def _outside(depth: int) -> str:
    """Return the path from a module with this depth to the module around the source."""
    return "::".join(["super"] * (depth + 1))


def _is_of_cfg(name: Node) -> bool:
    """Whether a name is inside `#[cfg(..)]` or `cfg!(..)`."""
    node = name
    while node.parent is not None and node.parent.type in TOKENS:
        node = node.parent
        before = node.prev_sibling
        if before is not None and before.type == "!":
            before = before.prev_sibling
        if before is not None and before.text == b"cfg":
            return True
    return False


def _make_cases(item: _Item, convert: bool, edits: _Edits) -> None:
    """Wrap a test in a function that has it as a case."""
    returning = item.node.child_by_field_name("return_type") is not None
    case = "succeeds(nanochat_test)" if returning else "passes(nanochat_test)"
    if "should_panic" in item.attributes:
        case = f"panics(nanochat_test, {_expected(item.attributes['should_panic'])})"
    elif convert:
        # In a `should_panic` test, assertions must stay: their failure is the panic.
        for edit in cases(item.body):
            edits.add(*edit)
    for name in OF_LIBTEST:
        if name in item.attributes:
            edits.blank(item.attributes[name])
    name = field(item.node, "name")
    edits.add(*name.byte_range, f"{item.name}() {{ fn nanochat_test")
    end = item.node.end_byte
    edits.add(end, end, f" check!({LIBTEST}::{case}) }}")


def _expected(attribute: Node) -> str:
    """Return the message in `#[should_panic = ".."]` or `#[should_panic(expected = "..")]` as a Rust expression."""
    texts = [node_text(node) for node in walk(attribute) if node.type in ("string_literal", "raw_string_literal")]
    form = re.sub(r"\s", "", re.sub(r'r?#*".*"#*', "", node_text(attribute), flags=re.DOTALL))
    if form == "#[should_panic]":
        return "None"
    if len(texts) != 1 or form.replace(",", "") not in ("#[should_panic=]", "#[should_panic(expected=)]"):
        raise refused(attribute, "is not of its form", 'write `#[should_panic(expected = "text")]`')
    return f"Some({texts[0]})"


def _call(item: _Item, edits: _Edits) -> str:
    """Return the call of a test, or of the tests in a module."""
    switches = [" ".join(edits.applied(*node.byte_range).split()).replace("#!", "#") for node in item.switches()]
    called = item.name if item.node.type == "function_item" else f"{item.name}::nanochat_run"
    return " ".join([*switches, f"{called}();"])
