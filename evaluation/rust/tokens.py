"""The tokens of Rust, of any text: also of one that is no whole program, or that the grammar of trees does not know."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

COMMENT_MARK = re.compile(r"/\*|\*/")
STRING_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Behind a single quote, as rustc reads it: a lifetime, label or character; any one character; an escape. One that is
# not closed on its line is an error, and the next line is read as code.
QUOTE_REST = re.compile(r"\w+'?|[^\\]'|(?:[^'\\\n]|\\.)*(?:'|(?=\n))", re.DOTALL)
# A comment, a literal that may hold anything, a word, a number, a sign. `r#name` is a word, and `br` may end one.
TOKEN = re.compile(
    r"""//|/\*|\b[bc]?r\#*"|\b[bc]?"|\bb?'|(?:r\#)?[^\W\d]\w*|\d\w*(?:\.\d\w*)?|::|\.\.|->|=>|[^\s\w]""", re.VERBOSE
)


@dataclass(frozen=True)
class Token:
    """A word, a sign or a whole literal; there are none of comments."""

    text: str
    start: int
    """Offset in characters."""
    kind: str
    """`word`, `number`, `sign`, `lifetime` or `literal`."""

    @property
    def end(self) -> int:
        """Offset behind it."""
        return self.start + len(self.text)


def tokens(text: str) -> Iterator[Token]:
    """
    The tokens of a text. A literal or comment that stays open ends it: there are no tokens behind its beginning. The
    time is linear.
    """
    position: int | None = 0
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
    """Where the comment or literal ends that is begun before a position; None where the text ends first."""
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
