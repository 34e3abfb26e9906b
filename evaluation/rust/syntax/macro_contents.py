"""The arguments and the expansions of macros, parsed as code as far as possible."""

from collections.abc import Iterator

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.nodes import Nodes, field, node_bytes, node_text, parent_of, walk

MACROS = ("macro_definition", "macro_invocation")
# The tokens of a macro may be items, associated items, statements, arguments or a type.
NAME = b"nanochat_context"
CONTEXTS = (
    (b"", b""),
    (b"trait " + NAME + b" {\n", b"\n}"),
    (b"fn f() {\n", b"\n}"),
    (b"fn f() { f(\n", b"\n) }"),
    (b"type " + NAME + b" =\n", b"\n;"),
)
EXPRESSIONS = {"expr", "block", "stmt"}  # fragment specifiers of variables that may be any code
READINGS = 6  # maximum number of bytes to parse, in sizes of the code


def macro_contents(nodes: Nodes, size: int) -> Iterator[tuple[Node, Node | None]]:
    """
    Yield each macro definition or invocation with the root of its parsed contents, or None if there is too much to
    parse.

    Variables are parsed as names, or as macro invocations if they stand for expressions; repetitions are parsed once.
    Nested invocations are parsed as well and belong to the outermost one. Each level is parsed again, hence the limit.

    Args:
        nodes: Nodes of the code by type.
        size: Number of bytes of the code.
    """
    waiting = [(macro, macro) for kind in MACROS for macro in nodes[kind]]
    seen, left = set(), READINGS * size
    while waiting:
        outermost, macro = waiting.pop()
        for text in _texts(macro):
            if text in seen:
                continue
            seen.add(text)
            left -= len(text)
            if left < 0:
                yield outermost, None
                return
            for root in _readings(text):
                yield outermost, root
                waiting += [(outermost, within) for within in walk(root) if within.type in MACROS]


def _readings(text: bytes) -> list[Node]:
    """Parse a text in the first context in which it has no errors, otherwise in all contexts."""
    roots = []
    for before, after in CONTEXTS:
        root = Parser(RUST).parse(before + text + after).root_node
        if not root.has_error:
            return [root]
        roots.append(root)
    return roots


def _texts(macro: Node) -> Iterator[bytes]:
    bindings = [node for node in walk(macro) if node.type == "token_binding_pattern"]
    expressions = {
        node_bytes(field(binding, "name")) for binding in bindings if node_text(field(binding, "type")) in EXPRESSIONS
    }
    for child in macro.named_children:
        tree = child.child_by_field_name("right") if child.type == "macro_rule" else child
        if tree is not None and tree.type == "token_tree":
            yield b"".join(_pieces(tree, expressions))[1:-1]


def _pieces(tree: Node, expressions: set[bytes]) -> Iterator[bytes]:
    """Yield the parts of a token tree's text, with names for variables and without the marks of repetitions."""
    text, done = node_bytes(tree), 0
    for node in walk(tree):
        start, end = node.start_byte - tree.start_byte, node.end_byte - tree.start_byte
        if node.type == "metavariable":
            name = node_bytes(node)
            instead = name[1:] + (b"!()" if name in expressions else b"")
        elif node.type == "token_repetition":
            end, instead = start + 2, b" "
        elif node.type == ")" and parent_of(node).type == "token_repetition":
            end, instead = parent_of(node).end_byte - tree.start_byte, b" "
        else:
            continue
        yield text[done:start]
        yield instead
        done = end
    yield text[done:]
