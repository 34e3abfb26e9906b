"""
Decide which code snippets may share a compilation, and which must be compiled alone.

In a shared compilation each snippet is a module of one library. A crate root can do things that a module cannot, and
modules of one crate affect each other. The rules below are all differences that a comparison of verdicts has found.
Compiling alone needlessly costs time, a missing rule gives a wrong verdict: in doubt, the answer is alone.
"""

import re

from evaluation.rust.rustc.compiler import CrateType
from evaluation.rust.syntax.analysis import SyntaxReport

MAX_BYTES = 100_000
MAX_NESTING = 200

# Lines that are only a comment in any context: without a quote or the end of a block comment, no code can follow.
COMMENT_LINES = re.compile(rb"^[ \t]*//(?:(?!\*/)[^\"\n])*$", re.MULTILINE)
SUPER = re.compile(rb"\bsuper\b")
# Warnings are off, so these two have the same effect at the head of a module as at the head of a crate: none.
HARMLESS = re.compile(rb"#\s*!\s*\[\s*(?:allow|warn)\s*\([\w\s:,]*\)\s*\]")
RULES = {
    "refers to its crate": rb"\bcrate\b",
    "changes the levels of lints": rb"\b(?:deny|forbid)\b",
    "has attributes of a crate": rb"#\s*!\s*\[",
    "shares macros with the crate": rb"\bmacro_(?:export|use)\b",
    "defines a symbol of the whole program": (
        rb"\b(?:no_mangle|export_name|global_allocator|panic_handler|link|link_section)\b"
    ),
    "is run before main": rb"#\s*!?\s*\[[^\]]*\bused\b",
    "depends on its path or file": rb"\bmodule_path\b|\bfile\s*!|\bLocation\b",
    "includes files": rb"\binclude(?:_str|_bytes)?\b",
    "may evaluate a constant forever": rb"\blong_running_const_eval\b",
}
# Every text that a rule or SUPER matches contains one of these words; searching for them is twenty times as fast.
WORDS = (
    b"crate",
    b"super",
    b"deny",
    b"forbid",
    b"#",
    b"macro_",
    b"no_mangle",
    b"export_name",
    b"global_allocator",
    b"panic_handler",
    b"link",
    b"module_path",
    b"file",
    b"Location",
    b"include",
    b"long_running_const_eval",
)
ALONE = {reason: re.compile(pattern) for reason, pattern in RULES.items()}
# The compiler checks that a binary's main returns a type with `Termination`, but not in a library.
RETURNING_MAIN = b"\nconst _: fn() = || { fn check<T: ::std::process::Termination>(_: fn() -> T) {} check(main); };\n"
ANGLES = re.compile(rb"(?:<\s*){%d}" % (MAX_NESTING + 1))
BRACKETS = re.compile(rb"[()\[\]{}]")


def refusal(code: bytes) -> str | None:
    """
    Return why this code is not compiled at all, or None if it is.

    Deep nesting overflows the compiler's stack. Brackets in strings and comments count as well.
    """
    if len(code) > MAX_BYTES:
        return f"{len(code)} bytes of source, more than the maximum of {MAX_BYTES}"
    if sum(map(code.count, (b"(", b"[", b"{", b"<"))) <= MAX_NESTING:
        return None
    depth = deepest = 0
    for bracket in BRACKETS.findall(code):
        if bracket in b"([{":
            depth += 1
            deepest = max(deepest, depth)
        elif depth:
            depth -= 1
    if deepest > MAX_NESTING:
        return f"brackets nested {deepest} deep, more than the maximum of {MAX_NESTING}"
    if ANGLES.search(code):
        return f"more than {MAX_NESTING} angle brackets in a row"
    return None


def must_compile_alone(
    code: bytes, report: SyntaxReport, edition: str, crate_type: CrateType, confirming: bool = False
) -> str | None:
    """
    Return why this code cannot share a compilation, or None if it can.

    Args:
        code: Source of the snippet.
        report: The analysis of its syntax.
        edition: Rust edition.
        crate_type: Kind of crate.
        confirming: Errors that modules can cause in each other are confirmed by compiling alone. A foreign impl, which
            all modules see, is then allowed to share: it cannot make other code valid.
    """
    if edition == "2015":
        return "paths of edition 2015 start at the crate root"
    if report.has_error:
        return "seems not to parse"  # it shares a crate only with others that seem not to
    if crate_type == "bin" and report.main not in ("plain", "returning"):
        return "has a main function that is checked only in a binary"
    if report.foreign_impl and not confirming:
        return "implements a foreign trait for a foreign type, which all modules see"
    if report.bodiless_module:
        return "has modules in other files"
    if any(name.startswith("!") and name not in ("!allow", "!warn") for name in report.attributes):
        return "has attributes of a crate"
    if not any(word in code for word in WORDS):
        return None
    endless = "may evaluate a constant forever"
    if ALONE[endless].search(code):
        return endless
    text = HARMLESS.sub(b"", COMMENT_LINES.sub(b"", code))
    if len(SUPER.findall(text)) > report.inner_supers:
        return "refers to its parent module"
    return next((reason for reason, pattern in ALONE.items() if pattern.search(text)), None)


def as_module(code: bytes, report: SyntaxReport, crate_type: CrateType) -> bytes:
    """Return the text of a snippet as a module: valid exactly if the snippet is, maybe with other errors."""
    return code + RETURNING_MAIN if crate_type == "bin" and report.main == "returning" else code
