"""
Refusals of code that rustc accepts and tree-sitter cannot parse.

Most of it has one of a few known forms, which are replaced by equivalent ones of the same length before parsing. Of
the rest only the tokens are checked, and whatever cannot be excluded without a syntax tree is refused.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

from tree_sitter import Node

from evaluation.rust.judge.harness import HiddenTests
from evaluation.rust.judge.refused_bodies import bodies
from evaluation.rust.syntax.analysis import PLACEHOLDER_MACROS
from evaluation.rust.syntax.nodes import FoundAnywhere, Leaf, name_of
from evaluation.rust.syntax.tokens import Token, closed, tokens, top_level

COMPARISONS = {"PartialEq", "PartialOrd"}


def repaired(code: str) -> str:
    """
    Replace forms that tree-sitter cannot parse with ones that it can, of the same length in characters: a negative
    argument `g::<-1>()`, the rest of a destructuring assignment `S { y, .. } = s`, a field by its index `S { 0: x }`,
    a bound `dyn 'static + Debug`, and `macro_rules ! name`.
    """
    found = list(tokens(code))
    text = list(code)
    for index, token in enumerate(found):
        before = found[index - 1].text if index else ""
        behind = found[index + 1] if index + 1 < len(found) else Token("", len(code), "sign")
        after = found[index + 2].text if index + 2 < len(found) else ""
        if token.text == "-" and before in ("<", ",") and behind.kind == "number":
            _blank(text, token)
        elif token.text == ".." and before in (",", "{") and behind.text == "}":
            _blank(text, token)
        elif token.kind == "number" and before in ("{", ",") and behind.text == ":" and token.text.isdigit():
            text[token.start : token.end] = "n" * len(token.text)
        elif token.text == "dyn" and behind.text == "'static" and after == "+":
            _blank(text, behind)
            _blank(text, found[index + 2])
        elif token.text == "macro_rules" and behind.text == "!" and behind.start > token.end:
            text[token.end], text[behind.start] = "!", " "
    return "".join(text)


def _blank(text: list[str], token: Token) -> None:
    text[token.start : token.end] = " " * len(token.text)


def leaves(code: str) -> list[Leaf]:
    """Return the tokens of a text in place of a tree's leaves, without strings and characters."""
    place = _places(code)
    return [
        Leaf(token.text.encode(), "identifier" if token.kind == "word" else token.kind, place(token.start))
        for token in tokens(code)
        if token.kind != "literal"
    ]


def _places(code: str) -> Callable[[int], tuple[int, int]]:
    """Return a function from an offset to its line and its column in bytes."""
    starts = [0, *(found.end() for found in re.finditer("\n", code))]

    def place(offset: int) -> tuple[int, int]:
        line = bisect_right(starts, offset) - 1
        return line, len(code[starts[line] : offset].encode())

    return place


def unseen(code: str, found: Sequence[Leaf], apart: bool, attributes: Collection[str]) -> FoundAnywhere:
    """
    Find constructs that cannot be checked without a syntax tree.

    Args:
        code: The source.
        found: Its tokens.
        apart: Whether its tests run in another process: then constructs that could forge a report are allowed.
        attributes: Names of allowed attributes.
    """
    texts = [leaf.text.decode("utf-8", "replace") for leaf in found]
    if code.startswith("#!") and not re.match(r"#!\s*\[", code):
        yield found[0], "begins like a script: the rest of the line cannot be checked"
    for index, (leaf, text) in enumerate(zip(found, texts, strict=True)):
        behind = [*texts[index + 1 : index + 4], "", "", ""]
        if text == "#":
            name = next((each for each in behind if each not in ("!", "[")), "")
            own_tests = "".join(texts[index : index + 7]) == "#[cfg(test)]" and texts[index + 7 : index + 8] in (
                ["mod"],
                ["use"],
            )
            if name not in (*attributes, "clippy", "rustfmt") and not own_tests:
                yield leaf, f"has an attribute that solutions do not need: `{name}`"
        elif text == "mod" and behind[1] == ";":
            yield leaf, "has a module in another file"
    if apart:
        return
    reason = "cannot be parsed into a syntax tree, which is needed to check its"
    lifetimes = {text for leaf, text in zip(found, texts, strict=True) if leaf.type == "lifetime"} - {"'static", "'_"}
    for index, (leaf, text) in enumerate(zip(found, texts, strict=True)):
        behind = texts[index + 1] if index + 1 < len(texts) else ""
        if text in ("impl", "for") and behind == "<":
            yield leaf, f"{reason} parameters of `{text}`"
        elif text in ("trait", "macro_rules"):
            yield leaf, f"{reason} `{text}`"
        elif text in COMPARISONS and "derive" not in texts[max(0, index - 16) : index]:
            yield leaf, f"{reason} `{text}`"
        elif len(lifetimes) > 1 and leaf.type == "lifetime":
            yield leaf, f"{reason} lifetimes"
            return


def idle_functions(code: str, root: Node, tests: HiddenTests | None) -> FoundAnywhere:
    """
    Find demanded functions that do nothing with their arguments.

    Functions that were parsed are checked as usual. For others with cases it is enough that their tokens include a
    parameter; without cases they are refused.
    """
    whole = [node for node in root.named_children if node.type == "function_item" and not node.has_error]
    macros = [node for node in root.named_children if node.type == "macro_definition"]
    yield from bodies(root, {"function_item": whole, "macro_definition": macros}, tests)
    known = {name_of(node) for node in whole}
    demanded = {name for kind, name in tests.declarations.items if kind == "fn"} if tests else set()
    if tests is not None and tests.blank:
        for name in demanded - known:
            yield root, f"`fn {name}` cannot be parsed into a syntax tree, which is needed to check what it does"
        return
    found, place = list(tokens(code)), _places(code)
    for index, token, kind in top_level(found):
        if kind != "fn" or token.text not in demanded - known:
            continue
        start = next((at for at in range(index, len(found)) if found[at].text == "("), len(found))
        end = closed(found, start)
        body = next((at for at in range(end, len(found)) if found[at].text in ("{", ";")), len(found))
        inside = found[body + 1 : closed(found, body)]
        names = {
            each.text
            for each, following in zip(found[start:end], found[start + 1 : end], strict=False)
            if each.kind == "word" and following.text in (":", ",", ")") and each.text not in ("mut", "ref")
        }
        used = any(each.text in names for each in inside)
        used |= any(each.kind == "literal" and f"{{{name}" in each.text for each in inside for name in names)
        words = {each.text for each in inside if each.kind != "sign"} - PLACEHOLDER_MACROS - {"return", "loop"}
        if not words or (names and not used):
            yield (
                Leaf(token.text.encode(), "identifier", place(token.start)),
                f"`fn {token.text}` never uses its parameters",
            )
