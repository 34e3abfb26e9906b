"""Tests given as text, which stand behind the candidate in its crate, and what their harness prints."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from tree_sitter import Node, Parser

from evaluation.rust.compiler import MODULE
from evaluation.rust.syntax import RUST


@dataclass(frozen=True)
class AppendedTests:
    """Tests that stand behind the candidate in one file, as public benchmarks have them.

    Either functions with `#[test]`, or a `fn main` that ends with status 0 when they pass.
    """

    text: str
    total: int
    """How many there are; 1 for a `fn main`."""
    has_main: bool
    own: int = 0
    """How many the candidate brings itself: they are run too, and must pass."""

    @classmethod
    @lru_cache(maxsize=1024)
    def read(cls, text: str) -> "AppendedTests":
        """Raises `ValueError` when the text has neither."""
        # What begins with `}` ends the candidate's function.
        code = re.sub(r"^\s*\}", "", text).encode()
        root = Parser(RUST).parse(code).root_node
        total = _count_tests(root)
        if total:
            return cls(text, total, False)
        if any(n.type == "function_item" and n.child_by_field_name("name").text == b"main" for n in root.children):
            return cls(text, 1, True)
        raise ValueError(f"tests given as text must have functions with #[test], or a fn main, got {text[:200]!r}")

    def behind(self, code: bytes) -> "AppendedTests":
        """These tests, appended to this code."""
        return self if self.has_main else replace(self, own=_count_tests(Parser(RUST).parse(code).root_node))


def _count_tests(node: Node) -> int:
    """Functions with `#[test]`, but for those of a feature: none is switched on."""
    total, attributes = 0, []
    for child in node.named_children:
        if child.type == "attribute_item":
            attributes.append(child.text.replace(b" ", b""))
            continue
        if child.type in ("line_comment", "block_comment"):
            continue
        if not any(attribute.startswith(b"#[cfg(feature") for attribute in attributes):
            if child.type == "function_item":
                total += b"#[test]" in attributes
            elif child.type in ("mod_item", "declaration_list"):
                total += _count_tests(child)
        attributes = []
    return total


SUMMARY = re.compile(r"^test result: (\w+)\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)
TEST_LINE = re.compile(rf"^test {MODULE}(\d+)::\S+(?: - should panic)? \.\.\. (\w+)", re.MULTILINE)


def passed_of_libtest(stdout: str) -> int | None:
    """How many tests passed; None unless there is exactly one summary."""
    summaries = SUMMARY.findall(stdout)
    return int(summaries[0][1]) if len(summaries) == 1 else None


def passed_by_module(stdout: str) -> dict[int, int]:
    """How many tests passed of each module of a batch."""
    passed: dict[int, int] = {}
    for module, result in TEST_LINE.findall(stdout):
        passed[int(module)] = passed.get(int(module), 0) + (result == "ok")
    return passed
