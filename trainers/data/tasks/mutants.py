"""Mutants: wrong variants of a solution, which the hidden cases of a task must reject.

Each has one change: another operator, another constant, a negated condition, an end of a range moved by one, another
method, another field or parameter of the same type, another variant, or a removed statement. Changes inside `while`
and `loop` come last because the program may then never end. If there are too few possible changes, the result of the
function is changed instead.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from evaluation.rust.syntax.nodes import field, parent_of, walk
from trainers.data.rewriting.bindings import parse, text
from trainers.data.rewriting.renaming import apply_edits

OPERATORS = {
    "+": "-",
    "-": "+",
    "*": "+",
    "/": "*",
    "%": "/",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "&&": "||",
    "||": "&&",
    "&": "|",
    "|": "&",
    "^": "|",
    "<<": ">>",
    ">>": "<<",
    "+=": "-=",
    "-=": "+=",
    "*=": "+=",
    "/=": "*=",
    "%=": "/=",
}
OFF_BY_ONE = {"<", "<=", ">", ">="}
METHODS = (
    ("max", "min"),
    ("any", "all"),
    ("first", "last"),
    ("take", "skip"),
    ("is_some", "is_none"),
    ("is_ok", "is_err"),
    ("to_uppercase", "to_lowercase"),
    ("to_ascii_uppercase", "to_ascii_lowercase"),
    ("starts_with", "ends_with"),
    ("sum", "product"),
    ("min_by_key", "max_by_key"),
    ("take_while", "skip_while"),
    ("is_uppercase", "is_lowercase"),
    ("trim_start", "trim_end"),
    ("find", "rfind"),
    ("position", "rposition"),
    ("saturating_sub", "wrapping_add"),
    ("checked_add", "checked_sub"),
    ("count_ones", "count_zeros"),
    ("pop_front", "pop_back"),
    ("floor", "ceil"),
    ("is_lt", "is_gt"),
    ("push_front", "push_back"),
    ("is_alphabetic", "is_numeric"),
    ("div_euclid", "rem_euclid"),
    ("rotate_left", "rotate_right"),
    ("pow", "max"),
    ("cmp", "partial_cmp"),
    ("union", "intersection"),
)
OTHER_METHOD = {a: b for a, b in METHODS} | {b: a for a, b in METHODS}
DROPPED = {"rev", "filter", "map", "skip_while", "step_by", "chain", "trim", "abs", "unwrap_or", "copied", "enumerate"}
INTEGER = r"[iu](?:8|16|32|64|128|size)"
# For each type of the result, expressions that are returned instead of it.
RESULTS = tuple(
    (re.compile(pattern), expressions)
    for pattern, expressions in (
        (INTEGER, ("{r}.wrapping_add(1)", "{r}.wrapping_sub(1)", "{r}.wrapping_mul(3)")),
        (r"f(?:32|64)", ("{r} + 1.0", "-{r} - 1.0", "{r} * 3.0 + 1.0")),
        (r"bool", ("!{r}", "{r} || true", "{r} && false")),
        (r"String", ('{r} + "x"', "{r}.chars().skip(1).collect()", "{r}.chars().rev().collect()")),
        (
            r"Vec<.*>",
            tuple(f"{{r}}.into_iter().{each}.collect()" for each in ("skip(1)", "rev()", "take(1)")),
        ),
        (rf"Option<{INTEGER}>", ("{r}.map(|each| each.wrapping_add(1))", "{r}.map(|each| each / 2)")),
        (r"Option<.*>", ("{r}.and(None)", "{r}.or(Some(Default::default()))", "{r}.xor(Some(Default::default()))")),
        (
            r"Result<.*>",
            (
                "{r}.and(Ok(Default::default()))",
                "{r}.or(Ok(Default::default()))",
                "{r}.and_then(|_| Err(Default::default()))",
            ),
        ),
        (r"\((.+), \1\)", ("({r}.1, {r}.0)", "({r}.0.clone(), {r}.0)", "({r}.1.clone(), {r}.1)")),
        (r"\(.*\)", ("({r}.0, Default::default())", "(Default::default(), {r}.1)", "Default::default()")),
        (r"&(?:'\w+ )?str", ('{r}.get(1..).unwrap_or("x")', '{r}.get(..1).unwrap_or("x")', "{r}.split_at(0).0")),
        (
            r"(?:BTree|Hash)(?:Map|Set)<.*>",
            tuple(f"{{r}}.into_iter().{each}.collect()" for each in ("skip(1)", "take(1)", "take(0)")),
        ),
    )
)
VALUES_OF = {"field_expression", "binary_expression", "arguments", "block", "match_arm", "return_expression"}
MAX_MUTANTS = 12
# Ordered by how often they compile and are wrong.
KINDS = ("branch", "operator", "statement", "constant", "off_by_one", "method", "name")


@dataclass(frozen=True)
class Mutant:
    """A program with one change."""

    kind: str
    """One of `KINDS`, or "result"."""
    code: str


def mutants(prompt: str, solution: str, seed: int = 0) -> list[Mutant]:
    """
    Return up to `MAX_MUTANTS` wrong variants of a solution of as many kinds as possible, starting with those that are
    likely to terminate. Some may not compile, and some may be correct after all.
    """
    code = prompt + solution
    root = parse(code)
    begin = len(prompt.encode()) - 2
    # `Node.parent` searches from the root down.
    parents = {child: node for node in walk(root) for child in node.children}
    alike = {
        "field_identifier": _alike(root, "field_declaration"),
        "identifier": _alike(root, "parameter", begin),
        "scoped_identifier": _alike(root, "enum_variant"),
    }
    safe: dict[str, list[Edit]] = defaultdict(list)
    risky: list[tuple[str, Edit]] = []
    endless = 0
    for node in walk(root):
        if node.type in ("while_expression", "loop_expression"):
            endless = max(endless, node.end_byte)
        if node.start_byte < begin:
            continue
        for kind, edit in (*_changes(node, parents), *_other_names(node, parents, alike)):
            if node.start_byte < endless:
                risky.append((kind, edit))
            else:
                safe[kind].append(edit)
    pick = random.Random(f"{seed} {code}")
    found = []
    for kind in KINDS:
        pick.shuffle(safe[kind])
    while len(found) < MAX_MUTANTS and any(safe.values()):
        found += [(kind, safe[kind].pop()) for kind in KINDS if safe[kind]]
    pick.shuffle(risky)
    results = [("result", edit) for edit in _other_results(root, begin)]
    rest = results + risky
    chosen = found + rest if len(found) < 4 else found[: MAX_MUTANTS - 4] + rest[:4]
    return [Mutant(kind, apply_edits(code, [edit])) for kind, edit in chosen[:MAX_MUTANTS]]


Edit = tuple[int, int, str]
Change = tuple[str, Edit]


def _changes(node: Node, parents: Mapping[Node, Node]) -> Iterator[Change]:
    """Yield possible changes: the kind, and the edit with its start, end and new text."""
    if node.type in ("binary_expression", "compound_assignment_expr"):
        operator = field(node, "operator")
        sign = text(operator)
        if sign in OPERATORS:
            yield "off_by_one" if sign in OFF_BY_ONE else "operator", (*operator.byte_range, OPERATORS[sign])
    elif node.type == "range_expression":
        for child in node.children:
            if child.type in ("..", "..=") and child.end_byte < node.end_byte:
                yield "off_by_one", (*child.byte_range, "..=" if child.type == ".." else "..")
    elif node.type == "integer_literal":
        match = re.fullmatch(r"(\d+)(\D.*)?", text(node))
        if match and parents[node].type not in ("range_pattern", "array_type"):
            number, suffix = int(match[1]), match[2] or ""
            yield "constant", (*node.byte_range, f"{number + 1}{suffix}")
            if number:
                yield "constant", (*node.byte_range, f"{number - 1}{suffix}")
    elif node.type == "unary_expression" and node.children[0].type == "-":
        yield "operator", (node.start_byte, node.start_byte + 1, "")
    elif node.type == "boolean_literal":
        yield "constant", (*node.byte_range, "false" if text(node) == "true" else "true")
    elif node.type == "string_literal" and len(text(node)) > 2 and parents[node].type != "token_tree":
        yield "constant", (node.end_byte - 1, node.end_byte - 1, "_")
    elif node.type == "field_identifier" and parents[parents[node]].type in ("call_expression", "generic_function"):
        receiver = parents[node].child_by_field_name("value")
        if text(node) in OTHER_METHOD:
            yield "method", (*node.byte_range, OTHER_METHOD[text(node)])
        elif text(node) in DROPPED and receiver is not None and receiver.type == "call_expression":
            call = parents[parents[node]]
            call = call if call.type == "call_expression" else parents[call]
            yield "method", (receiver.end_byte, call.end_byte, "")
    elif node.type in ("if_expression", "match_pattern"):
        condition = node.child_by_field_name("condition")
        if condition is not None and condition.type not in ("let_condition", "let_chain"):
            yield "branch", (*condition.byte_range, f"!({text(condition)})")
    elif node.type == "expression_statement" and node.children[-1].type == ";":
        if node.named_children[0].type in ("assignment_expression", "compound_assignment_expr", "call_expression"):
            yield "statement", (*node.byte_range, "")


def _alike(root: Node, declared: str, begin: int = 0) -> dict[str, list[str]]:
    """
    Return, for each name that nodes of a type declare in an item that ends after `begin`, the others of the same place
    and type. Variants have the name of their enum before them; those with data are left out.
    """
    names: dict[tuple[Node, str], list[str]] = defaultdict(list)
    for node in walk(root):
        if node.type != declared or node.child_by_field_name("body") is not None:
            continue
        place, kind = parent_of(node), node.child_by_field_name("type")
        name = field(node, "pattern" if declared == "parameter" else "name")
        prefix = f"{text(field(parent_of(place), 'name'))}::" if declared == "enum_variant" else ""
        if name.child_count == 0 and parent_of(place).end_byte > begin:
            names[place, text(kind) if kind else ""].append(prefix + text(name))
    return {name: [each for each in group if each != name] for group in names.values() for name in group}


def _other_names(
    node: Node, parents: Mapping[Node, Node], alike: Mapping[str, Mapping[str, Sequence[str]]]
) -> Iterator[Change]:
    """Yield changes of a field that is read, a parameter or a variant to the others of the same type."""
    parent = parents.get(node)
    if parent is None or node.type not in alike or text(node) not in alike[node.type]:
        return
    is_method = node.type == "field_identifier" and parents[parent].type == "call_expression"
    if parent.type in VALUES_OF and not is_method:
        for other in alike[node.type][text(node)]:
            yield "name", (*node.byte_range, other)


def _other_results(root: Node, begin: int) -> Iterator[Edit]:
    """Yield bodies of the first function that compute the correct result and return something else."""
    functions = (node for node in root.named_children if node.type == "function_item" and node.end_byte > begin)
    function = next(functions, None)
    if function is None:
        return
    returns, body = function.child_by_field_name("return_type"), field(function, "body")
    kind = text(returns)
    for pattern, expressions in RESULTS:
        if pattern.fullmatch(kind):
            for expression in expressions:
                given = f"{{ let given = (move || -> {kind} {text(body)})(); {expression.format(r='given')} }}"
                yield *body.byte_range, given


def constant(prompt: str, solution: str, checker: str) -> str:
    """Return the code with every function after the prompt always returning its most frequently expected result."""
    code = prompt + solution
    begin = len(prompt.encode()) - 2
    edits = []
    for node in parse(code).named_children:
        if node.type != "function_item" or field(node, "body").end_byte <= begin:
            continue
        expected = _expected(checker, text(node.child_by_field_name("name")))
        returns = node.child_by_field_name("return_type")
        usual = max(expected, key=expected.count) if expected else "Default::default()"
        # The expected value may be an array or a `&str` that equals the result.
        if text(returns).startswith("Vec<") and usual.startswith("["):
            usual = f"vec!{usual}"
        if text(returns) == "String" and usual.startswith('"'):
            usual = f"{usual}.to_string()"
        edits.append((*field(node, "body").byte_range, "{}" if returns is None else f"{{ {usual} }}"))
    return apply_edits(code, edits)


def _expected(checker: str, name: str) -> list[str]:
    """Return the right sides of the cases `check!(name(..) == expected)`."""
    found = []
    for case in re.finditer(rf"check!\({name}\(", checker):
        depth, index, left_end = 2, case.end(), None
        quoted = False
        while depth and index < len(checker):
            character = checker[index]
            if character == '"' and checker[index - 1] != "\\" and checker[index - 1 : index + 2] != "'\"'":
                quoted = not quoted
            if not quoted and checker[index - 1] != "'":
                depth += (character in "([{") - (character in ")]}")
                if depth == 1 and left_end is None and checker.startswith(" == ", index):
                    left_end = index + 4
            index += 1
        if left_end is not None:
            found.append(checker[left_end : index - 1])
    return found
