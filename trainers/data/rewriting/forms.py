"""Equivalent forms: loops and iterators, `match` and `if let`, early returns and `else`.

Each form inspects one node and returns the edits that rewrite it, or None. The result has the same meaning if it
compiles; types and borrows are checked by the compiler afterward.
"""

import random
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator

from tree_sitter import Node

from evaluation.rust.syntax.analysis import TEXTS
from evaluation.rust.syntax.nodes import walk
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.branches import else_to_return, if_let_to_match, match_to_if_let, return_to_else
from trainers.data.rewriting.loops import (
    chain_to_loop,
    for_each_to_for,
    for_to_for_each,
    push_loop_to_extend,
    search_loop_to_chain,
)
from trainers.data.rewriting.nodes import Rewrite, Source, has_attribute, own_methods
from trainers.data.rewriting.renaming import apply_edits

# If drops are observable, the order of drops would have to be known.
DROPS = {"Drop"}
ITERATING = {"for_to_iterator", "loop_to_chain", "chain_to_loop", "iterator_to_for"}
ITERATORS = {
    "into_iter",
    "for_each",
    "map",
    "filter_map",
    "any",
    "all",
    "count",
    "sum",
    "fold",
    "collect",
    "push",
    "extend",
}
# `into_iter` borrows what a `for` loop consumes.
BOXED_SLICE = re.compile(r"\bBox\s*(?:::\s*)?<\s*\[|\binto_boxed_slice\b")


def alternative_forms(code: str, pick: random.Random, most: int = 2) -> str | None:
    """
    Return the code with up to `most` places rewritten in another form, or None if there are none.

    Raises:
        ValueError: The code does not parse.
    """
    found = list(find_rewrites(code))
    pick.shuffle(found)
    chosen: list[Rewrite] = []
    for rewrite in found:
        if len(chosen) < most and all(rewrite.end <= each.start or each.end <= rewrite.start for each in chosen):
            chosen.append(rewrite)
    return apply_edits(code, [(each.start, each.end, each.new) for each in chosen]) if chosen else None


def find_rewrites(code: str) -> Iterator[Rewrite]:
    """Return every place that can be rewritten, with its other form."""
    root = parse(code)
    nodes = list(walk(root))
    names = {text(node) for node in nodes if not node.child_count}
    if names & DROPS:
        return
    source = Source(code.encode(), names)
    iterates = not (own_methods(root) & ITERATORS) and BOXED_SLICE.search(code) is None
    # Changing the indentation would change a multi-line string.
    texts = (node for node in nodes if node.type in TEXTS)
    of_lines = [node.start_byte for node in texts if node.start_point[0] != node.end_point[0]]
    for node in nodes:
        for form in FORMS.get(node.type, ()):
            rewrite = form(node, source)
            if rewrite is None or has_attribute(node):
                continue
            indented = bisect_left(of_lines, rewrite.start) < bisect_left(of_lines, rewrite.end)
            if not indented and (iterates or rewrite.form not in ITERATING):
                yield rewrite


Form = Callable[[Node, Source], Rewrite | None]


FORMS: dict[str, tuple[Form, ...]] = {
    "for_expression": (push_loop_to_extend, search_loop_to_chain, for_to_for_each),
    "call_expression": (chain_to_loop, for_each_to_for),
    "match_expression": (match_to_if_let,),
    "if_expression": (if_let_to_match, return_to_else, else_to_return),
}
