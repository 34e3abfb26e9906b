"""
Prompts of hole tasks: the part of a file that a function is written with, up to its opening brace.

The prompt has the function's documentation and signature, the heads of the impl and modules around it, the imports,
the definitions that the signature names and, as far as there is room, the items directly before the
function. Tests are left out. `// ...` marks where something is left out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust.crates.holes.functions import CFG_TEST, Function, Source
from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import name_of, node_text

MAX_CHARACTERS = 6000  # about 2,000 tokens
DEFINITIONS = {"struct_item", "enum_item", "union_item", "type_item", "trait_item", "const_item", "static_item"}
LEFT_OUT = "// ...\n"
TEST = re.compile(r"#\[\s*(?:\w+::)*test\b|#\[\s*bench\b")


@dataclass(frozen=True)
class Piece:
    """An item with the comments and attributes before it; whole lines of a file."""

    node: Node
    start: int
    end: int
    depth: int
    """Number of modules and impls around it."""
    before: bool
    """Whether it is before the function, in a part of the file that is open there."""


def hole_prompt(source: Source, function: Function, title: str, most: int = MAX_CHARACTERS) -> str | None:
    """
    Return the prompt for a function, which ends with its opening brace, or None if the least prompt is too long.

    Args:
        source: The file.
        function: A function of it.
        title: The first line, as a comment.
        most: Maximum number of characters.
    """
    code = source.code
    pieces, heads = _split(code, function)
    begin = code.rfind(b"\n", 0, function.start) + 1
    own = code[begin : function.body_start].decode() + "{"
    parts: list[tuple[int, int, str]] = [(begin, function.body_start + 1, own), *heads]
    left = most - sum(len(text) for _, _, text in parts) - len(title) - len("// \n") - len(LEFT_OUT)
    if left < 0:
        return None
    for piece in _by_importance(pieces, function, heads):
        text = code[piece.start : piece.end].decode()
        if len(text) + len(LEFT_OUT) <= left:
            parts.append((piece.start, piece.end, text))
            left -= len(text) + len(LEFT_OUT)
        elif piece.before and piece.node.type not in (*DEFINITIONS, "use_declaration"):
            break
    # Definitions from behind the function come first: the prompt ends with the function.
    behind = sorted(part for part in parts if part[0] > begin)
    texts = [text + LEFT_OUT for _, _, text in behind]
    return f"// {title}\n" + "".join(texts) + _joined(code, sorted(part for part in parts if part[0] <= begin))


def _joined(code: bytes, parts: Sequence[tuple[int, int, str]]) -> str:
    texts, position = [], 0
    for start, end, text in parts:
        between = code[position:start]
        texts.append(LEFT_OUT if between.strip() else "\n" if between.count(b"\n") and position else "")
        texts.append(text)
        position = end
    return "".join(texts)


def _split(code: bytes, function: Function) -> tuple[list[Piece], list[tuple[int, int, str]]]:
    """Return the items of a file that are no tests, and the heads of the modules and impls around the function."""
    pieces: list[Piece] = []
    heads: list[tuple[int, int, str]] = []
    container: Node | None = Parser(RUST).parse(code).root_node
    depth = 0
    while container is not None:
        inside = None
        for node, start in _items(container):
            end = _line_end(code, node.end_byte)
            if node.start_byte <= function.body_start < node.end_byte:
                body = node.child_by_field_name("body")
                if node.type in ("mod_item", "impl_item", "trait_item") and body is not None:
                    heads.append((start, body.start_byte + 2, code[start : body.start_byte + 1].decode() + "\n"))
                    inside = body
            else:
                pieces.append(Piece(node, start, end, depth, end <= function.body_start))
        container, depth = inside, depth + 1
    return pieces, heads


def _items(container: Node) -> Iterator[tuple[Node, int]]:
    """Yield the items of a file or a block that are no tests, each with the start of its first line."""
    before: list[Node] = []
    for node in container.named_children:
        if node.type == "attribute_item" or node.type in COMMENTS:
            before.append(node)
            continue
        attributes = [node_text(each) for each in before if each.type == "attribute_item"]
        first = before[0] if before else node
        before = []
        if node.type == "inner_attribute_item" or any(CFG_TEST.fullmatch(a) or TEST.match(a) for a in attributes):
            continue
        yield node, first.start_byte - first.start_point[1]


def _line_end(code: bytes, position: int) -> int:
    end = code.find(b"\n", position)
    return len(code) if end < 0 else end + 1


def _by_importance(
    pieces: Sequence[Piece], function: Function, heads: Sequence[tuple[int, int, str]]
) -> Iterator[Piece]:
    """Yield imports, definitions that the signature names, and then the items before the function, nearest first."""
    named = set(re.findall(r"\w+", function.head + "".join(text.rpartition("\n\n")[2] for _, _, text in heads)))
    imports = [piece for piece in pieces if piece.node.type == "use_declaration" and piece.before]
    # One behind the function is moved, which it cannot be out of an impl.
    movable = [piece for piece in pieces if piece.node.type in DEFINITIONS and (piece.before or piece.depth == 0)]
    defined = [piece for piece in movable if name_of(piece.node) in named]
    yield from imports
    yield from defined
    chosen = {(piece.start, piece.end) for piece in (*imports, *defined)}
    for piece in sorted(pieces, key=lambda piece: (-piece.depth, -piece.start)):
        if piece.before and (piece.start, piece.end) not in chosen:
            yield piece
