"""Signatures of functions, without the names of parameters and the choice among similar types."""

import re
from collections.abc import Collection, Iterator, Sequence

from trainers.data.code_tokens import TOKEN

FUNCTION = re.compile(r"\bfn\s+(\w+)")
# The rest of longer signatures is ignored.
MAX_CHARACTERS = 400
OPENING, CLOSING = set("([{<"), set(")]}>")
_INTEGER = re.compile(r"\b[iu](?:8|16|32|64|128|size)\b")
_FLOAT = re.compile(r"\bf(?:32|64)\b")
_TRAILING_COMMA = re.compile(r",(?=[>)\]])")


def function_signatures(code: str, names: Collection[str] | None = None) -> Iterator[str]:
    """
    Yield the signatures of functions, such as `join_all(slice<str>,str)->str`.

    All integers are `int`, all floating-point numbers `float`, `String` and `str` are `str`, and `Vec`, slices and
    arrays are `slice`. References, lifetimes, paths and generic parameters are left out, as are methods with `self`,
    functions with `Self` and functions without parameters.

    Args:
        code: Rust code without comments; it does not have to be complete.
        names: Names of the functions of interest; None for all.
    """
    for found in FUNCTION.finditer(code):
        if names is None or found[1] in names:
            signature = _signature(_tokens(code[found.start() : found.start() + MAX_CHARACTERS]))
            if signature is not None:
                yield signature


def is_specific(signature: str) -> bool:
    """
    Whether a signature says which problem a function solves: its name has at least three words, or two words and the
    function at least two parameters. Independent authors write `is_prime(n: u32) -> bool`.
    """
    name, _, types = signature.partition("(")
    words = len([word for word in name.split("_") if word])
    several = len(_split(_tokens(types.rpartition("->")[0].removesuffix(")")))) > 1
    return words >= 3 or (words == 2 and several)


def _tokens(code: str) -> list[str]:
    """Return the tokens with `->` and `::` as one, and without lifetimes."""
    tokens: list[str] = []
    for token in filter(None, TOKEN.findall(code)):
        if tokens and tokens[-1] + token in ("->", "::"):
            tokens[-1] += token
        elif tokens and tokens[-1] == "'":
            tokens.pop()
        else:
            tokens.append(token)
    return tokens


def _signature(tokens: Sequence[str]) -> str | None:
    name, position = tokens[1], 2
    if tokens[position : position + 1] == ["<"]:
        position = _closed(tokens, position) + 1
    if tokens[position : position + 1] != ["("]:
        return None
    end = _closed(tokens, position)
    parameters = _split(tokens[position + 1 : end])
    if not parameters or any("self" in each for each in parameters):
        return None
    types = [each[each.index(":") + 1 :] if ":" in each else each for each in parameters]
    result: list[str] = []
    if tokens[end + 1 : end + 2] == ["->"]:
        depth = 0
        for token in tokens[end + 2 :]:
            if depth == 0 and token in ("{", ";", "where"):
                break
            depth += _step(token)
            result.append(token)
    if "Self" in result or any("Self" in each for each in types):
        return None
    return f"{name}({','.join(map(_normalized, types))})->{_normalized(result)}"


def _step(token: str) -> int:
    """Return the change of the depth of brackets."""
    return (token in OPENING) - (token in CLOSING)


def _closed(tokens: Sequence[str], start: int) -> int:
    """Return the index of the token that closes the bracket at `start`, or the number of tokens."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += _step(tokens[index])
        if depth == 0:
            return index
    return len(tokens)


def _split(tokens: Sequence[str]) -> list[list[str]]:
    """Split the tokens between parentheses at the outer commas."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens:
        depth += _step(token)
        if token == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _normalized(tokens: Sequence[str]) -> str:
    kept: list[str] = []
    for token in tokens:
        if token == "::":
            kept = kept[:-1]
        elif token not in ("&", "mut", "dyn"):
            kept.append(token)
    text = _TRAILING_COMMA.sub("", "".join(kept))
    text = _FLOAT.sub("float", _INTEGER.sub("int", text)).replace("String", "str")
    # An array's length is left out: `[u8; 4]`.
    text = re.sub(r";\w+\]", "]", text)
    return text.replace("Vec<", "slice<").replace("[", "slice<").replace("]", ">")
