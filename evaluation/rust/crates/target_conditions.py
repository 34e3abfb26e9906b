"""Conditions on the platform in manifests, such as `cfg(all(unix, not(target_os = "macos")))`."""

import functools
import re
import subprocess
from collections.abc import Iterator

from evaluation.rust.rustc.toolchain import Toolchain

TOKEN = re.compile(r'\s*(?:([A-Za-z_][A-Za-z0-9_]*)|("[^"]*")|([(),=]))')


@functools.cache
def host_options(toolchain: Toolchain) -> frozenset[str]:
    """Return the compiler's configuration options for this machine, as in `rustc --print cfg`, and its triple."""
    command = [toolchain.rustc, "--print", "cfg"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    triple = re.search(r"^host: (\S+)", toolchain.identity, re.MULTILINE)
    assert triple is not None, "rustc -vV names its host"
    return frozenset([*answer.stdout.split("\n"), triple[1]])


def holds(target: str | None, options: frozenset[str]) -> bool | None:
    """
    Whether a condition holds on a platform; None if it cannot be read.

    Args:
        target: Key of a manifest's table `target`: a triple or a `cfg(...)` expression. None always holds.
        options: Configuration options of the platform, and its triple.
    """
    if target is None:
        return True
    if not target.startswith("cfg("):
        return target in options
    tokens = _tokens(target)
    try:
        value = _expression(tokens, next(tokens), options)
    except (StopIteration, SyntaxError):
        return None
    return value if next(tokens, None) is None else None


def _tokens(text: str) -> Iterator[str]:
    position = 0
    text = text.strip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise SyntaxError(f"unexpected {text[position:]!r}")
        position = match.end()
        yield match[match.lastindex or 0]


def _expression(tokens: Iterator[str], first: str, options: frozenset[str]) -> bool:
    """Evaluate `name`, `name = "value"`, or `all`, `any`, `not`, `cfg` with their arguments."""
    value, behind = _operand(tokens, first, options)
    if behind is not None:
        raise SyntaxError(f"unexpected {behind}")
    return value


def _operand(tokens: Iterator[str], name: str, options: frozenset[str]) -> tuple[bool, str | None]:
    """Evaluate one operand; also return the token behind it, which has been read."""
    behind = next(tokens, None)
    if behind == "=":
        return f"{name}={next(tokens)}" in options, next(tokens, None)
    if behind != "(":
        return (name == "true" or name in options), behind
    values = []
    token = next(tokens)
    while token != ")":
        value, after = _operand(tokens, token, options)
        values.append(value)
        if after == ")":
            break
        if after != ",":
            raise SyntaxError(f"expected , or ), got {after}")
        token = next(tokens)
    if name == "all":
        return all(values), next(tokens, None)
    if name == "any":
        return any(values), next(tokens, None)
    if name in ("not", "cfg") and len(values) == 1:
        return values[0] != (name == "not"), next(tokens, None)
    raise SyntaxError(f"unexpected {name}")
