"""License expressions: SPDX, its older form with slashes, and the names of Debian's copyright files."""

import re
from functools import cache

from license_expression import (
    AND,
    OR,
    ExpressionError,
    ExpressionParseError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    Licensing,
    get_spdx_licensing,
)

from trainers.data.sources.document import UNKNOWN_LICENSE

Parsed = LicenseSymbol | LicenseWithExceptionSymbol | AND | OR

PERMISSIVE = frozenset(
    """
    0BSD Apache-2.0 BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause BSL-1.0 CC0-1.0 ISC MIT
    MIT-0 NCSA PostgreSQL Unicode-3.0 Unicode-DFS-2016 Unlicense WTFPL X11 Zlib zlib-acknowledgement
    """.split()
)
"""SPDX identifiers of licenses that ask for no more than a notice."""

# Names of Debian's copyright files in lower case that are not SPDX identifiers. Longer ones first.
_DEBIAN_NAMES = {
    "unicode data files and software license": "Unicode-DFS-2016",
    "with gcc-runtime-library exception": "WITH GCC-exception-3.1",
    "with llvm exception": "WITH LLVM-exception",
    "public-domain": "LicenseRef-public-domain",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "unicode": "Unicode-DFS-2016",
    "expat": "MIT",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "cc0": "CC0-1.0",
}
_DEBIAN_NAME = re.compile(
    r"(?<![\w.+-])(" + "|".join(map(re.escape, _DEBIAN_NAMES)) + r")(?![\w+-]|\.\d)", re.IGNORECASE
)
_GNU = re.compile(r"(?<![\w.-])(A?GPL|LGPL|GFDL)-(\d)(?:\.(\d))?(\+)?(?![\w.+-])", re.IGNORECASE)
_SLASHES = re.compile(r"[\w.+-]+(?:\s*/\s*[\w.+-]+)+")
_OR_LATER = re.compile(r"(?<=\w)\+(?=$|[\s)])")


@cache
def spdx_licensing() -> Licensing:
    """Return the parser of expressions, which knows all identifiers of SPDX; it takes a moment to make."""
    return get_spdx_licensing()


@cache
def spdx_expression(text: str) -> str:
    """
    Return a license in SPDX's form, for example "MIT OR Apache-2.0" for "MIT/Apache-2.0". Return `UNKNOWN_LICENSE` if
    it is no expression.
    """
    parsed = _parse(_SLASHES.sub(lambda found: "(" + " OR ".join(map(str.strip, found[0].split("/"))) + ")", text))
    return UNKNOWN_LICENSE if parsed is None else parsed.render()


@cache
def debian_expression(text: str) -> str:
    """
    Return a license of a Debian copyright file, such as "Expat or GPL-2+, and CC0", as an SPDX expression. Names that
    SPDX does not have become "LicenseRef-NAME".
    """
    # A comma before the word binds less than the word alone.
    clauses = re.split(r",\s*(and|or)\s+", " ".join(text.split()), flags=re.IGNORECASE)
    expression = _debian_clause(clauses[0])
    for word, clause in zip(clauses[1::2], clauses[2::2], strict=True):
        expression = f"({expression}) {word.upper()} ({_debian_clause(clause)})"
    return spdx_expression(expression)


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """
    Whether a license expression permits what one of the allowed licenses permits: one side of an OR must be allowed,
    and both of an AND. An exception (WITH) only adds permissions. Unknown licenses are not allowed.
    """
    parsed = _parse(expression)
    return parsed is not None and _permits(parsed, allowed)


def _permits(parsed: Parsed, allowed: frozenset[str]) -> bool:
    if isinstance(parsed, OR):
        return any(_permits(each, allowed) for each in parsed.args)
    if isinstance(parsed, AND):
        return all(_permits(each, allowed) for each in parsed.args)
    if isinstance(parsed, LicenseWithExceptionSymbol):
        return parsed.license_symbol.key in allowed
    return parsed.key in allowed


@cache
def _parse(text: str) -> Parsed | None:
    try:
        parsed = spdx_licensing().parse(text)
        # A version "or later" may be taken as the version itself.
        if "+" in text and spdx_licensing().unknown_license_keys(parsed):
            parsed = spdx_licensing().parse(_OR_LATER.sub("", text))
    except (ExpressionError, ExpressionParseError):
        return None
    # The library takes words that it does not know for the name of one license.
    if not isinstance(parsed, Parsed) or any(" " in key for key in spdx_licensing().unknown_license_keys(parsed)):
        return None
    return parsed


def _debian_clause(text: str) -> str:
    text = _DEBIAN_NAME.sub(lambda found: _DEBIAN_NAMES[found[0].lower()], text)
    text = _GNU.sub(_gnu_name, text)
    words = re.split(r"\s+(or|and|with)\s+", text, flags=re.IGNORECASE)
    return " ".join(_debian_name(word) if index % 2 == 0 else word.upper() for index, word in enumerate(words))


def _gnu_name(found: re.Match[str]) -> str:
    name, major, minor, later = found.groups()
    return f"{name.upper()}-{major}.{minor or 0}-{'or-later' if later else 'only'}"


def _debian_name(word: str) -> str:
    licensing = spdx_licensing()
    parsed = _parse(word)
    if parsed is not None and not licensing.unknown_license_keys(parsed):
        return word
    return f"LicenseRef-{re.sub(r'[^A-Za-z0-9.]+', '-', word.removeprefix('LicenseRef-')).strip('-') or 'none'}"
