"""Rewriting of the assertions in a test's body as cases of hidden tests."""

from collections.abc import Iterator

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.nodes import field, node_bytes, walk

COMPARISONS = {b"assert_eq": b"==", b"assert_ne": b"!="}
ASSERTIONS = {b"assert", *COMPARISONS}
# Inside a case these would leave its closure instead of the test, or assign to a variable that it borrows.
LEAVING = {b"?", b"return", b"break", b"continue", b"await", b"yield", b"="}
# A panic in these may be caught, happen in another thread, or never happen.
ELSEWHERE = {"closure_expression", "async_block", "gen_block", "const_block", "macro_definition"}

Edit = tuple[int, int, bytes]
"""Start, end and replacement of a part of a text, in bytes."""


def cases(body: Node) -> Iterator[Edit]:
    """
    Yield the edits that turn assertions into cases: `assert_eq!(a, b, "message")` becomes `check!((a) == (b))`.

    Assertions that could have another meaning as a case are left: those in closures and inner items, and those with
    `?` or another way out of the function. Line breaks are kept, so that line numbers do not change.
    """
    for node in walk(body, _is_elsewhere, lambda node: node.type == "macro_invocation"):
        if node.type == "macro_invocation":
            yield from _case(node)


def _is_elsewhere(node: Node) -> bool:
    return node.type in ELSEWHERE or node.type.endswith("_item")


def _case(macro: Node) -> Iterator[Edit]:
    name = node_bytes(field(macro, "macro")).replace(b" ", b"").rpartition(b"::")[2]
    tokens = macro.named_children[-1]
    if name not in ASSERTIONS or tokens.type != "token_tree" or node_bytes(tokens)[:1] != b"(":
        return
    if any(token.text in LEAVING for token in walk(tokens)):
        return
    start, inner = tokens.start_byte + 1, node_bytes(tokens)[1:-1]
    commas = [child.start_byte - start for child in tokens.children if child.type == ","] + [len(inner)]
    # A comma may be between type arguments, so both sides must parse as expressions.
    middles = [None] if name == b"assert" else [end for end in commas if _is_expression(inner[:end])]
    for middle in middles:
        first = 0 if middle is None else middle + 1
        end = next((end for end in commas if end > first and _is_expression(inner[first:end])), None)
        if end is not None:
            opened, closed = (b"(", b")") if middle is None else (b"((", b"))")
            yield macro.start_byte, start, b"check!" + opened
            if middle is not None:
                yield start + middle, start + middle + 1, b") %s (" % COMPARISONS[name]
            yield start + end, tokens.end_byte, closed + b"\n" * inner[end:].count(b"\n")
            return


def _is_expression(text: bytes) -> bool:
    return bool(text.strip()) and not Parser(RUST).parse(b"fn f() { (%s); }" % text).root_node.has_error
