"""Where a completion ends the function that its prompt began.

The braces are found by the tokens of the text, not by its syntax tree: what is drawn so far is no whole program, and a
parser that recovers from errors sees braces inside a string that is still open.
"""

from evaluation.rust.tokens import tokens


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
