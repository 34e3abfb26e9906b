"""Which code may be compiled together with others, and which must be alone because it would see or touch them.

Together means: each code is a module of one library. A crate root has rights a module has not, and modules of one
crate are not strangers to each other; the rules below name every difference that was found by comparing verdicts. A
code sent alone for nothing costs time, a missing rule costs a wrong verdict: in doubt, alone.
"""

import re

from evaluation.rust.rustc.compiler import CrateType
from evaluation.rust.syntax.analysis import SyntaxReport

MAX_BYTES = 100_000
MAX_NESTING = 200

# Lines that are nothing but a comment, wherever they stand: without a quote or the end of a block comment no code
# follows.
COMMENT_LINES = re.compile(rb"^[ \t]*//(?:(?!\*/)[^\"\n])*$", re.MULTILINE)
SUPER = re.compile(rb"\bsuper\b")
# Warnings are off; at the head of a module these two do nothing else than at the head of a crate.
HARMLESS = re.compile(rb"#\s*!\s*\[\s*(?:allow|warn)\s*\([\w\s:,]*\)\s*\]")
RULES = {
    "names its crate": rb"\bcrate\b",
    "changes how errors are found": rb"\b(?:deny|forbid)\b",
    "has attributes of a crate": rb"#\s*!\s*\[",
    "shares macros with the crate": rb"\bmacro_(?:export|use)\b",
    "defines a symbol of the whole program": (
        rb"\b(?:no_mangle|export_name|global_allocator|panic_handler|link|link_section)\b"
    ),
    "is run before main": rb"#\s*!?\s*\[[^\]]*\bused\b",
    "asks where it stands": rb"\bmodule_path\b|\bfile\s*!|\bLocation\b",
    "includes files": rb"\binclude(?:_str|_bytes)?\b",
    "may compute for ever": rb"\blong_running_const_eval\b",
}
# One of these is in every text that a rule or SUPER matches; to look for them is a twentieth of the rules' work.
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
# A program's main may return what `Termination` takes; a library does not ask.
RETURNING_MAIN = b"\nconst _: fn() = || { fn check<T: ::std::process::Termination>(_: fn() -> T) {} check(main); };\n"
ANGLES = re.compile(rb"(?:<\s*){%d}" % (MAX_NESTING + 1))
BRACKETS = re.compile(rb"[()\[\]{}]")


def refusal(code: bytes) -> str | None:
    """Why this code is not given to the compiler at all; None if it is.

    The compiler's stack overflows on deep nesting. Brackets in strings and comments count too.
    """
    if len(code) > MAX_BYTES:
        return f"{len(code)} bytes of source, at most {MAX_BYTES} are compiled"
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
        return f"brackets nested {deepest} deep, at most {MAX_NESTING} are compiled"
    if ANGLES.search(code):
        return f"more than {MAX_NESTING} angle brackets in a row"
    return None


def must_compile_alone(
    code: bytes, report: SyntaxReport, edition: str, crate_type: CrateType, confirming: bool = False
) -> str | None:
    """Why this code cannot share a compilation; None if it can.

    When the errors that it can cause in other codes, or have because of them, are confirmed alone, an impl that all
    modules see does no harm: it makes nobody's code valid.
    """
    if edition == "2015":
        return "paths of edition 2015 start at the crate's root"
    if report.has_error:
        return "seems not to parse"  # and shares a crate only with others that seem so
    if crate_type == "bin" and report.main not in ("plain", "returning"):
        return "has a main function that only a program's root checks"
    if report.foreign_impl and not confirming:
        return "implements a foreign trait for a foreign type, which all modules see"
    if report.bodiless_module:
        return "has modules in other files"
    if any(name.startswith("!") and name not in ("!allow", "!warn") for name in report.attributes):
        return "has attributes of a crate"
    if not any(word in code for word in WORDS):
        return None
    if ALONE["may compute for ever"].search(code):
        return "may compute for ever"
    text = HARMLESS.sub(b"", COMMENT_LINES.sub(b"", code))
    if len(SUPER.findall(text)) > report.inner_supers:
        return "names its parent module"
    return next((reason for reason, pattern in ALONE.items() if pattern.search(text)), None)


def as_module(code: bytes, report: SyntaxReport, crate_type: CrateType) -> bytes:
    """The text that stands for a code in a batch: valid exactly when the code is, though with other errors perhaps."""
    return code + RETURNING_MAIN if crate_type == "bin" and report.main == "returning" else code
