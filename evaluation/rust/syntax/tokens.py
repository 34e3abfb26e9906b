"""A tokenizer for Rust, also for incomplete programs and for code that tree-sitter cannot parse."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

COMMENT_MARK = re.compile(r"/\*|\*/")
STRING_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# After a single quote, as in rustc's lexer: a lifetime, label or character; any one character; an escape. A quote that
# is not closed on its line is an error, and the next line is code.
QUOTE_REST = re.compile(r"\w+'?|[^\\]'|(?:[^'\\\n]|\\.)*(?:'|(?=\n))", re.DOTALL)
# A comment, a literal with any content, a word, a number, a sign. `r#name` is a word, and `br` may end one.
TOKEN = re.compile(
    r"""//|/\*|\b[bc]?r\#*"|\b[bc]?"|\bb?'|(?:r\#)?[^\W\d]\w*|\d\w*(?:\.\d\w*)?|::|\.\.|->|=>|[^\s\w]""", re.VERBOSE
)

SHEBANG = re.compile(r"#!(?!\s*\[).*")
OPENING, CLOSING = set("([{"), set(")]}")
ITEM_KINDS = {"fn", "struct", "enum", "trait", "type", "const"}


@dataclass(frozen=True)
class Token:
    """A word, a sign or a whole literal. Comments are not tokens."""

    text: str
    start: int
    """Offset in characters."""
    kind: str
    """`word`, `number`, `sign`, `lifetime` or `literal`."""

    @property
    def end(self) -> int:
        """Offset after the token."""
        return self.start + len(self.text)


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, in linear time. An unclosed literal or comment ends the tokens where it begins."""
    shebang = SHEBANG.match(text)
    position: int | None = 0 if shebang is None else shebang.end()
    while position is not None and (found := TOKEN.search(text, position)) is not None:
        begun, start = found[0], found.start()
        position = found.end()
        if begun in ("//", "/*"):
            position = literal_end(text, begun, position)
        elif begun[-1] in "\"'":
            position = literal_end(text, begun[-1] if begun[:-1] in ("b", "c") else begun, position)
            if position is not None:
                whole = text[start:position]
                yield Token(whole, start, "lifetime" if begun == "'" and whole[-1] != "'" else "literal")
        elif begun[0].isdigit():
            yield Token(begun, start, "number")
        else:
            yield Token(begun, start, "word" if begun[-1].isalnum() or begun[-1] == "_" else "sign")


def literal_end(text: str, begun: str, position: int) -> int | None:
    """
    Return the offset of the end of a comment or literal, or None if it is not closed.

    Args:
        text: The text.
        begun: Token that opens the comment or literal.
        position: Offset after that token.
    """
    if begun == "//":
        end = text.find("\n", position)
        return None if end < 0 else end
    if begun == "/*":
        depth = 1
        while depth and (mark := COMMENT_MARK.search(text, position)) is not None:
            depth += 1 if mark[0] == "/*" else -1
            position = mark.end()
        return None if depth else position
    if begun in ('"', "'"):
        rest = (STRING_REST if begun == '"' else QUOTE_REST).match(text, position)
        return None if rest is None else rest.end()
    closing = begun[begun.index('"') :] + begun.lstrip("bcr").rstrip('"')
    end = text.find(closing, position)
    return None if end < 0 else end + len(closing)


def top_level(found: Sequence[Token]) -> Iterator[tuple[int, Token, str]]:
    """Yield for each named item at the top level the index and the token of its name, and its kind."""
    depth = 0
    for index, token in enumerate(found):
        if token.kind == "sign":
            depth += (token.text in OPENING) - (token.text in CLOSING)
        elif depth == 0 and token.text in ITEM_KINDS and index + 1 < len(found) and found[index + 1].kind == "word":
            if not (token.text == "const" and found[index + 1].text in ("fn", "unsafe", "async", "extern")):
                yield index + 1, found[index + 1], token.text


def is_balanced(code: str) -> bool:
    """Whether all brackets match and all literals and comments are closed."""
    waiting, last = [], 0
    for token in tokens(code + "\n;"):
        if token.kind != "sign":
            continue
        if token.text in OPENING:
            waiting.append(token.text)
        elif token.text in CLOSING and (not waiting or waiting.pop() + token.text not in ("()", "[]", "{}")):
            return False
        last = token.end
    return not waiting and last == len(code) + 2


def closed(found: Sequence[Token], start: int) -> int:
    """Return the index of the token that closes the bracket at index `start`, or the number of tokens."""
    depth = 0
    for index in range(start, len(found)):
        if found[index].kind == "sign":
            depth += (found[index].text in OPENING) - (found[index].text in CLOSING)
            if depth <= 0:
                return index
    return len(found)
