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
    "types",
    "traits",
    "ownership",
    "borrows",
    "lifetimes",
    "resolve",
    "syntax",
    "macro",
    "const",
    "attribute",
    "unsafe",
    "visibility",
    "pattern",
    "async",
    "feature",
    "other",
)
PHASES = ("syntax", "resolve", "types", "borrows")
SEMANTIC = {"types", "traits", "ownership", "borrows", "lifetimes"}
CHECK_OF = {
    "types": "types",
    "traits": "types",
    "ownership": "ownership",
    "borrows": "ownership",
    "lifetimes": "lifetimes",
}
PHASE_OF_CHECK = {"types": "types", "ownership": "borrows", "lifetimes": "borrows"}
USUAL_PHASE = {
    "syntax": "syntax",
    **dict.fromkeys(("resolve", "macro", "attribute", "visibility", "feature"), "resolve"),
    **dict.fromkeys(("types", "traits", "const", "unsafe", "pattern", "async"), "types"),
    **dict.fromkeys(("ownership", "borrows", "lifetimes", "other"), "borrows"),
}

# Errors without a code, by the compiler's own words; what matches nothing is an error of the parser.
MESSAGES = tuple(
    (re.compile(pattern), category)
    for pattern, category in (
        (r"^expected .* after .*attribute|inner attribute is not permitted", "syntax"),
        (r"^macros that expand to items must|^generic arguments must come before", "syntax"),
        (
            r"lifetime may not live long enough|does not live long enough|higher-ranked (?:lifetime|subtype)",
            "lifetimes",
        ),
        (r"is not general enough|cannot escape .*closure body", "lifetimes"),
        (r"because it is borrowed", "borrows"),
        (r"is private$", "visibility"),
        (r"const eval|in final value of|unconstrained generic constant", "const"),
        (r"not yet stable as a const", "feature"),
        (r"signature doesn't match|generic parameters may not be used|generic `` types", "types"),
        (r"forbidden as the type of a const|opaque type", "types"),
        (
            r"cannot be (?:sent|shared) between threads|does not implement|on a trait object|relaxed bounds",
            "traits",
        ),
        (r"implicitly-borrowing pattern", "pattern"),
        (r"^(?:cannot find|cannot determine resolution for the) .*(?:macro|attribute)", "macro"),
        (
            r"macro|metavariable|meta-variable|(?:may be|is) followed by|no rules expected|while expanding",
            "macro",
        ),
        (r"local ambiguity|fragment specifier|must repeat|repeat an expression|duplicate matcher", "macro"),
        (r"expected token:|^expected a literal$|^cannot concatenate", "macro"),
        (r"^asm |inline assembly|clobber|operand|^the ``.* options? |^(?:invalid )?register|register class", "macro"),
        (r"argument|format string|formatting|couldn't read|environment variable|cfg-pattern", "macro"),
        (r"attribute", "attribute"),
        (r"crate|prelude|recursion in an (?:im|ex)port|resolution for the import|^imports? ", "resolve"),
    )
)
QUOTED = re.compile(r"`[^`]*`")
LINTS = {
    "ambiguous_associated_items": "resolve",
    "coherence_leak_check": "traits",
    "elided_lifetimes_in_associated_constant": "lifetimes",
    "pub_use_of_private_extern_crate": "visibility",
    "soft_unstable": "feature",
    **dict.fromkeys(
        (
            "dependency_on_unit_never_type_fallback",
            "invalid_reference_casting",
            "invalid_type_param_default",
            "mutable_transmutes",
            "never_type_fallback_flowing_into_unsafe",
        ),
        "types",
    ),
    **dict.fromkeys(
        (
            "dangerous_implicit_autorefs",
            "deref_nullptr",
            "invalid_from_utf8_unchecked",
            "invalid_null_arguments",
            "static_mut_refs",
            "unsafe_code",
        ),
        "unsafe",
    ),
    **dict.fromkeys(
        ("arithmetic_overflow", "long_running_const_eval", "overflowing_literals", "unconditional_panic"), "const"
    ),
    **dict.fromkeys(
        (
            "binary_asm_labels",
            "incomplete_include",
            "legacy_derive_helpers",
            "macro_expanded_macro_exports_accessed_by_absolute_paths",
            "meta_variable_misuse",
            "named_asm_labels",
            "out_of_scope_macro_calls",
            "semicolon_in_expressions_from_macros",
        ),
        "macro",
    ),
    **dict.fromkeys(
        (
            "ill_formed_attribute_input",
            "invalid_macro_export_arguments",
            "no_mangle_const_items",
            "repr_transparent_non_zst_fields",
            "unknown_crate_types",
            "useless_deprecated",
        ),
        "attribute",
    ),
}

_table = json.loads(files("evaluation.rust.rustc").joinpath("rustc_error_codes.json").read_text(encoding="utf-8"))
CODES: dict[str, str] = {code: name for name, codes in _table["categories"].items() for code in codes}
UNUSUAL_PHASES: dict[str, str] = {code: name for name, codes in _table["unusual_phases"].items() for code in codes}

CRATE_CODES = ("E0432", "E0433", "E0463")
MISSING_CRATE = re.compile(r"(?:unlinked crate|missing crate|can't find crate for) `([a-z]\w*)`")
OUTSIDE = re.compile(r"^too many leading `super` keywords|^cannot find `\w+` in `crate`$")
MISSING_FILE = re.compile(r"^couldn't read |^file not found for module ")
UNKNOWN_MACRO = re.compile(r"^cannot find (?:attribute|macro) `(\w+)` in this scope")
PATH = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Classification:
    """What a list of errors amounts to."""

    status: Literal["invalid_syntax", "compilation_failed", "semantic_error"]
    checks: dict[str, Check]
    external: bool
    phase: str
    """The first phase that failed."""
    category: str
    """The kind of that phase's errors that the status speaks of; of several, the first in `CATEGORIES`."""


def known_codes() -> frozenset[str]:
    """Every error code that rustc 1.95 explains."""
    return frozenset(CODES)


def category(code: str | None, message: str, rendered: str = "") -> str:
    """One of `CATEGORIES`; `other` for a code this table does not know, such as one of a newer compiler.

    `rendered` tells an error that a macro made by `compile_error!`, whose message can be anything.
    """
    if code is None:
        if "compile_error!(" in rendered:
            return "macro"
        # Not the names in the code: an error at `crate` or `macro` is still the parser's.
        words = QUOTED.sub("``", message)
        return next((name for pattern, name in MESSAGES if pattern.search(words)), "syntax")
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

    Names and macros are reported before lifetimes and traits within their phase, types before patterns: where the
    compiler reports only some errors of a phase, the status is the same.

    A check is an `error` if one of the deciding errors is of its kind, `ok` if the compiler came to it without one,
    and `not_reached` if it belongs to a later phase. Moves, borrows and lifetimes are checked together. Nothing is
    reached in code that does not parse.
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
    telling = (kinds & SEMANTIC if status == "semantic_error" else kinds - SEMANTIC) or kinds
    failed = set() if first == "syntax" else {CHECK_OF[kind] for kind in kinds & SEMANTIC}
    checks: dict[str, Check] = {}
    for check in CHECKS:
        reached = PHASES.index(PHASE_OF_CHECK[check]) <= PHASES.index(first)
        checks[check] = "error" if check in failed else "ok" if reached else "not_reached"
    return Classification(status, checks, _is_external(diagnostics), first, min(telling, key=CATEGORIES.index))


def _is_external(diagnostics: Sequence[Diagnostic]) -> bool:
    """Whether all errors are about crates that are not linked and files that are not there."""
    crates = {
        name
        for diagnostic in diagnostics
        if diagnostic.code in CRATE_CODES
        for name in MISSING_CRATE.findall(diagnostic.rendered)
    }
    rest = [diagnostic for diagnostic in diagnostics if not _misses_something(diagnostic, crates)]
    # An attribute of such a crate, #[tokio::main], would have made an ordinary function of `async fn main`.
    attribute = any("#[" in diagnostic.rendered for diagnostic in diagnostics if diagnostic.code == "E0433")
    return len(rest) < len(diagnostics) and all(attribute and diagnostic.code == "E0752" for diagnostic in rest)


def _misses_something(diagnostic: Diagnostic, crates: set[str]) -> bool:
    """Whether an error is about a crate that is not linked, named in `crates`, or a file that is not there."""
    if diagnostic.code == "E0432":
        paths = [path.split("::") for path in PATH.findall(diagnostic.message)]
        # `crate::a` is not in this file; of `crate::a::b` the compiler found `a` here.
        return bool(paths) and all(path[0] in crates or (path[0] == "crate" and len(path) == 2) for path in paths)
    if diagnostic.code == "E0433":
        return bool(MISSING_CRATE.search(diagnostic.rendered) or OUTSIDE.search(diagnostic.message))
    if diagnostic.code is None:
        # What bears the name of such a crate, #[serde(skip)], would have come with it.
        macro = UNKNOWN_MACRO.search(diagnostic.message)
        return bool(MISSING_FILE.search(diagnostic.message)) or (macro is not None and macro[1] in crates)
    return diagnostic.code in ("E0463", "E0583")
