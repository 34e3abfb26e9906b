"""Completions that loop: they end by repeating the same text."""

REPEATS, CHARACTERS = 4, 64


def is_repeating(text: str) -> bool:
    """
    Whether a text ends with a repetition: its last part consists of one and the same piece, such as a line or a word,
    at least four times in a row and over at least 64 characters. The last piece may be cut off.
    """
    # After text[:n] reversed, the Z function at p is the length of the longest end of the text that occurs p
    # characters earlier, too: an end of that length and p more characters has the period p.
    backward = text[::-1]
    matches = _z_function(backward)
    return any(
        match + period >= max(REPEATS * period, CHARACTERS) for period, match in enumerate(matches) if period > 0
    )


def _z_function(text: str) -> list[int]:
    """Return for each place how many characters from there on agree with the beginning of the text; linear time."""
    found = [0] * len(text)
    start = end = 0
    for place in range(1, len(text)):
        length = min(found[place - start], end - place) if place < end else 0
        while place + length < len(text) and text[length] == text[place + length]:
            length += 1
        found[place] = length
        if place + length > end:
            start, end = place, place + length
    return found
