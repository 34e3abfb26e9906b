"""Where a completion ends the function that its prompt began.

The braces are found by the tokens of the text, not by its syntax tree: what is drawn so far is no whole program, and a
parser that recovers from errors sees braces inside a string that is still open.
"""

from evaluation.rust.syntax.tokens import CLOSING, OPENING, tokens


def completed_function(prompt: str, completion: str) -> str | None:
    """
    The completion up to the brace that closes the function which the prompt leaves open; None while it is open.

    Braces in strings, characters and comments do not count, whether these are closed or not, and neither does how the
    lines are indented. A prompt that leaves nothing open is completed by the first item with a body. The time is
    linear in the length of both.
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
    A prompt up to the brace that opens the body of the function which it leaves open; None where it leaves no function
    open, or another brace besides: `completed_function` closes one.
    """
    waiting: list[tuple[str, int]] = []  # the brackets that are open: `fn` for a function's brace, and where they end
    header: int | None = None  # how many brackets were open where the head of a function began
    before, closed_body = "", False
    for token in tokens(prompt):
        # Behind the brace of `-> Array<{ N }>` a head goes on.
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
