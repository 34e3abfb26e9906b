"""Wrong bodies for a function: stubs that ignore its meaning, and mutants of its body."""

import re
from dataclasses import dataclass

from evaluation.rust.syntax.nodes import node_text
from trainers.data.rewriting.bindings import parse
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
    for mutant in mutants(prompt, body[1:]):
        text = mutant.code[len(prompt) - 1 :].strip()
        if text != body:
            found.setdefault(text, WrongBody(mutant.kind, text))
    return list(found.values())
