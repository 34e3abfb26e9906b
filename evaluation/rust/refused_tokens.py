"""What is refused of a code that the grammar cannot read though the compiler can: rules on its tokens alone.

The tokens of a whole file are those of a macro's call: `tokens{ ... }` parses wherever the brackets match. Where the
rules on the tree need more than tokens tell, these refuse more.
"""

import re
from collections.abc import Sequence

from tree_sitter import Node, Parser

from evaluation.rust.harness import HiddenTests
from evaluation.rust.nodes import Found, name_of, walk
from evaluation.rust.refused_types import COMPARISONS, JUDGEMENTS
from evaluation.rust.syntax import COMMENTS, RUST, TEXTS

BEFORE, BEHIND = b"tokens!{\n", b"\n}"
LINES_BEFORE = 1
SCRIPT = re.compile(rb"(\xef\xbb\xbf)?#!(?!\s*\[)")


def read_tokens(code: bytes) -> list[Node] | None:
    """The tokens but for comments and texts, `LINES_BEFORE` lines too low; None where even these cannot be told.

    The first line of a script is none of Rust, and could hide the rest: then they cannot be told either.
    """
    # `~` is a token that the grammar does not know; it has no meaning, and is only ever given to macros.
    root = Parser(RUST).parse(BEFORE + code.replace(b"~", b"-") + BEHIND).root_node
    if root.has_error or [node.type for node in root.named_children] != ["macro_invocation"] or SCRIPT.match(code):
        return None
    leaves = walk(root, lambda node: node.type in COMMENTS or node.type in TEXTS)
    return [node for node in leaves if not node.child_count][3:-1]


def token_rules(
    tokens: Sequence[Node], root: Node, tests: HiddenTests | None, standard_macros: set[str], allowed: tuple[set, set]
) -> Found:
    """What the rules on trees would say, as far as tokens tell; in doubt they refuse.

    Args:
        tokens: of `read_tokens`.
        root: the tree with errors.
        tests: as in `refusals`.
        standard_macros: names that a macro may not have.
        allowed: names of outer and of inner attributes.
    """
    texts = [node.text for node in tokens] + [b""] * 8
    checked = tests is not None and not tests.blank
    yield from _attributes(tokens, texts, *allowed)
    yield from _lifetimes(tokens, texts)
    for index, node in enumerate(tokens):
        word, following = texts[index], texts[index + 1 : index + 3]
        if word == b"mod" and following[1] == b";":
            yield node, "has a module in another file"
        elif word == b"Sized":
            yield node, "has `Sized` where the judge can only read tokens"
        elif word == b"macro_rules" and following[0] == b"!":
            name = following[1].decode("utf-8", "replace").removeprefix("r#")
            if name in standard_macros:
                yield node, f"replaces a macro of the standard library: `{name}`"
            elif not checked:
                yield node, f"defines a macro, which may drop what it is given: `{name}`"
        elif word in (b"if", b"while") and _is_constant(tokens[index + 1 :]):
            yield node, "has a condition that is always the same"
    if checked:
        yield from _equality(tokens, texts, tests)
    elif not _readable(texts, root, tests):
        yield tokens[texts.index(b"fn")], "has functions that the judge cannot read, and nothing checks what they do"


def _attributes(tokens: Sequence[Node], texts: list[bytes], outer: set[str], inner: set[str]) -> Found:
    for index, node in enumerate(tokens):
        if texts[index] != b"#":
            continue
        is_inner = texts[index + 1] == b"!"
        start = index + 2 + is_inner
        end = start
        while end < len(tokens) and (texts[end] == b"::" or tokens[end].type in ("identifier", "default")):
            end += 1
        name = b"".join(texts[start:end]).decode("utf-8", "replace")
        tests_of_its_own = texts[start : start + 5] == [b"cfg", b"(", b"test", b")", b"]"]
        if tests_of_its_own and not is_inner and texts[start + 5] in (b"mod", b"use"):
            continue
        if name not in (inner if is_inner else outer) and not name.startswith("clippy::"):
            yield node, f"has an attribute that solutions do not need: `{name}`"


def _lifetimes(tokens: Sequence[Node], texts: list[bytes]) -> Found:
    found: dict[bytes, list[Node]] = {}
    for index, node in enumerate(tokens):
        if texts[index] == b"lifetime" and index and texts[index - 1] == b":":
            yield node, "makes lifetimes by macros"
        if texts[index] != b"'":
            continue
        is_label = texts[index + 2] == b":" and texts[index + 3] in (b"loop", b"while", b"for", b"{")
        leaves = index and texts[index - 1] in (b"break", b"continue")
        if not is_label and not leaves and texts[index + 1] not in (b"static", b"_"):
            found.setdefault(texts[index + 1], []).append(node)
    for number, (name, places) in enumerate(found.items()):
        if number:
            yield places[0], "has two lifetimes where the judge can only read tokens"
        elif len(places) == 1:
            yield places[0], f"declares a lifetime it never uses: `'{name.decode('utf-8', 'replace')}`"


def _is_constant(following: Sequence[Node]) -> bool:
    for node in following:
        if node.text in (b"{", b"=>"):
            return True
        if node.type in ("identifier", "self", "let"):
            return False
    return False


def _equality(tokens: Sequence[Node], texts: list[bytes], tests: HiddenTests) -> Found:
    demanded = {name.encode() for kind, name in tests.declarations.items if kind != "fn"}
    for index, node in enumerate(tokens):
        if demanded and texts[index] in COMPARISONS and (b"macro_rules" in texts or not _is_derived(texts, index)):
            yield node, f"gives `{node.text.decode()}` by other ways than `derive`"
        elif texts[index] == b"fn" and texts[index + 1] in JUDGEMENTS and "Iterator" in tests.signature:
            yield node, f"replaces how an iterator is judged: `{texts[index + 1].decode()}`"
        elif texts[index] == b"enum" and texts[index + 1] in demanded:
            own = _variants(texts, index)
            for name in re.findall(rf"\b{texts[index + 1].decode()}::([A-Z]\w*)", tests.checker):
                if name.encode() not in own:
                    yield node, f"`{texts[index + 1].decode()}` has no variant `{name}`"
                    break


def _is_derived(texts: list[bytes], index: int) -> bool:
    start = index
    while start and texts[start] not in (b"(", b";", b"}"):
        start -= 1
    return start >= 3 and texts[start - 3 : start] == [b"#", b"[", b"derive"] and texts[index + 1] != b"as"


def _variants(texts: list[bytes], index: int) -> set[bytes]:
    """What stands where the names of an enum's variants do."""
    start = texts.index(b"{", index) if b"{" in texts[index:] else len(texts)
    depth, found = 0, set()
    for before, word in zip(texts[start:], texts[start + 1 :], strict=False):
        depth += (before in (b"{", b"(", b"[")) - (before in (b"}", b")", b"]"))
        if depth == 1 and before in (b"{", b",", b"]"):
            found.add(word)
        if not depth:
            break
    return found


def _readable(texts: list[bytes], root: Node, tests: HiddenTests | None) -> bool:
    """Whether the functions that are asked for, or all where none are named, stand in the tree without an error."""
    functions = [node for node in walk(root) if node.type == "function_item" and not node.has_error]
    if tests is not None:
        demanded = {name for kind, name in tests.declarations.items if kind == "fn"}
        return demanded <= {name_of(node) for node in functions if node.parent == root}
    outermost = [node for node in functions if not any(_within(node, other) for other in functions)]
    return texts.count(b"fn") == sum(leaf.type == "fn" for node in outermost for leaf in walk(node))


def _within(node: Node, other: Node) -> bool:
    return node.start_byte > other.start_byte and node.end_byte <= other.end_byte
