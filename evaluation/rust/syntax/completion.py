"""
The end of a function that a prompt begins and a completion continues.

Braces are found in the tokens, not in a syntax tree: an unfinished completion is no complete program, and a parser
that recovers from errors sees braces inside an unclosed string.
"""

from evaluation.rust.syntax.tokens import CLOSING, OPENING, tokens


def completed_function(prompt: str, completion: str) -> str | None:
    """
    Return the completion up to the brace that closes the function of the prompt, or None if it is not closed.

    Braces in strings, characters and comments do not count, whether these are closed or not. A prompt without an open
    brace is completed by the first item with a body. The time is linear in the length of the text.
    """
    text, start = prompt + completion, len(prompt)
    depth, closed = 0, None
    for token in tokens(text):
        if token.text not in ("{", "}"):
            continue
        if token.start >= start and closed is None:
            closed = max(depth - 1, 0)
        depth += 1 if token.text == "{" else -1
        if closed is not None and token.text == "}" and depth <= closed:
            return text[start : token.end]
    return None


def opened_function(prompt: str) -> str | None:
    """
    Return a prompt up to the brace that opens the body of its open function, or None unless that brace is the only
    open one, because `completed_function` closes a single brace.
    """
    waiting: list[tuple[str, int]] = []  # open brackets, `fn` for the brace of a function, with their end positions
    header: int | None = None  # number of open brackets where the signature of a function began
    before, closed_body = "", False
    for token in tokens(prompt):
        # A signature may continue after a brace, as in `-> Array<{ N }>`.
        if closed_body and token.text not in (">", ","):
            header = None
        closed_body = False
        if token.kind == "word" and before == "fn":
            header = len(waiting)
        elif token.text in OPENING and token.kind == "sign":
            is_body = token.text == "{" and header == len(waiting)
            waiting.append(("fn" if is_body else token.text, token.end))
        elif token.text in CLOSING and token.kind == "sign" and waiting:
            closed_body = waiting.pop()[0] == "fn"
        elif token.text == ";" and header == len(waiting):
            header = None
        before = token.text
    braces = [end for kind, end in waiting if kind in ("fn", "{")]
    return prompt[: braces[0]] if len(braces) == 1 and waiting[0][0] == "fn" else None
