"""
Refusals of bodies for functions of a crate, in addition to the rules for rewards.

A body is judged in the crate that has its tests. It must change nothing outside of its function, and it may use names
that the file around it has imported, which the rules for rewards do not see.
"""

from collections.abc import Iterator, Sequence

from tree_sitter import Node, Parser

from evaluation.rust.judge.refusals import FORBIDDEN_PATHS, refusals
from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.nodes import field, node_bytes, node_text, walk
from evaluation.rust.verdict import Diagnostic

# Modules of the standard library that a file often imports.
MODULES = {path for path in FORBIDDEN_PATHS if "::" not in path} & {"process", "fs", "net", "env", "os", "arch"}
ITEMS = {
    "impl_item": "has an `impl`, which also changes code outside of the function",
    "mod_item": "has a module",
    "macro_definition": "defines a macro, which may change code outside of the function",
    "foreign_mod_item": "declares foreign code",
    "union_item": "declares a union",
}


def hole_refusals(body: str, file: bytes) -> list[Diagnostic]:
    """
    Return the reasons to refuse a body.

    Args:
        body: The body with its braces, which are balanced.
        file: The file that has the function.
    """
    code = f"fn hole() {body}\n".encode()
    found = [refusal.diagnostic() for refusal in refusals(code)]
    root = Parser(RUST).parse(code).root_node
    found += [Diagnostic(None, "refusal", reason, *_place(node)) for node, reason in _changes(root, file)]
    return found


def _place(node: Node) -> tuple[int, int]:
    row, column = node.start_point
    return row + 1, column + 1


def _changes(root: Node, file: bytes) -> Iterator[tuple[Node, str]]:
    names = _forbidden_imports(Parser(RUST).parse(file).root_node)
    for node in walk(root):
        if node.type in ITEMS:
            yield node, ITEMS[node.type]
        elif node.type == "attribute_item" and b"macro_export" in node_bytes(node):
            yield node, "exports a macro"
        elif node.type in ("identifier", "type_identifier") and node_text(node) in names:
            yield node, f"uses `{node_text(node)}`, which {names[node_text(node)]}"
        elif node.type == "scoped_identifier":
            first = node_text(node).partition("::")[0].strip()
            if first in MODULES:
                yield node, f"{FORBIDDEN_PATHS[first]}: `{node_text(node)}`"


def _forbidden_imports(root: Node) -> dict[str, str]:
    """Return the names in a file that stand for forbidden parts of the standard library, with the reasons."""
    found: dict[str, str] = {}
    for node in walk(root, whole=lambda node: node.type == "block"):
        if node.type == "use_declaration":
            for path, name in _imports(field(node, "argument"), ()):
                for end in range(1, len(path)):
                    reason = FORBIDDEN_PATHS.get("::".join(path[1 : end + 1]))
                    if path[0] in ("std", "core", "alloc") and reason:
                        found[name] = reason
    return found


def _imports(node: Node, prefix: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the path and the local name of everything that the argument of a `use` imports."""
    waiting = [(node, tuple(prefix))]
    while waiting:
        node, before = waiting.pop()
        if node.type == "scoped_use_list":
            path = node.child_by_field_name("path")
            waiting.append((field(node, "list"), before + (() if path is None else _segments(path))))
        elif node.type == "use_list":
            waiting += [(child, before) for child in node.named_children]
        elif node.type == "use_as_clause":
            yield before + _segments(field(node, "path")), node_text(field(node, "alias"))
        elif node.type in ("scoped_identifier", "identifier", "self", "crate"):
            path = before + _segments(node)
            path = path[:-1] if path[-1] == "self" and len(path) > 1 else path
            yield path, path[-1]


def _segments(node: Node) -> tuple[str, ...]:
    return tuple(part.strip() for part in node_text(node).split("::") if part.strip())
