"""Turns published tests into hidden ones: every assertion becomes a case."""

from collections.abc import Iterator

from tree_sitter import Node, Parser

from evaluation.rust.harness import HiddenTests
from evaluation.rust.syntax import RUST

COMPARISONS = {b"assert_eq": b"==", b"assert_ne": b"!=", b"debug_assert_eq": b"==", b"debug_assert_ne": b"!="}
CONDITIONS = {b"assert", b"debug_assert"}
# What only makes sense beside the candidate.
DROPPED = ("use super::*", "use super :: *")


def as_hidden_tests(signature: str, tests: str, allow_unsafe: bool = False) -> HiddenTests:
    """Hidden tests made of functions with `#[test]`, or of a `fn main`, and their assertions.

    Helper functions and modules beside the tests are kept. Whoever publishes tests must expect that candidates have
    seen them; but they can no longer be cheated by what only shares a crate with them.

    Args:
        signature: as in `HiddenTests`.
        tests: the text, as it would be appended to a candidate.

    Raises `ValueError` when there is no test with an assertion in it.
    """
    code = tests.encode()
    bodies, helpers = [], []
    for node, is_test in _items(Parser(RUST).parse(code).root_node):
        if is_test:
            bodies.append(_with_cases(node.child_by_field_name("body")))
        elif not node.text.decode().startswith(DROPPED):
            helpers.append(node.text)
    checker = b"\n".join([*helpers, *bodies]).decode()
    if "check!" not in checker:
        raise ValueError(f"tests must have functions with #[test], or a fn main, with assertions, got {tests[:200]!r}")
    return HiddenTests(signature, checker, allow_unsafe)


def _items(root: Node) -> Iterator[tuple[Node, bool]]:
    """The items of a file and of its modules for tests, and whether each is a test."""
    attributes: list[bytes] = []
    for node in root.named_children:
        if node.type == "attribute_item":
            attributes.append(node.text.replace(b" ", b""))
            continue
        if node.type == "mod_item" and b"#[cfg(test)]" in attributes:
            yield from _items(node.child_by_field_name("body"))
        elif node.type == "function_item":
            main = node.child_by_field_name("name").text == b"main"
            yield node, main or b"#[test]" in attributes
        elif node.type.endswith(("_item", "_declaration", "_definition")):
            yield node, False
        attributes = []


def _with_cases(body: Node) -> bytes:
    """The text of a function's body, its assertions replaced by cases."""
    edits = []
    waiting = [body]
    while waiting:
        node = waiting.pop()
        case = _case(node) if node.type == "macro_invocation" else None
        if case is None:
            waiting += node.children
        else:
            edits.append((node.start_byte - body.start_byte, node.end_byte - body.start_byte, case))
    text = body.text
    for start, end, case in sorted(edits, reverse=True):
        text = text[:start] + case + text[end:]
    for dropped in DROPPED:
        text = text.replace(dropped.encode() + b";", b"")
    return text


def _case(macro: Node) -> bytes | None:
    """The case that an assertion stands for; None for other macros."""
    name = macro.child_by_field_name("macro").text
    tokens = macro.named_children[-1]
    if tokens.type != "token_tree" or name not in (*COMPARISONS, *CONDITIONS):
        return None
    start = tokens.start_byte
    inner = tokens.text[1:-1]
    commas = [child.start_byte - start - 1 for child in tokens.children if child.type == ","] + [len(inner)]
    # A comma may be one between type arguments: sides must be expressions.
    if name in CONDITIONS:
        ends = [end for end in commas if _is_expression(inner[:end])]
        return b"check!(%s)" % inner[: ends[0]].strip() if ends else None
    for middle in commas:
        ends = [end for end in commas if end > middle and _is_expression(inner[middle + 1 : end])]
        if ends and _is_expression(inner[:middle]):
            left, right = inner[:middle].strip(), inner[middle + 1 : ends[0]].strip()
            return b"check!((%s) %s (%s))" % (left, COMPARISONS[name], right)
    return None


def _is_expression(text: bytes) -> bool:
    return bool(text.strip()) and not Parser(RUST).parse(b"fn f() { (%s); }" % text).root_node.has_error
