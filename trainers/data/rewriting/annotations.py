"""Adds and removes the types of `let`.

Which type to add the compiler says: at the end of its block a variable is compared with `()`, and the error names the
type that was inferred.
"""

import random
import re

from tree_sitter import Node

from evaluation.rust import Verdict
from trainers.data.rewriting.bindings import parse, text, walk
from trainers.data.rewriting.renaming import apply_edits

FOUND = re.compile(r"this expression has type `([^`]+)`")
ALWAYS_NAMED = set(
    "bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 String Vec Option Result Box".split()
)
LONGEST = 48
# What these give depends on the type that is asked for.
ASKED_FOR = re.compile(r"\b(?:collect|parse|into|sum|product|default|from|new|try_into|with_capacity|None|Err|Ok)\b")


def remove_types(code: str, pick: random.Random) -> str | None:
    """
    The code with the types of some `let` taken away where the value tells them; None where there is none.

    A number without a suffix would become an `i32`, and a value that is made to order another one: their types stay.

    Raises:
        ValueError: The code does not parse.
    """
    edits = []
    for node in walk(parse(code)):
        if node.type != "let_declaration":
            continue
        kind, value = node.child_by_field_name("type"), node.child_by_field_name("value")
        if kind is None or value is None or ASKED_FOR.search(text(value)) or _has_open_number(value):
            continue
        if any(token.type in ("dyn", "_", "closure_expression") for part in (kind, value) for token in walk(part)):
            continue
        edits.append((node.child_by_field_name("pattern").end_byte, kind.end_byte, ""))
    return apply_edits(code, _some(edits, pick)) if edits else None


def _has_open_number(value: Node) -> bool:
    return any(
        node.type in ("integer_literal", "float_literal") and not re.search(r"[iuf]\d|size", text(node))
        for node in walk(value)
    )


def probe_types(code: str) -> tuple[str, dict[int, Node]] | None:
    """
    A code that does not compile, and says the types of the variables that have none: in the compiler's error on each
    of the lines that are returned with their `let`. None where there is no such variable.

    Raises:
        ValueError: The code does not parse.
    """
    root = parse(code)
    insertions: list[tuple[int, Node]] = []
    for node in walk(root):
        pattern = node.child_by_field_name("pattern") if node.type == "let_declaration" else None
        if pattern is None or pattern.type != "identifier" or node.child_by_field_name("type") is not None:
            continue
        if node.child_by_field_name("value") is None or node.parent.type != "block":
            continue
        block = node.parent
        later = [each for each in block.named_children if each.start_byte > node.end_byte]
        if any(each.type == "let_declaration" and _binds(each, text(pattern)) for each in later):
            continue
        insertions.append((_end_of_statements(block), node))
    if not insertions:
        return None
    encoded, lines = code.encode(), {}
    result, position, line = b"", 0, 1
    for place, node in sorted(insertions, key=lambda pair: pair[0]):
        part = encoded[position:place]
        result += part + b"\n"
        line += part.count(b"\n") + 1
        lines[line] = node
        result += f"let () = {text(node.child_by_field_name('pattern'))};\n".encode()
        line += 1
        position = place
    return (result + encoded[position:]).decode(), lines


def _binds(declaration: Node, name: str) -> bool:
    return any(text(each) == name for each in walk(declaration.child_by_field_name("pattern")))


def _end_of_statements(block: Node) -> int:
    """Before the value of the block, or before its brace."""
    inner = [each for each in block.named_children if each.type not in ("line_comment", "block_comment")]
    last = inner[-1]
    is_value = last.type not in ("let_declaration", "expression_statement", "empty_statement")
    is_value |= last.type == "expression_statement" and not text(last).endswith(";")
    return last.start_byte if is_value and not last.type.endswith("_item") else block.end_byte - 1


def add_types(code: str, lines: dict[int, Node], verdict: Verdict, pick: random.Random) -> str | None:
    """
    The code with types of some `let` added.

    Args:
        code: The original.
        lines: What `probe_types` gave.
        verdict: On the code that it gave.
        pick: Decides which.
    """
    named = ALWAYS_NAMED | set(re.findall(r"\b[A-Z]\w*", code))
    edits = []
    for diagnostic in verdict.diagnostics:
        found = FOUND.search(diagnostic.rendered)
        if diagnostic.line not in lines or found is None or not _can_be_written(found[1], named):
            continue
        end = lines[diagnostic.line].child_by_field_name("pattern").end_byte
        edits.append((end, end, f": {found[1]}"))
    edits = list(dict.fromkeys(edits))
    return apply_edits(code, _some(edits, pick)) if edits else None


def _can_be_written(kind: str, named: set[str]) -> bool:
    if len(kind) > LONGEST or re.search(r"[{}@+]|\b_\b|'_|\b(?:impl|dyn|fn|closure)\b|::", kind):
        return False
    return all(word in named for word in re.findall(r"(?<!')\b[A-Za-z_]\w*", kind) if word != "mut")


def _some(edits: list[tuple[int, int, str]], pick: random.Random) -> list[tuple[int, int, str]]:
    return pick.sample(edits, pick.randint(1, len(edits)))
