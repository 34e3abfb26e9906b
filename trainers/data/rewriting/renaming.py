"""Alpha-renaming of a piece of Rust code: locals, parameters, generics and lifetimes.

Fields, methods, functions, types, macros and names in strings are never renamed. Every new name is one that does not
occur anywhere in the code, so that it cannot capture or shadow another name. Parameters in backticks in comments are
renamed, too.
"""

import random
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count

from tree_sitter import Node

from evaluation.rust.syntax.analysis import COMMENTS, TEXTS
from evaluation.rust.syntax.nodes import node_bytes, parent_of, walk
from trainers.data.rewriting.bindings import Binding, find_bindings, parse, text

KEYWORDS = frozenset(
    "as async await box break const continue crate do dyn else enum extern false fn for gen if impl in let loop macro "
    "match mod move mut priv pub ref return self static struct super trait true try type typeof union unsafe unsized "
    "use virtual where while yield abstract become final override".split()
)
# Words that can replace each other in names, alone or between underscores.
SYNONYMS = tuple(
    words.split()
    for words in (
        "values numbers items data xs list nums elements input samples series",
        "value number item x n element entry v",
        "total sum acc result accumulated",
        "count counter tally matches hits amount",
        "result output out answer found",
        "text s string source phrase line content",
        "word token part piece term chunk",
        "index i position idx k at",
        "c ch character letter symbol",
        "best largest top winner leader",
        "limit bound cap ceiling threshold maximum",
        "left a first lhs start",
        "right b second rhs end",
        "low lo lower minimum floor",
        "high hi upper",
        "previous last prior before",
        "current cur now present",
        "next following upcoming",
        "key name label id",
        "map table lookup counts index_of",
        "seen visited known",
        "rest tail remaining others",
        "sign factor scale",
        "width size",
        "height depth",
        "pair couple both",
        "predicate test condition check",
        "f operation apply action transform",
        "remainder rem leftover",
        "step stride delta gap",
        "state mode status",
        "node link cell",
        "stack pile pending",
        "queue waiting line_up",
        "amount quantity units",
        "digit figure",
        "base radix",
        "distance span",
        "row record",
        "query needle wanted target",
        "window frame slice",
        "other rhs that",
        "scores points marks",
        "words tokens parts pieces terms",
        "kept chosen selected picked",
    )
)
GENERICS = ("T", "U", "V", "A", "B", "E", "Item", "Value", "Elem", "X", "Y", "K", "S", "R", "P", "Q")
CONSTANTS = ("N", "M", "SIZE", "LEN", "COUNT", "WIDTH", "CAPACITY")
LIFETIMES = ("a", "b", "s", "t", "x", "src", "text", "data", "input", "life")
SPARE = ("it", "this", "each", "z", "w", "y", "temp", "obj", "given", "local", "held", "own", "m", "p", "q", "h")

_BY_WORD: dict[str, list[str]] = {}
for _words in SYNONYMS:
    for _word in _words:
        _BY_WORD.setdefault(_word, []).extend(each for each in _words if each != _word)


Choose = Callable[[Binding, set[str]], str | None]


def rename(code: str, choose: Choose) -> str:
    """
    Return the code with other names.

    Args:
        code: Rust that parses.
        choose: Called with a binding and the names in use; returns its new name, which must not be in use, or None to
            keep the name.

    Raises:
        ValueError: The code does not parse.
    """
    root = parse(code)
    nodes = list(walk(root))
    taken = set(KEYWORDS) | {text(node) for node in nodes if not node.child_count}
    taken |= set(re.findall(r"\w+", code))
    comments = [node for node in nodes if node.type in COMMENTS]
    shorthands = {node.start_byte for node in nodes if node.type == "shorthand_field_initializer"}
    # The same new name can be used again in another item, whose locals are separate.
    items = [child.start_byte for child in root.children]
    given: dict[int, set[str]] = defaultdict(set)
    edits: dict[int, tuple[int, str]] = {}
    for binding in find_bindings(root):
        here = given[bisect_right(items, binding.item.start_byte)]
        new = None if binding.fixed or binding.name.startswith("_") else choose(binding, taken | here)
        if new is None:
            continue
        assert new not in taken | here, f"the new name {new} is taken"
        here.add(new)
        for place in binding.places:
            start, end, replacement = _replacement(place, new, place.start_byte in shorthands)
            edits[start] = end, replacement
        if binding.kind == "parameter":
            for start, end in _mentions(binding, comments):
                edits[start] = end, new
    return apply_edits(code, [(start, end, new) for start, (end, new) in edits.items()])


def apply_edits(code: str, edits: list[tuple[int, int, str]]) -> str:
    """Return the code with byte ranges, which do not overlap, replaced."""
    encoded = code.encode()
    for start, end, new in sorted(edits, reverse=True):
        encoded = encoded[:start] + new.encode() + encoded[end:]
    return encoded.decode()


def _replacement(place: Node, new: str, is_shorthand: bool) -> tuple[int, int, str]:
    """Return the edit for one place; a shorthand field keeps its name: `Point { x }` becomes `Point { x: new }`."""
    name = text(place)
    if is_shorthand:
        return place.start_byte, place.end_byte, f"{name}: {new}"
    if place.type == "shorthand_field_identifier":
        pattern = parent_of(place)
        modifiers = node_bytes(pattern)[: place.start_byte - pattern.start_byte].decode()
        return pattern.start_byte, place.end_byte, f"{name}: {modifiers}{new}"
    return place.start_byte, place.end_byte, new


def _mentions(binding: Binding, comments: list[Node]) -> list[tuple[int, int]]:
    """Return the places of the name in backticks in the comments above and within the function."""
    start = binding.item.start_byte
    before = binding.item.prev_sibling
    while before is not None and before.type in (*COMMENTS, "attribute_item"):
        start = before.start_byte
        before = before.prev_sibling
    first = bisect_left(comments, start, key=lambda node: node.start_byte)
    last = bisect_left(comments, binding.item.end_byte, key=lambda node: node.start_byte)
    pattern = re.compile(rf"(?<=`){re.escape(binding.name)}(?=`)".encode())
    return [
        (comment.start_byte + found.start(), comment.start_byte + found.end())
        for comment in comments[first:last]
        for found in pattern.finditer(node_bytes(comment))
    ]


def plausible_names(draw: random.Random, share: float = 1.0, any_name: bool = True) -> Choose:
    """
    Return a chooser of plausible names: words of similar meaning, and letters for types and lifetimes.

    Args:
        draw: Random generator.
        share: Share of the bindings to rename.
        any_name: If no word of similar meaning is known, use any name instead of keeping the old one.
    """

    def choose(binding: Binding, taken: set[str]) -> str | None:
        if draw.random() >= share:
            return None
        if binding.kind == "generic":
            candidates = CONSTANTS if parent_of(binding.places[0]).type == "const_parameter" else GENERICS
        elif binding.kind == "lifetime":
            candidates = list(LIFETIMES)
        else:
            candidates = _alternatives(binding.name)
        free = [each for each in dict.fromkeys(candidates) if each not in taken]
        if free:
            return draw.choice(free)
        if binding.kind in ("generic", "lifetime") or not any_name:
            return None
        spare = [each for each in SPARE if each not in taken]
        return draw.choice(spare) if spare else None

    return choose


def _alternatives(name: str) -> list[str]:
    """Return names in which one word of the name is replaced."""
    if name in _BY_WORD:
        return _BY_WORD[name]
    words = name.split("_")
    return [
        "_".join([*words[:index], other, *words[index + 1 :]])
        for index, word in enumerate(words)
        for other in _BY_WORD.get(word, ())
    ]


def canonical(code: str) -> tuple[str, ...]:
    """
    Return the tokens of the code without comments and with all names that it binds numbered: equal for programs that
    differ only in layout, comments and names. The names of functions are numbered, too.

    Raises:
        ValueError: The code does not parse.
    """
    numbers = count()
    root = parse(rename(code, lambda binding, taken: f"nanochat_{binding.kind}_{next(numbers)}"))
    functions: dict[str, str] = {}
    for node in walk(root):
        if node.type == "function_item":
            functions.setdefault(text(node.child_by_field_name("name")), f"nanochat_function_{len(functions)}")
    return tuple(functions.get(text(token), text(token)) for token in leaf_tokens(root))


def leaf_tokens(node: Node) -> Iterator[Node]:
    """Yield the tokens below a node without comments; a literal is one token."""
    for each in walk(node, lambda below: below.type in COMMENTS, lambda below: below.type in TEXTS):
        if not each.child_count or each.type in TEXTS:
            yield each
