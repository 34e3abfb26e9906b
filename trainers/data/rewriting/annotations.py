"""Adds and removes the types of `let`.

Which types they are the compiler says. Every type that might go is taken away, every variable is compared with `()` at
the end of its block, and the error names the type that was inferred: what was not written can be written then, and
what was written and is inferred all the same can be left out.
"""

import random
import re
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust import Verdict
from evaluation.rust.nodes import walk
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.renaming import apply_edits

FOUND = re.compile(r"this expression has type `([^`]+)`")
# What a number becomes when nothing else decides.
DEFAULTS = {"integer": "i32", "{integer}": "i32", "float": "f64", "{float}": "f64"}
ALWAYS_NAMED = set(
    "bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 String Vec Option Result Box".split()
)
LONGEST = 48
# What these give depends on the type that is asked for; without it, nothing at all might be inferred.
ASKED_FOR = re.compile(r"\b(?:collect|parse|into|sum|product|default|try_into|None)\b")
TAIL = "nanochat_tail"


@dataclass(frozen=True)
class Probe:
    """
    A code that does not compile, for its errors.

    Attributes:
        code: To be given to the compiler.
        lines: Each line with a comparison, and the `let` whose variable it is about.
    """

    code: str
    lines: dict[int, Node]


def probe_types(code: str) -> Probe | None:
    """
    Asks for the types of all variables bound by a plain `let`; None where there is none.

    Raises:
        ValueError: The code does not parse.
    """
    edits: list[tuple[int, int, str, Node | None]] = []
    for block in walk(parse(code)):
        if block.type == "block":
            asked = [node for node in block.named_children if _can_be_asked(node, block)]
            edits += _questions(block, asked) if asked else []
    if not edits:
        return None
    encoded, result, position, lines = code.encode(), "", 0, {}
    for start, end, new, node in sorted(edits, key=lambda edit: edit[:2]):
        result += encoded[position:start].decode() + new
        if node is not None:
            lines[result.count("\n")] = node
        position = end
    return Probe(result + encoded[position:].decode(), lines)


def _can_be_asked(node: Node, block: Node) -> bool:
    """Whether a statement is `let name = value` whose name still means it at the end of the block."""
    if node.type != "let_declaration" or node.child_by_field_name("value") is None:
        return False
    pattern = node.child_by_field_name("pattern")
    if pattern.type != "identifier" or node.child_by_field_name("alternative") is not None:
        return False
    later = (each for each in block.named_children if each.start_byte > node.end_byte)
    return not any(
        text(name) == text(pattern)
        for each in later
        if each.type == "let_declaration"
        for name in walk(each.child_by_field_name("pattern"))
    )


def _might_go(declaration: Node) -> bool:
    """Whether it has a type that its value does not ask for."""
    has_type = declaration.child_by_field_name("type") is not None
    return has_type and not ASKED_FOR.search(text(declaration.child_by_field_name("value")))


def _questions(block: Node, asked: list[Node]) -> list[tuple[int, int, str, Node | None]]:
    """Edits: the types that might go, the value of the block bound to a name, and behind it the comparisons."""
    edits: list[tuple[int, int, str, Node | None]] = []
    for node in asked:
        kind = node.child_by_field_name("type")
        if _might_go(node):
            edits.append((node.child_by_field_name("pattern").end_byte, kind.end_byte, "", None))
    inner = [each for each in block.named_children if each.type not in ("line_comment", "block_comment")]
    end = block.end_byte - 1
    last = inner[-1]
    if last.type not in ("let_declaration", "empty_statement") and not text(last).endswith((";", "}")):
        end = last.end_byte
        returned = block.parent.child_by_field_name("return_type") if block.parent.type == "function_item" else None
        kind = "" if returned is None or "impl" in text(returned) else f": {text(returned)}"
        edits.append((last.start_byte, last.start_byte, f"let {TAIL}{kind} = ", None))
        edits.append((end, end, ";", None))
    for node in asked:
        edits.append((end, end, f"\nlet () = {text(node.child_by_field_name('pattern'))};\n", node))
    return edits


def vary_types(code: str, probe: Probe, verdict: Verdict, pick: random.Random) -> str | None:
    """
    The code with the types of some `let` added or taken away; None where none can be.

    Args:
        code: The original.
        probe: What `probe_types` made of it.
        verdict: On the probe's code.
        pick: Decides which.
    """
    edits: set[tuple[int, int, str]] = set()
    # An error of another kind says that without some of the types nothing is inferred in time.
    enough = all(diagnostic.code == "E0308" for diagnostic in verdict.diagnostics)
    for diagnostic in verdict.diagnostics:
        found = FOUND.search(diagnostic.rendered)
        if found is None or diagnostic.line not in probe.lines:
            continue
        node = probe.lines[diagnostic.line]
        end, kind = node.child_by_field_name("pattern").end_byte, node.child_by_field_name("type")
        inferred = DEFAULTS.get(found[1], found[1])
        if kind is None and _can_be_written(inferred, code, node) and found[1] not in DEFAULTS:
            edits.add((end, end, f": {inferred}"))
        elif _might_go(node) and enough and _plain(text(kind)) == _plain(inferred):
            edits.add((end, kind.end_byte, ""))
    chosen = pick.sample(sorted(edits), pick.randint(1, len(edits))) if edits else []
    return apply_edits(code, chosen) if chosen else None


def _plain(kind: str) -> str:
    return re.sub(r"\s", "", kind)


def _can_be_written(kind: str, code: str, node: Node) -> bool:
    """Whether the type can be named at this place, as far as its words tell."""
    if len(kind) > LONGEST or re.search(r"[{}@+]|\b_\b|'_|\b(?:impl|dyn|fn|closure)\b|::|^str$|^\[[^;]*$", kind):
        return False
    named = ALWAYS_NAMED | set(re.findall(r"\b[A-Z]\w*", code))
    generics = set(re.findall(r"\b(?:fn|impl|struct|enum|trait)\s*\w*<([^>{]*)", code))
    named -= {name for declared in generics for name in re.findall(r"\b[A-Z]\w*(?=\s*[:,]|\s*$)", declared)}
    around = node.parent
    while around is not None:
        parameters = around.child_by_field_name("type_parameters")
        named |= set(re.findall(r"\b[A-Z]\w*", text(parameters)))
        around = around.parent
    return all(word in named for word in re.findall(r"(?<!')\b[A-Za-z_]\w*", kind) if word != "mut")
