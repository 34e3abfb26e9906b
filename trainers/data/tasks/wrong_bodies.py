"""Wrong bodies for a function: stubs that ignore its meaning, and mutants of its body."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from evaluation.rust.syntax.nodes import field, node_text, walk
from trainers.data.rewriting.bindings import parse
from trainers.data.rewriting.renaming import apply_edits
from trainers.data.tasks.mutants import mutants

# Values by type of the result, as a body that always returns the same one.
CONSTANTS = (
    (r"bool", ("true", "false")),
    (r"[iu](?:8|16|32|64|128|size)", ("0", "1")),
    (r"f(?:32|64)", ("0.0", "1.0")),
    (r"&(?:'\w+ )?str", ('""',)),
    (r"(?:std::string::)?String", ("::std::string::String::new()",)),
    (r"(?:\w+::)*Option<.*>", ("None",)),
    (r"(?:\w+::)*(?:Result<\(\).*>|Result|Result<\(\)>)", ("Ok(())",)),
    (r"Self|&(?:'\w+ )?(?:mut )?Self", ("self",)),
    (r"(?:\w+::)*Ordering", ("::core::cmp::Ordering::Equal", "::core::cmp::Ordering::Less")),
)

MAX_COARSE = 6  # changes in addition to the usual mutants


@dataclass(frozen=True)
class WrongBody:
    """A body that the tests of a function should reject."""

    kind: str
    """"stub", or the kind of the mutant."""
    body: str
    """With its braces."""


def stubs(head: str) -> list[WrongBody]:
    """
    Return bodies that panic or always return the same value. Some may not compile.

    Raises:
        ValueError: The signature does not parse without its impl.
    """
    function = parse(f"{head} {{}}").named_children[-1]
    returns = function.child_by_field_name("return_type")
    if returns is None:
        values = [""]
    else:
        kind = re.sub(r"\s+", " ", node_text(returns))
        constants = [value for pattern, values in CONSTANTS if re.fullmatch(pattern, kind) for value in values]
        values = ["::core::default::Default::default()", *constants]
    return [WrongBody("stub", f"{{ {value} }}") for value in ("::core::todo!()", *values)]


def mutated_bodies(head: str, body: str) -> list[WrongBody]:
    """
    Return mutants of a body. Some may not compile, and some may be correct after all.

    Args:
        head: The signature.
        body: The body with its braces.

    Raises:
        ValueError: The function does not parse without its impl.
    """
    prompt = f"{head.rstrip()} {{"
    found = {}
    texts = [(mutant.kind, mutant.code) for mutant in mutants(prompt, body[1:])]
    for kind, code in (*texts, *islice(_coarse_changes(prompt + body[1:]), MAX_COARSE)):
        text = code[len(prompt) - 1 :].strip()
        if text != body:
            found.setdefault(text, WrongBody(kind, text))
    return list(found.values())


def _coarse_changes(code: str) -> Iterator[tuple[str, str]]:
    """Yield the function without one of its statements, or with a condition that is always the same."""
    body = field(parse(code).named_children[-1], "body")
    for node in walk(body):
        if node.type == "expression_statement" and node.next_named_sibling is not None:
            yield "statement", apply_edits(code, [(*node.byte_range, "")])
        elif node.type == "if_expression":
            condition = field(node, "condition")
            if condition.type not in ("let_condition", "let_chain"):
                for value in ("true", "false"):
                    yield "branch", apply_edits(code, [(*condition.byte_range, value)])
