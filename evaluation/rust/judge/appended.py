"""Tests given as text, which stand behind the candidate in its crate, as public benchmarks have them.

What counts is the published tests, by name. The built harness lists what it holds (`--list`), so tests that a macro
makes or a `cfg` switches on are known; those that the text defines in any case must be in that list, so a candidate
cannot switch them off. The candidate's own tests are taken out before it is compiled: they are not counted, cannot
fail, and their names cannot collide with the published ones.
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
# What a text that is compiled as a part of a program cannot keep: lints that become errors, because more stands beside
# it than its author wrote, and what names or shapes the program, which is ours to say.
OF_THE_PROGRAM = re.compile(rb"\b(?:deny|forbid)\s*\(|\bcrate_name\b|\bno_main\b")
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
LISTED = re.compile(r"^(\S+): test$", re.MULTILINE)
SUMMARY = re.compile(r"^test result: (\w+)\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)
TEST_LINE = re.compile(rf"^test ({MODULE}\d+::\S+)(?: - should panic)? \.\.\. (\w+)", re.MULTILINE)


@dataclass(frozen=True)
class AppendedTests:
    """Tests that stand behind the candidate in one file.

    Either functions with `#[test]`, or a `fn main` that ends with status 0 when they pass.
    """

    text: str
    names: tuple[str, ...]
    """Paths of the tests that are there in any case; empty for a `fn main`."""
    conditional: tuple[str, ...]
    """Paths of those under a `cfg`."""
    generated: bool
    """Calls of macros stand where items do, and may make more."""
    has_main: bool
    modules: frozenset[bytes]
    """Names of the modules at the top level."""

    @classmethod
    @lru_cache(maxsize=1024)
    def read(cls, text: str) -> "AppendedTests":
        """Raises `ValueError` when the text has neither."""
        # What begins with `}` ends the candidate's function.
        root = Parser(RUST).parse(re.sub(r"^\s*\}", "", text).encode()).root_node
        names, conditional, generated = [], [], []
        for path, node, attributes, condition in _items(root):
            if node.type == "function_item" and _is_test(attributes):
                (conditional if condition else names).append(path)
            generated += [node] if _calls_a_macro(node) else []
        modules = frozenset(_name(node) for node in root.named_children if node.type == "mod_item")
        has_main = any(node.type == "function_item" and _name(node) == b"main" for node in root.named_children)
        if not (names or conditional or has_main or (generated and TEST.search(text.encode()))):
            raise ValueError(f"tests given as text must have functions with #[test], or a fn main, got {text[:200]!r}")
        as_main = has_main and not (names or conditional)
        return cls(text, tuple(names), tuple(conditional), bool(generated), as_main, modules)

    @property
    def must_be_listed(self) -> bool:
        """Whether only the built harness knows which tests there are. Others that are not built do not pass."""
        return self.generated or bool(self.conditional)

    def published(self, listed: Collection[str]) -> tuple[list[str], list[str]]:
        """The published ones among the tests that a harness lists, and those that it should list and does not."""
        missing = [name for name in self.names if name not in listed]
        if self.generated:
            return list(listed), missing
        return [name for name in (*self.names, *self.conditional) if name in listed], missing

    def behind(self, code: bytes) -> bytes:
        """These tests, appended to the code; of the code what its own tests are is blank, so that lines stay."""
        whole = code + b"\n" + self.text.encode()
        spans = []
        for _, node, attributes, _ in _items(Parser(RUST).parse(whole).root_node):
            if node.end_byte > len(code) or node.has_error:
                continue
            outer = [node_bytes(attribute) for attribute in attributes]
            own = any(CFG_TEST.fullmatch(attribute) for attribute in outer) or _is_test(attributes)
            # Two modules of a name do not compile; the published one is wanted.
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
    """The code with those attributes blank that fail because it is a part of our program, and a note on each."""
    if not OF_THE_PROGRAM.search(code):
        return code, ()
    found = QueryCursor(ATTRIBUTES).captures(Parser(RUST).parse(code).root_node).get("attribute", [])
    taken = [node for node in found if OF_THE_PROGRAM.search(STRINGS.sub(b"", node_bytes(node)))]
    taken.sort(key=lambda node: node.start_byte)
    notes = tuple(f"`{node_text(node).strip()}` was taken off: beside tests it makes errors" for node in taken)
    return _blank(code, [node.byte_range for node in taken]), notes


def _blank(code: bytes, spans: Sequence[tuple[int, int]]) -> bytes:
    """The code with spaces there, but for the ends of lines."""
    text = bytearray(code)
    for start, end in spans:
        text[start:end] = re.sub(rb"[^\n]", b" ", code[start:end])
    return bytes(text)


def _items(root: Node) -> Iterator[tuple[str, Node, list[Node], bool]]:
    """Each item of a file and of its modules: its path, itself, the attributes and comments before it, and whether
    a `cfg` may leave it out.
    """
    waiting = _inside(root, "", False)
    while waiting:
        path, node, attributes, conditional = waiting.pop()
        yield path, node, attributes, conditional
        body = node.child_by_field_name("body") if node.type == "mod_item" else None
        if body is not None:
            waiting += _inside(body, f"{path}::", conditional)


def _inside(items: Node, path: str, condition: bool) -> list[tuple[str, Node, list[Node], bool]]:
    """What stands directly in a file or module, the last first."""
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
    """Whether an item is a macro's call."""
    if node.type == "expression_statement":
        return any(child.type == "macro_invocation" for child in node.named_children)
    return node.type == "macro_invocation"


def listed_tests(stdout: str) -> list[str]:
    """The names that a harness prints with `--list`."""
    return LISTED.findall(stdout)


def passed_of_libtest(stdout: str) -> int | None:
    """How many tests passed; None unless there is exactly one summary."""
    summaries = SUMMARY.findall(stdout)
    return int(summaries[0][1]) if len(summaries) == 1 else None


def passed_by_name(stdout: str) -> set[str]:
    """The tests of a batch that passed, by their names in it."""
    return {name for name, result in TEST_LINE.findall(stdout) if result == "ok"}


def of_module(listed: Collection[str], module: str) -> list[str]:
    """The tests of one module of a batch, given by its path with `::`, by the names they have without it."""
    return [name.removeprefix(module) for name in listed if name.startswith(module)]
