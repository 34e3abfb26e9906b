"""Type annotations of `let`: adds and removes them.

The compiler reports the types. All removable annotations are removed, and every variable is compared with `()` at the
end of its block, so that the error message names the inferred type. This type can be added as an annotation, and an
annotation that is inferred anyway can be removed. A block keeps its value, because the surrounding code may depend on
it. If the compiler reports any other error in a function, its messages about this function are ignored.
"""

import random
import re
from dataclasses import dataclass

from tree_sitter import Node, Parser

from evaluation.rust import Verdict
from evaluation.rust.syntax.analysis import COMMENTS, RUST
from evaluation.rust.syntax.nodes import field, parent_of, walk
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.renaming import apply_edits

FOUND = re.compile(r"this expression has type `([^`]+)`")
# Default types of numeric literals.
DEFAULTS = {"integer": "i32", "{integer}": "i32", "float": "f64", "{float}": "f64"}
ALWAYS_NAMED = set(
    "bool char str i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64 String Vec Option Result Box".split()
)
LONGEST = 48
# The result of these depends on the expected type; without an annotation, inference may fail.
ASKED_FOR = re.compile(r"\b(?:collect|parse|into|sum|product|default|try_into|None)\b")
TAIL = "nanochat_tail"
RETURNING = {"function_item", "closure_expression"}


@dataclass(frozen=True)
class Probe:
    """
    A code that does not compile, for its errors.

    Attributes:
        code: Program for the compiler.
        lines: The `let` statement for each line with a comparison.
        functions: First and last line of each function; types are inferred per function.
    """

    code: str
    lines: dict[int, Node]
    functions: list[range]

    def doubtful(self, verdict: Verdict) -> set[int]:
        """Return the lines of the comparisons in functions with other errors, whose messages are unreliable."""
        wrong = {each.line for each in verdict.diagnostics if each.code != "E0308" or each.line not in self.lines}
        spoiled = [lines for lines in self.functions if any(line in lines for line in wrong)]
        if not all(any(line in lines for lines in spoiled) for line in wrong):
            return set(self.lines)
        return {line for line in self.lines if any(line in lines for lines in spoiled)}


def probe_types(code: str) -> Probe | None:
    """
    Make a probe for the types of all variables bound by a plain `let`, or return None if there are none.

    Raises:
        ValueError: The code does not parse.
    """
    edits: list[tuple[int, int, str, Node | None]] = []
    for block in walk(parse(code)):
        if block.type == "block":
            asked = _asked(block)
            edits += _questions(block, asked) if asked else []
    if not edits:
        return None
    encoded, result, position, lines = code.encode(), "", 0, {}
    for start, end, new, node in sorted(edits, key=lambda edit: edit[:2]):
        result += encoded[position:start].decode() + new
        if node is not None:
            lines[result.count("\n")] = node
        position = end
    probe = result + encoded[position:].decode()
    functions = (node for node in walk(Parser(RUST).parse(probe.encode()).root_node) if node.type == "function_item")
    return Probe(probe, lines, [range(node.start_point[0] + 1, node.end_point[0] + 2) for node in functions])


def _asked(block: Node) -> list[Node]:
    """Return the statements `let name = value` whose name is not shadowed at the end of the block."""
    asked: list[Node] = []
    rebound: set[str] = set()
    for node in reversed(block.named_children):
        if node.type == "let_declaration":
            pattern = field(node, "pattern")
            value, alternative = map(node.child_by_field_name, ("value", "alternative"))
            plain = pattern.type == "identifier" and value is not None and alternative is None
            if plain and text(pattern) not in rebound:
                asked.append(node)
            rebound |= {text(name) for name in walk(pattern)}
    return asked[::-1]


def _might_go(declaration: Node) -> bool:
    """Return whether a `let` has a type that its value does not depend on."""
    has_type = declaration.child_by_field_name("type") is not None
    return has_type and not ASKED_FOR.search(text(declaration.child_by_field_name("value")))


def _questions(block: Node, asked: list[Node]) -> list[tuple[int, int, str, Node | None]]:
    """Yield edits that remove types, bind the value of the block to a name, and add the comparisons after it."""
    edits: list[tuple[int, int, str, Node | None]] = []
    for node in asked:
        kind = node.child_by_field_name("type")
        if kind is not None and _might_go(node):
            edits.append((field(node, "pattern").end_byte, kind.end_byte, "", None))
    end = block.end_byte - 1
    value = _value_of(block)
    if value is not None:
        end = value.end_byte
        parent = parent_of(block)
        returned = parent.child_by_field_name("return_type") if parent.type in RETURNING else None
        kind = "" if returned is None or re.search(r"\bimpl\b|^!$", text(returned)) else f": {text(returned)}"
        edits.append((value.start_byte, value.start_byte, f"let {TAIL}{kind} = ", None))
        edits.append((end, end, ";", None))
    for node in asked:
        edits.append((end, end, f"\nlet () = {text(node.child_by_field_name('pattern'))};\n", node))
    if value is not None:
        edits.append((end, end, TAIL, None))
    return edits


def _value_of(block: Node) -> Node | None:
    """Return the expression at the end of a block that is its value."""
    last = [each for each in block.named_children if each.type not in COMMENTS][-1]
    if last.type == "expression_statement":
        return None if last.children[-1].type == ";" else last
    return None if last.type.endswith(("_declaration", "_item", "_definition", "_statement")) else last


def vary_types(code: str, probe: Probe, verdict: Verdict, pick: random.Random) -> str | None:
    """
    Return the code with the types of some `let` statements added or removed, or None if none can be.

    Args:
        code: Original code.
        probe: Result of `probe_types` for it.
        verdict: Verdict on the code of the probe.
        pick: Random generator that chooses the statements.
    """
    edits: set[tuple[int, int, str]] = set()
    # Without some of the annotations, another type may have been inferred, or none in time.
    doubtful = probe.doubtful(verdict)
    for diagnostic in verdict.diagnostics:
        found = FOUND.search(diagnostic.rendered)
        if found is None or diagnostic.line not in probe.lines or diagnostic.line in doubtful:
            continue
        node = probe.lines[diagnostic.line]
        end, kind = field(node, "pattern").end_byte, node.child_by_field_name("type")
        inferred = DEFAULTS.get(found[1], found[1])
        if kind is None and _can_be_written(inferred, node) and found[1] not in DEFAULTS:
            edits.add((end, end, f": {inferred}"))
        elif kind is not None and _might_go(node) and _plain(text(kind)) == _plain(inferred):
            edits.add((end, kind.end_byte, ""))
    chosen = pick.sample(sorted(edits), pick.randint(1, len(edits))) if edits else []
    return apply_edits(code, chosen) if chosen else None


def _plain(kind: str) -> str:
    return re.sub(r"\s", "", kind)


def _can_be_written(kind: str, node: Node) -> bool:
    """Return whether every name in the type is in scope at this place, with the meaning that the compiler reports."""
    if len(kind) > LONGEST or re.search(r"[{}@+]|\b_\b|'_|\b(?:impl|dyn|fn|closure)\b|::|^str$|^\[[^;]*$", kind):
        return False
    named = _named_at(node)
    return all(word in named for word in re.findall(r"(?<!')\b[A-Za-z_]\w*", kind) if word != "mut")


def _named_at(node: Node) -> set[str]:
    """Return the types whose names refer to them at this place; glob imports are not resolved."""
    declared: set[str] = set()
    others: set[str] = set()
    generics = True
    around = node.parent
    while around is not None:
        if around.type in ("block", "declaration_list", "source_file"):
            for item in around.named_children:
                if item.type in ("struct_item", "enum_item", "union_item"):
                    declared.add(text(item.child_by_field_name("name")))
                elif item.type in ("type_item", "trait_item"):
                    others.add(text(item.child_by_field_name("name")))
                elif item.type == "use_declaration":
                    names, aliases = _imported(item)
                    declared |= names
                    others |= aliases
        if around.type == "mod_item":
            break
        parameters = around.child_by_field_name("type_parameters")
        if generics and parameters is not None:
            names = (each.child_by_field_name("name") for each in parameters.named_children)
            declared |= {text(name) for name in names if name is not None}
        # An item in a block cannot use the generics of the surrounding function.
        generics = generics and not (around.type.endswith("_item") and parent_of(around).type == "block")
        around = around.parent
    return (ALWAYS_NAMED - declared | declared - ALWAYS_NAMED) - others


def _imported(use: Node) -> tuple[set[str], set[str]]:
    """Return what a `use` imports under its own name, and the other names that it introduces."""
    names, aliases, waiting = set(), set(), [field(use, "argument")]
    while waiting:
        tree = waiting.pop()
        if tree.type == "identifier":
            names.add(text(tree))
        elif tree.type == "scoped_identifier":
            names.add(text(tree.child_by_field_name("name")))
        elif tree.type == "use_as_clause":
            aliases.add(text(tree.child_by_field_name("alias")))
        elif tree.type == "scoped_use_list":
            waiting.append(field(tree, "list"))
        elif tree.type == "use_list":
            waiting += tree.named_children
    return names, aliases
