"""
Tests given as source that is appended to the candidate in its crate, as in public benchmarks.

Only the published tests count, by name. The built test program lists its tests (`--list`), also those that a macro
generates or a `cfg` enables. The list must contain all unconditional tests of the source, so that a candidate cannot
disable them. The candidate's own tests are removed before compilation: they do not count, cannot fail, and their
names cannot collide with the published ones.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node, Parser, Query, QueryCursor

from evaluation.rust.rustc.compiler import MODULE
from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import node_bytes, node_text, parent_of

TEST = re.compile(rb"#\s*\[\s*(?:::)?\s*(?:(?:core|std)::prelude::\w+::)?test\s*\]")
CFG_TEST = re.compile(rb"#\s*\[\s*cfg\s*\(\s*test\s*\)\s*\]")
ATTRIBUTES = Query(RUST, "[(attribute_item) (inner_attribute_item)] @attribute")
# Attributes that candidates cannot keep as part of a larger program: lints as errors, because the program has other
# code as well, and attributes that name or change the program.
OF_THE_PROGRAM = re.compile(rb"\b(?:deny|forbid)\s*\(|\bcrate_name\b|\bno_main\b")
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
LISTED = re.compile(r"^(\S+): test$", re.MULTILINE)
SUMMARY = re.compile(r"^test result: (\w+)\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)
TEST_LINE = re.compile(rf"^test ({MODULE}\d+::\S+)(?: - should panic)? \.\.\. (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class AppendedTests:
    """
    Tests that are appended to the candidate: functions with `#[test]`, or a `fn main` that ends with status 0 if they
    pass.
    """

    text: str
    names: tuple[str, ...]
    """Paths of the unconditional tests; empty for a `fn main`."""
    conditional: tuple[str, ...]
    """Paths of the tests under a `cfg`."""
    generated: bool
    """Whether macro invocations in the place of items may generate more tests."""
    has_main: bool
    """Whether the tests are a `fn main`."""
    modules: frozenset[bytes]
    """Names of the modules at the top level."""

    @classmethod
    @lru_cache(maxsize=1024)
    def read(cls, text: str) -> "AppendedTests":
        """Parse tests. Raises `ValueError` if the text has neither `#[test]` functions nor a `fn main`."""
        # A leading `}` closes the candidate's function.
        root = Parser(RUST).parse(re.sub(r"^\s*\}", "", text).encode()).root_node
        names, conditional, generated = [], [], []
        for path, node, attributes, condition in _items(root):
            if node.type == "function_item" and _is_test(attributes):
                (conditional if condition else names).append(path)
            generated += [node] if _calls_a_macro(node) else []
        modules = frozenset(_name(node) for node in root.named_children if node.type == "mod_item")
        has_main = any(node.type == "function_item" and _name(node) == b"main" for node in root.named_children)
        if not (names or conditional or has_main or (generated and TEST.search(text.encode()))):
            raise ValueError(f"tests given as text must have functions with #[test] or a fn main, got {text[:200]!r}")
        as_main = has_main and not (names or conditional)
        return cls(text, tuple(names), tuple(conditional), bool(generated), as_main, modules)

    @property
    def must_be_listed(self) -> bool:
        """Whether only the built test program knows which tests there are. Otherwise missing tests fail when run."""
        return self.generated or bool(self.conditional)

    def published(self, listed: Collection[str]) -> tuple[list[str], list[str]]:
        """Return the published tests among the listed ones, and those that are missing in the list."""
        missing = [name for name in self.names if name not in listed]
        if self.generated:
            return list(listed), missing
        return [name for name in (*self.names, *self.conditional) if name in listed], missing

    def behind(self, code: bytes) -> bytes:
        """Return the code, with its own tests blanked so that line numbers stay, followed by these tests."""
        whole = code + b"\n" + self.text.encode()
        spans = []
        for _, node, attributes, _ in _items(Parser(RUST).parse(whole).root_node):
            if node.end_byte > len(code) or node.has_error:
                continue
            outer = [node_bytes(attribute) for attribute in attributes]
            own = any(CFG_TEST.fullmatch(attribute) for attribute in outer) or _is_test(attributes)
            # Two modules with the same name do not compile; keep the published one.
            own |= node.type == "mod_item" and parent_of(node).type == "source_file" and _name(node) in self.modules
            own |= (
                self.has_main
                and node.type == "function_item"
                and parent_of(node).type == "source_file"
                and (_name(node) == b"main")
            )
            if own:
                spans.append((min(part.start_byte for part in (*attributes, node)), node.end_byte))
            elif node.type == "macro_definition" or _calls_a_macro(node):
                spans += [
                    (node.start_byte + found.start(), node.start_byte + found.end())
                    for found in TEST.finditer(node_bytes(node))
                ]
        return _blank(whole, spans)


def without_attributes_of_the_program(code: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the code without the attributes that it cannot keep as part of a larger program, and a note on each."""
    if not OF_THE_PROGRAM.search(code):
        return code, ()
    found = QueryCursor(ATTRIBUTES).captures(Parser(RUST).parse(code).root_node).get("attribute", [])
    taken = [node for node in found if OF_THE_PROGRAM.search(STRINGS.sub(b"", node_bytes(node)))]
    taken.sort(key=lambda node: node.start_byte)
    notes = tuple(f"`{node_text(node).strip()}` was removed: with tests it causes errors" for node in taken)
    return _blank(code, [node.byte_range for node in taken]), notes


def _blank(code: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """Return the code with spaces in these spans, except for line breaks."""
    text = bytearray(code)
    for start, end in spans:
        text[start:end] = re.sub(rb"[^\n]", b" ", code[start:end])
    return bytes(text)


def _items(root: Node) -> Iterator[tuple[str, Node, list[Node], bool]]:
    """
    Yield each item of a file and of its modules: path, node, attributes and comments before it, and whether it is
    under a `cfg`.
    """
    waiting = _inside(root, "", False)
    while waiting:
        path, node, attributes, conditional = waiting.pop()
        yield path, node, attributes, conditional
        body = node.child_by_field_name("body") if node.type == "mod_item" else None
        if body is not None:
            waiting += _inside(body, f"{path}::", conditional)


def _inside(items: Node, path: str, condition: bool) -> list[tuple[str, Node, list[Node], bool]]:
    """Return the direct items of a file or module, in reverse order."""
    found, attributes = [], []
    for child in items.named_children:
        if child.type in ("attribute_item", *COMMENTS):
            attributes.append(child)
            continue
        conditional = condition or any(
            re.match(rb"#\s*\[\s*cfg", attribute.text) and not CFG_TEST.fullmatch(attribute.text)
            for attribute in attributes
        )
        found.append((path + _name(child).decode(), child, attributes, conditional))
        attributes = []
    return found[::-1]


def _name(node: Node) -> bytes:
    name = node.child_by_field_name("name")
    return b"" if name is None else node_bytes(name)


def _is_test(attributes: list[Node]) -> bool:
    return any(TEST.fullmatch(node_bytes(attribute)) for attribute in attributes)


def _calls_a_macro(node: Node) -> bool:
    """Whether an item is a macro invocation."""
    if node.type == "expression_statement":
        return any(child.type == "macro_invocation" for child in node.named_children)
    return node.type == "macro_invocation"


def listed_tests(stdout: str) -> list[str]:
    """Return the names of tests in the output of `--list`."""
    return LISTED.findall(stdout)


def passed_of_libtest(stdout: str) -> int | None:
    """Return the number of passed tests in the output of libtest; None unless it has exactly one summary."""
    summaries = SUMMARY.findall(stdout)
    return int(summaries[0][1]) if len(summaries) == 1 else None


def passed_by_name(stdout: str) -> set[str]:
    """Return the names of the tests of a batch that passed."""
    return {name for name, result in TEST_LINE.findall(stdout) if result == "ok"}


def of_module(listed: Collection[str], module: str) -> list[str]:
    """Return the tests of one module of a batch without their prefix, which is the module's path and `::`."""
    return [name.removeprefix(module) for name in listed if name.startswith(module)]
