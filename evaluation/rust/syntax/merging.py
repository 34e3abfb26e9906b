"""
Merging of a benchmark problem, which ends with an open function, and the code of an answer into one crate.

An answer may repeat the function or have only its body, add imports and helpers before or after it, and add a `main`
and tests. Names defined in both are taken from the answer; tests, and a `main` that is not asked for, are taken from
the benchmark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import RUST
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.nodes import field, node_bytes

_TYPES = {"struct_item", "enum_item", "union_item", "type_item", "trait_item", "mod_item"}
_VALUES = {"function_item", "const_item", "static_item"}
_ATTACHED = {"attribute_item", "line_comment", "block_comment"}


@dataclass(frozen=True)
class _Import:
    """One import of a `use`: its path and its name; a glob has no name."""

    path: str
    name: str | None


def merged_program(opening: str, code: str, tests: str = "") -> str:
    """
    Return the program, without the tests, which are appended later.

    Args:
        opening: Source of the problem: imports, types, helpers, and the function up to its open brace.
        code: Source of the answer: the function, or its body with or without the closing brace.
        tests: Source of the tests. Items that it defines are left out of the answer.

    Raises:
        ValueError: `opening` does not end with an open function.
    """
    problem = _items(opening + "\n}")
    if not problem or problem[-1].type != "function_item":
        raise ValueError(f"opening must end with a function's open brace, got {opening[-80:]!r}")
    function = problem.pop()
    if not any(item.type == "function_item" and _name(item) == _name(function) for item in _items(code)):
        start = min(node.start_byte for node in [function, *_attached(function)])
        signature = _encoded(opening)[start:].decode("utf-8", "surrogatepass")
        # A line comment at the end must not swallow the brace.
        code = signature + code + ("\n}\n" if completed_function(signature, code) is None else "\n")
    reserved = set().union(*map(_defined, _items(tests)), set() if _name(function) == "main" else {("value", "main")})
    program = _without_tests(code, reserved)
    defined = set().union(*map(_defined, _items(program)))
    # The problem comes after the answer, whose inner attributes must come first.
    return "\n".join([program.rstrip(), *filter(None, (_kept(item, defined) for item in problem))]) + "\n"


def _items(code: str) -> list[Node]:
    root = Parser(RUST).parse(_encoded(code)).root_node
    return [node for node in root.named_children if node.type not in _ATTACHED]


def _encoded(code: str) -> bytes:
    return code.encode("utf-8", "surrogatepass")


def _text(node: Node) -> str:
    return node_bytes(node).decode("utf-8", "surrogatepass")


def _name(item: Node) -> str | None:
    name = item.child_by_field_name("name")
    return None if name is None else _text(name)


def _defined(item: Node) -> set[tuple[str, str]]:
    """Return the namespaces and names that an item defines; an import may be in any namespace."""
    if item.type == "use_declaration":
        names = [found.name for found in _imports(item) if found.name is not None]
        return {(space, name) for name in names for space in ("type", "value")}
    if item.type in _TYPES or item.type in _VALUES:
        return {("type" if item.type in _TYPES else "value", _text(field(item, "name")))}
    return set()


def _kept(item: Node, defined: set[tuple[str, str]]) -> str:
    """Return the source of an item of the problem without the names that the answer defines."""
    if item.type == "use_declaration":
        names = {name for _, name in defined}
        return "\n".join(_as_text(item, [found for found in _imports(item) if found.name not in names]))
    attached = [_text(node) for node in _attached(item) if node.type == "attribute_item"]
    names = {("type", _text(field(item, "type")))} if item.type == "impl_item" else _defined(item)
    return "" if names & defined else "\n".join([*attached, _text(item)])


def _without_tests(code: str, reserved: set[tuple[str, str]]) -> str:
    """Return the code without tests and without the items of these namespaces and names."""
    edits: list[tuple[int, int, str]] = []
    for item in _items(code):
        attached = _attached(item)
        start = attached[0].start_byte if attached else item.start_byte
        if item.type == "use_declaration":
            found = list(_imports(item))
            left = [each for each in found if not {("type", each.name), ("value", each.name)} & reserved]
            if len(left) < len(found):
                edits.append((item.start_byte, item.end_byte, "\n".join(_as_text(item, left))))
        elif _defined(item) & reserved or any(_is_test(node) for node in attached):
            edits.append((start, item.end_byte, ""))
    program = _encoded(code)
    for start, end, text in reversed(edits):
        program = program[:start] + _encoded(text) + program[end:]
    return program.decode("utf-8", "surrogatepass")


def _attached(item: Node) -> list[Node]:
    """Return the attributes and comments directly before an item."""
    found: list[Node] = []
    node = item.prev_named_sibling
    while node is not None and node.type in _ATTACHED:
        found.insert(0, node)
        node = node.prev_named_sibling
    return found


def _is_test(node: Node) -> bool:
    attribute = "".join(_text(node).split())
    return node.type == "attribute_item" and attribute in ("#[test]", "#[cfg(test)]")


def _as_text(item: Node, imports: Sequence[_Import]) -> list[str]:
    visibility = next((_text(node) + " " for node in item.children if node.type == "visibility_modifier"), "")
    return [f"{visibility}use {found.path};" for found in imports]


def _imports(item: Node) -> Iterator[_Import]:
    """Yield the imports of a `use` one by one."""
    argument = item.child_by_field_name("argument")
    if argument is not None:
        yield from _leaves(argument, "")


def _leaves(tree: Node, prefix: str) -> Iterator[_Import]:
    if tree.type == "use_list":
        for each in tree.named_children:
            if each.type not in _ATTACHED:
                yield from _leaves(each, prefix)
    elif tree.type == "scoped_use_list":
        path = tree.child_by_field_name("path")
        inner = f"{prefix}{'' if path is None else _text(path)}::"
        yield from _leaves(field(tree, "list"), inner)
    elif tree.type == "use_as_clause":
        (path,) = _leaves(field(tree, "path"), prefix)
        alias = _text(field(tree, "alias"))
        yield _Import(f"{path.path} as {alias}", None if alias == "_" else alias)
    elif tree.type == "use_wildcard":
        yield _Import(prefix + _text(tree), None)
    elif tree.type == "self" and prefix:
        path = prefix.removesuffix("::")
        yield _Import(path, path.rpartition("::")[2])
    else:
        path = prefix + _text(tree)
        yield _Import(path, path.rpartition("::")[2])
