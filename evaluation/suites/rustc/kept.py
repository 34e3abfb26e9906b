"""
The guard of the suite `rustc`: whether an answer has kept the program that it completes or repairs.

Compiling alone proves little, because an empty program compiles. An answer must therefore have every item of the
program, none of them smaller, nearly all of its words, and no placeholder that the program does not have.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node, Parser

from evaluation.rust.syntax.analysis import COMMENTS, PLACEHOLDER_MACROS, RUST
from evaluation.rust.syntax.nodes import field, name_of, node_text, walk
from evaluation.rust.syntax.tokens import tokens

ITEMS = {
    "function_item": "fn",
    "function_signature_item": "fn",
    "struct_item": "struct",
    "enum_item": "enum",
    "union_item": "union",
    "trait_item": "trait",
    "impl_item": "impl",
    "mod_item": "mod",
    "type_item": "type",
    "associated_type": "type",
    "const_item": "const",
    "static_item": "static",
    "macro_definition": "macro_rules!",
}
PARTS = {"field_declaration", "enum_variant", "macro_rule"}
NO_STATEMENTS = COMMENTS | {"empty_statement", "attribute_item", "inner_attribute_item", "label"}
LOST_WORDS = 2
LOST_SHARE = 0.05


@dataclass(frozen=True)
class Contents:
    """
    Contents of a program.

    Attributes:
        sizes: Number of statements, fields, variants or rules of each item, by its path, such as "impl Iterator for
            Counter::fn next". Items of the same path are added up.
        counts: Number of items by path.
        words: Number of times that each word occurs, without comments and texts.
        placeholders: Number of placeholders: `todo!()`, other macros that only panic, and `loop {}`.
        switches: Number of `cfg` attributes, which can disable code.
    """

    sizes: Counter[str]
    counts: Counter[str]
    words: Counter[str]
    placeholders: int
    switches: int


@lru_cache(maxsize=2048)
def contents_of(program: str) -> Contents:
    """Return the contents of a program; its macros are not expanded."""
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    placeholders = switches = 0
    for node, path in _with_paths(Parser(RUST).parse(program.encode("utf-8", "surrogatepass")).root_node):
        if node.type in ITEMS:
            counts[path] += 1
            sizes[path] += 0
        elif node.type in PARTS:
            sizes[path] += 1
        elif node.type == "block":
            sizes[path] += sum(child.type not in NO_STATEMENTS for child in node.named_children)
            parent = node.parent
            if parent is not None and parent.type == "loop_expression" and not node.named_children:
                placeholders += 1
        elif node.type == "macro_invocation":
            placeholders += node_text(field(node, "macro")).rpartition("::")[2] in PLACEHOLDER_MACROS
        elif node.type in ("attribute_item", "inner_attribute_item"):
            switches += "cfg" in node_text(node)
    words = Counter(token.text for token in tokens(program) if token.kind in ("word", "lifetime"))
    return Contents(sizes, counts, words, placeholders, switches)


def lost(answer: str, program: str, reference: str) -> str | None:
    """
    Return what an answer has lost of a program that it completes or repairs, in words; None if it has kept it.

    Args:
        answer: The whole program of the answer.
        program: The program that was given.
        reference: The known solution: what it lacks of the given program may be missing in the answer, too.
    """
    found, given, known = contents_of(answer), contents_of(program), contents_of(reference)
    for path, count in (given.counts & known.counts).items():
        if found.counts[path] < count:
            return f"lacks `{path}`"
        size = min(given.sizes[path], known.sizes[path])
        if found.sizes[path] < size:
            return f"has less in `{path}`: {found.sizes[path]} statements, fields or rules of {size}"
    wanted = given.words & known.words
    missing = wanted - found.words
    if missing.total() > max(LOST_WORDS, LOST_SHARE * wanted.total()):
        return f"lacks words of the program: {', '.join(sorted(missing)[:5])}"
    if found.placeholders > max(given.placeholders, known.placeholders):
        return "has a placeholder, such as `todo!()`"
    if found.switches > max(given.switches, known.switches):
        return "disables code with `cfg`"
    return None


def _with_paths(root: Node) -> Iterator[tuple[Node, str]]:
    """Yield all nodes with the path of the innermost item around them, or their own path if they are items."""
    waiting = [(root, "")]
    while waiting:
        node, path = waiting.pop()
        if node.type in ITEMS:
            path = f"{path}::{_name(node)}" if path else _name(node)
        yield node, path
        waiting += [(child, path) for child in reversed(node.children)]


def _name(item: Node) -> str:
    """Return kind and name of an item; of an impl the names of trait and type, without generic arguments."""
    if item.type != "impl_item":
        return f"{ITEMS[item.type]} {name_of(item)}"
    trait = item.child_by_field_name("trait")
    kind = _base(field(item, "type"))
    return f"impl {kind}" if trait is None else f"impl {_base(trait)} for {kind}"


def _base(kind: Node) -> str:
    """Return the first type in a type, without lifetimes, bounds and generic arguments, as in `&'a mut Vec<T>`."""
    named = (
        node for node in walk(kind) if node.type in ("type_identifier", "primitive_type", "scoped_type_identifier")
    )
    return next((node_text(node) for node in named), node_text(kind))
