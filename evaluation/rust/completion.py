"""Where a completion ends the function that its prompt began."""

from collections.abc import Iterator

from tree_sitter import Node, Parser

from evaluation.rust.syntax import RUST


def completed_function(prompt: str, completion: str) -> str | None:
    """
    The completion up to the brace that closes the function which the prompt leaves open; None while it is open.

    Braces in strings, characters and comments do not count, and neither does how the lines are indented. A prompt that
    leaves nothing open is completed by the first item with a body.
    """
    start = len(prompt.encode("utf-8", "surrogatepass"))
    code = (prompt + completion).encode("utf-8", "surrogatepass")
    braces = list(_braces(Parser(RUST).parse(code).root_node))
    depth = sum(step for offset, step in braces if offset < start)
    closed = max(depth - 1, 0)
    for offset, step in braces:
        if offset < start:
            continue
        depth += step
        if step < 0 and depth <= closed:
            return code[start : offset + 1].decode("utf-8", "surrogatepass")
    return None


def _braces(root: Node) -> Iterator[tuple[int, int]]:
    """Offset of each brace that is a token, and 1 or -1; also where the code does not parse."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.child_count:
            stack.extend(reversed(node.children))
        elif node.type in ("{", "}") and not node.is_missing:
            yield node.start_byte, 1 if node.type == "{" else -1
