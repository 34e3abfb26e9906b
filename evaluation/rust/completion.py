"""Where a completion ends the function that its prompt began.

The braces are found by the tokens of the text, not by its syntax tree: what is drawn so far is no whole program, and a
parser that recovers from errors sees braces inside a string that is still open.
"""

import re
from collections.abc import Iterator

# A brace, or what begins a comment or a literal that may hold one. `r#name` is a name, and `br` may end one.
START = re.compile(r'[{}]|//|/\*|\b[bc]?r#*"|"|\'')
COMMENT_MARK = re.compile(r"/\*|\*/")
STRING_REST = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
# Behind a single quote, as rustc reads it: a lifetime, label or character; any one character; an escape. One that is
# not closed on its line is an error, and the next line is read as code.
QUOTE_REST = re.compile(r"\w+'?|[^\\]'|(?:[^'\\\n]|\\.)*(?:'|(?=\n))", re.DOTALL)


def completed_function(prompt: str, completion: str) -> str | None:
    """
    The completion up to the brace that closes the function which the prompt leaves open; None while it is open.

    Braces in strings, characters and comments do not count, whether these are closed or not, and neither does how the
    lines are indented. A prompt that leaves nothing open is completed by the first item with a body. The time is
    linear in the length of both.
    """
    text, start = prompt + completion, len(prompt)
    depth, closed = 0, None
    for position in _braces(text):
        if position >= start and closed is None:
            closed = max(depth - 1, 0)
        depth += 1 if text[position] == "{" else -1
        if closed is not None and text[position] == "}" and depth <= closed:
            return text[start : position + 1]
    return None


def _braces(text: str) -> Iterator[int]:
    """Positions of the braces that are tokens; none behind the beginning of a literal or comment that stays open."""
    position: int | None = 0
    while position is not None and (found := START.search(text, position)) is not None:
        if found[0] in "{}":
            yield found.start()
            position = found.end()
        else:
            position = _end(text, found[0], found.end())


def _end(text: str, begun: str, position: int) -> int | None:
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
