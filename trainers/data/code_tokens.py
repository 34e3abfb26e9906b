"""
Tokens and words of Rust code as arrays of hashes, fast enough for every document of a data set.

The patterns are approximate where programs are unusual: a block comment ends at the first `*/` even if it contains
another comment, and a raw string has at most two `#`. They are six times as fast as the exact tokenizer of
`evaluation.rust.syntax.tokens`, and take linear time: a comment or string that is not closed ends with the text.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

_COMMENT = r"//[^\n]*|/\*.*?(?:\*/|\Z)"
_LITERAL = r"""
    \b(?:br|cr|r)(?:"[^"]*(?:"|\Z)|\#".*?(?:"\#|\Z)|\#\#".*?(?:"\#\#|\Z))
    |"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)
    |'(?:[^'\\\n]|\\[^\n]{1,10}?)'
"""
# The group is empty for a comment.
TOKEN = re.compile(rf"{_COMMENT}|({_LITERAL}|\w+|[^\s\w])", re.VERBOSE | re.DOTALL)
WORD = re.compile(r"\w+")
_COMMENT_OR_LITERAL = re.compile(rf"{_COMMENT}|({_LITERAL})", re.VERBOSE | re.DOTALL)
_TEST = re.compile(
    r"""^[ \t]*\#\[\s*(?:cfg\s*\(\s*(?:all\s*\(\s*)?test\b|(?:\w+::)*test\s*(?:\(|\])|bench\s*\])""", re.VERBOSE | re.M
)
_BRACKET = re.compile(rf"{_COMMENT}|{_LITERAL}|([(\[{{}})\];])", re.VERBOSE | re.DOTALL)

# Of 200,000 short tokens: about 30 MB.
MAX_REMEMBERED, MAX_LENGTH = 200_000, 64


class TokenHashes(dict[str, int]):
    """Hashes of tokens by their text, 64 bits and the same in every process; the empty text has the hash 0."""

    def __missing__(self, token: str) -> int:
        data = token.encode("utf-8", "surrogatepass")
        value = int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little") if token else 0
        if len(token) <= MAX_LENGTH:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[token] = value
        return value


_hashes = TokenHashes()


def token_hashes(tokens: Sequence[str]) -> np.ndarray:
    """Return the hashes of tokens, 64-bit integers of shape `(tokens,)`; the hash of an empty token is 0."""
    return np.fromiter(map(_hashes.__getitem__, tokens), np.uint64, len(tokens))


def window_hashes(hashes: np.ndarray, width: int) -> np.ndarray:
    """Return a hash of each `width` consecutive values, in order; none if there are fewer values."""
    count = max(len(hashes) - width + 1, 0)
    found = np.zeros(count, np.uint64)
    for offset in range(width):
        found *= np.uint64(0x9E3779B97F4A7C15)
        found += hashes[offset : offset + count]
        found ^= found >> np.uint64(29)
    return found


def without_comments(code: str) -> str:
    """Return code with a space in place of each comment."""
    return _COMMENT_OR_LITERAL.sub(lambda found: found[1] or " ", code)


def without_tests(code: str) -> str:
    """Return code without its test modules and test functions: items with `#[cfg(test)]`, `#[test]` or `#[bench]`."""
    parts, position = [], 0
    while (found := _TEST.search(code, position)) is not None:
        parts.append(code[position : found.start()])
        position = _item_end(code, found.start())
    return "".join([*parts, code[position:]]) if parts else code


def _item_end(code: str, start: int) -> int:
    """Return the offset after an item with its attributes: after its `{ .. }` or the `;` before one."""
    depth = 0
    for mark in _BRACKET.finditer(code, start):
        bracket = mark[1]
        if bracket in ("(", "[", "{"):
            depth += 1
        elif bracket in (")", "]", "}"):
            depth -= 1
            if depth < 0:
                return mark.start()
        if depth == 0 and bracket in ("}", ";"):
            return mark.end()
    return len(code)
