"""
Classify the compiler's errors by category and by the compiler phase that reports them.

`rustc_error_codes.json` has the category of every error code that rustc explains, and its phase where the category
has another usual one. A later phase often does not run after an earlier one failed: an unresolved name hides type
errors. The first failing phase therefore decides, and later phases count as not reached. The result is then also the
same for a snippet compiled alone and in a batch, where the compiler may report fewer errors.
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

# Categories of errors without a code, by the compiler's wording; other messages are errors of the parser.
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
    """Summary of a list of errors."""

    status: Literal["invalid_syntax", "compilation_failed", "semantic_error"]
    checks: dict[str, Check]
    external: bool
    """Whether all errors are about crates that are not linked or files that do not exist."""
    phase: str
    """The first phase that failed."""
    category: str
    """Category of the errors of that phase that decide the status; the first one in `CATEGORIES` if there are several.
    """


def known_codes() -> frozenset[str]:
    """Return every error code that rustc 1.95 explains."""
    return frozenset(CODES)


def category(code: str | None, message: str, rendered: str = "") -> str:
    """
    Return the category of an error, one of `CATEGORIES`.

    Args:
        code: rustc's error code or the name of a lint; None for errors without one. Unknown codes are `other`.
        message: rustc's message.
        rendered: The message with the quoted code, which shows whether it comes from `compile_error!`.
    """
    if code is None:
        if "compile_error!(" in rendered:
            return "macro"
        # Without the names in the code: an error at a name such as `crate` is still the parser's.
        words = QUOTED.sub("``", message)
        return next((name for pattern, name in MESSAGES if pattern.search(words)), "syntax")
    return CODES.get(code) or LINTS.get(code, "other")


def phase(diagnostic: Diagnostic) -> str:
    """Return the phase of the compiler that reports an error, one of `PHASES`."""
    if diagnostic.code is not None and not diagnostic.code.startswith("E"):
        return "borrows"  # lints are checked last
    return UNUSUAL_PHASES.get(diagnostic.code, USUAL_PHASE[diagnostic.category])


def classify(diagnostics: Sequence[Diagnostic]) -> Classification:
    """
    Summarize the errors of one code snippet, of which there must be at least one.

    The errors of the first failing phase decide the status:

    - syntax: `invalid_syntax`;
    - names, macros and attributes: `compilation_failed`, unless all errors are about lifetimes or traits;
    - types and borrows: `semantic_error`, unless no error is about types, traits, ownership, borrows or lifetimes but
      about patterns, constants or unsafe code, for example.

    Within its phase the compiler reports names and macros before lifetimes and traits, and types before patterns. The
    status is therefore the same if it reports only some errors of a phase.

    A check is `error` if one of the deciding errors is in its category, `ok` if its phase was reached without such an
    error, and `not_reached` if its phase is a later one. Moves, borrows and lifetimes are checked in the same phase.
    Code that does not parse reaches no check.
    """
    assert diagnostics, "only code with errors can be classified"
    phases = [phase(diagnostic) for diagnostic in diagnostics]
    first = min(phases, key=PHASES.index)
    deciding = [diagnostic for diagnostic, own in zip(diagnostics, phases, strict=True) if own == first]
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
    """Whether all errors are about crates that are not linked or files that do not exist."""
    crates = {
        name
        for diagnostic in diagnostics
        if diagnostic.code in CRATE_CODES
        for name in MISSING_CRATE.findall(diagnostic.rendered)
    }
    rest = [diagnostic for diagnostic in diagnostics if not _misses_something(diagnostic, crates)]
    # An attribute of such a crate, #[tokio::main], would have replaced `async fn main`.
    attribute = any("#[" in diagnostic.rendered for diagnostic in diagnostics if diagnostic.code == "E0433")
    return len(rest) < len(diagnostics) and all(attribute and diagnostic.code == "E0752" for diagnostic in rest)


def _misses_something(diagnostic: Diagnostic, crates: set[str]) -> bool:
    """Whether an error is about a crate that is not linked, one of `crates`, or a file that does not exist."""
    if diagnostic.code == "E0432":
        paths = [path.split("::") for path in PATH.findall(diagnostic.message)]
        # `crate::a` is missing in this file; for `crate::a::b` the compiler has found `a`.
        return bool(paths) and all(path[0] in crates or (path[0] == "crate" and len(path) == 2) for path in paths)
    if diagnostic.code == "E0433":
        return bool(MISSING_CRATE.search(diagnostic.rendered) or OUTSIDE.search(diagnostic.message))
    if diagnostic.code is None:
        # A macro or attribute with the name of such a crate, #[serde(skip)], is part of it.
        macro = UNKNOWN_MACRO.search(diagnostic.message)
        return bool(MISSING_FILE.search(diagnostic.message)) or (macro is not None and macro[1] in crates)
    return diagnostic.code in ("E0463", "E0583")
