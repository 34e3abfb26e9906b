"""What kind of error the compiler found, and how far it came: rustc is the type, ownership and lifetime checker.

`rustc_error_codes.json` has a category for every error code that rustc explains, and the phase that reports it. A
later phase of the compiler often does not run after an earlier one failed: an unresolved name hides whether the types
fit. Hence the ladder: the first failing phase decides, and what comes after it is not reached. It also makes the
answer independent of how much else the compiler reported, which differs between a code compiled alone and in a batch.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from evaluation.rust.verdict import CHECKS, Check, Diagnostic

CATEGORIES = (
    "types", "traits", "ownership", "borrows", "lifetimes", "resolve", "syntax", "macro", "const", "attribute",
    "unsafe", "visibility", "pattern", "async", "feature", "other",
)  # fmt: skip
PHASES = ("syntax", "resolve", "types", "borrows")
SEMANTIC = {"types", "traits", "ownership", "borrows", "lifetimes"}
CHECK_OF = {
    "types": "types", "traits": "types", "ownership": "ownership", "borrows": "ownership", "lifetimes": "lifetimes",
}  # fmt: skip
PHASE_OF_CHECK = {"types": "types", "ownership": "borrows", "lifetimes": "borrows"}
USUAL_PHASE = {
    "syntax": "syntax",
    **dict.fromkeys(("resolve", "macro", "attribute", "visibility", "feature"), "resolve"),
    **dict.fromkeys(("types", "traits", "const", "unsafe", "pattern", "async"), "types"),
    **dict.fromkeys(("ownership", "borrows", "lifetimes", "other"), "borrows"),
}

# Errors without a code, by their message; what matches nothing is an error of the parser.
MESSAGES = tuple(
    (re.compile(pattern), category)
    for pattern, category in (
        (r"lifetime may not live long enough|is not general enough|cannot escape .*closure body", "lifetimes"),
        (r"because it is borrowed", "borrows"),
        (r"signature doesn't match|generic parameters may not be used|generic `Self` types", "types"),
        (
            r"cannot be (?:sent|shared) between threads|does not implement|on a trait object|relaxed bounds",
            "traits",
        ),
        (r"implicitly-borrowing pattern", "pattern"),
        (r"^(?:cannot find|cannot determine resolution for the) .*(?:macro|attribute)", "macro"),
        (
            r"macro|metavariable|meta-variable|may be followed by|no rules expected|while expanding|local ambiguity",
            "macro",
        ),
        (
            r"fragment specifier|must repeat|repeat an expression|expected token:|^asm |inline assembly|clobber",
            "macro",
        ),
        (
            r"`(?:global_)?asm!`|operand|the `\w+`.* options? |`pure` option|^(?:invalid )?register|register class",
            "macro",
        ),
        (r"argument|format string|formatting|couldn't read|environment variable|cfg-pattern|compile_error", "macro"),
        (r"attribute", "attribute"),
        (r"crate|prelude|recursion in an (?:im|ex)port", "resolve"),
    )
)
LINTS = {
    "coherence_leak_check": "traits",
    "invalid_reference_casting": "types",
    "unsafe_code": "unsafe",
    **dict.fromkeys(
        ("arithmetic_overflow", "long_running_const_eval", "overflowing_literals", "unconditional_panic"), "const"
    ),
    **dict.fromkeys(("meta_variable_misuse", "semicolon_in_expressions_from_macros"), "macro"),
}

_table = json.loads(files("evaluation.rust").joinpath("rustc_error_codes.json").read_text(encoding="utf-8"))
CODES: dict[str, str] = {code: name for name, codes in _table["categories"].items() for code in codes}
UNUSUAL_PHASES: dict[str, str] = {code: name for name, codes in _table["unusual_phases"].items() for code in codes}

UNLINKED = re.compile(r"unlinked crate `|can't find crate for `|you might be missing crate `|maybe a missing crate `")
OUTSIDE = re.compile(r"unresolved import `(?:crate|super)\b|there are too many leading `super`|in the crate root")
MISSING_FILE = re.compile(r"^couldn't read |^file not found for module ")


@dataclass(frozen=True)
class Classification:
    """What a list of errors amounts to."""

    status: Literal["invalid_syntax", "compilation_failed", "semantic_error"]
    checks: dict[str, Check]
    external: bool
    phase: str
    """The first phase that failed."""


def category(code: str | None, message: str) -> str:
    """One of `CATEGORIES`; `other` for a code this table does not know, such as one of a newer compiler."""
    if code is None:
        return next((name for pattern, name in MESSAGES if pattern.search(message)), "syntax")
    return CODES.get(code) or LINTS.get(code, "other")


def phase(diagnostic: Diagnostic) -> str:
    """The phase of the compiler, one of `PHASES`, that reports such an error."""
    if diagnostic.code is not None and not diagnostic.code.startswith("E"):
        return "borrows"  # lints are the last to be checked
    return UNUSUAL_PHASES.get(diagnostic.code, USUAL_PHASE[diagnostic.category])


def classify(diagnostics: Sequence[Diagnostic]) -> Classification:
    """What errors of one code amount to.

    The errors of the first failing phase decide. Failed parsing is `invalid_syntax`. Failed names, macros and
    attributes are `compilation_failed`, unless all those errors are about lifetimes or traits; failed types and
    borrows are `semantic_error`, unless all those errors are of another kind, such as patterns, constants or unsafe
    code.

    A check is an `error` if one of the deciding errors is of its kind, `ok` if the compiler came to it without one,
    and `not_reached` if it belongs to a later phase.
    """
    assert diagnostics, "only code with errors has a kind of error"
    phases = [phase(diagnostic) for diagnostic in diagnostics]
    first = min(phases, key=PHASES.index)
    deciding = [diagnostic for diagnostic, its in zip(diagnostics, phases, strict=True) if its == first]
    kinds = {diagnostic.category for diagnostic in deciding}
    if first == "syntax":
        status = "invalid_syntax"
    elif first == "resolve":
        status = "semantic_error" if kinds <= SEMANTIC else "compilation_failed"
    else:
        status = "semantic_error" if kinds & SEMANTIC else "compilation_failed"
    failed = {CHECK_OF[kind] for kind in kinds & SEMANTIC}
    checks: dict[str, Check] = {}
    for check in CHECKS:
        reached = PHASES.index(PHASE_OF_CHECK[check]) <= PHASES.index(first)
        checks[check] = "error" if check in failed else "ok" if reached else "not_reached"
    return Classification(status, checks, _is_external(diagnostics), first)


def _is_external(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether all errors are about crates that are not linked and files that are not there."""
    rest = [diagnostic for diagnostic in diagnostics if not _misses_something(diagnostic)]
    # An attribute of such a crate, #[tokio::main], would have made an ordinary function of `async fn main`.
    attribute = any("#[" in diagnostic.rendered for diagnostic in diagnostics if diagnostic.code == "E0433")
    return len(rest) < len(diagnostics) and all(attribute and diagnostic.code == "E0752" for diagnostic in rest)


def _misses_something(diagnostic: Diagnostic) -> bool:
    """Whether an error is about a crate that is not linked, or a file that is not there."""
    if diagnostic.code in ("E0432", "E0433", "E0463"):
        return bool(UNLINKED.search(diagnostic.rendered) or OUTSIDE.search(diagnostic.rendered))
    return diagnostic.code == "E0583" or (diagnostic.code is None and bool(MISSING_FILE.search(diagnostic.message)))
