"""The text of a completion, token by token: whole characters only, and nothing from a stop string on."""

from collections.abc import Callable, Sequence

from model_cards.serving.answer import INCOMPLETE

Decode = Callable[[list[int]], str]
"""Returns the text of tokens."""


class TokenText:
    """
    Text of tokens that come one after the other.

    Args:
        decode: The tokenizer's. Bytes that are no whole character become U+FFFD.
    """

    def __init__(self, decode: Decode):
        self._decode = decode
        self._ids: list[int] = []
        # Tokens from `_start` to `_read` are the last that gave text, which is `_shown`. The tokens after them are
        # decoded together with them, because some tokenizers write a token otherwise at the beginning of a text.
        self._start = self._read = 0
        self._shown = ""

    def add(self, token: int) -> str:
        """Return the text that a token adds, "" while its last character lacks bytes."""
        self._ids.append(token)
        text = self._decode(self._ids[self._start :])
        if text.endswith(INCOMPLETE):
            return ""
        piece = text[len(self._shown) :]
        self._start, self._read = self._read, len(self._ids)
        self._shown = self._decode(self._ids[self._start :])
        return piece

    def end(self) -> str:
        """Return the text that is left, without a character that is still incomplete."""
        text = self._decode(self._ids[self._start :]).removesuffix(INCOMPLETE)
        return text[len(self._shown) :]


class StoppedText:
    """
    Text up to the first stop string.

    Args:
        stops: Stop strings, none of them empty.

    Attributes:
        stopped: Whether a stop string was found.
    """

    def __init__(self, stops: Sequence[str]):
        self._stops = stops
        self._held = ""
        self.stopped = False

    def add(self, piece: str) -> str:
        """Return the text that can be shown after a piece: what may begin a stop string is held back."""
        text = self._held + piece
        places = [place for place in (text.find(stop) for stop in self._stops) if place >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        length = max((_begun(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - length :]
        return text[: len(text) - length]

    def end(self) -> str:
        """Return the text that was held back and begins no stop string after all."""
        text, self._held = self._held, ""
        return text


def _begun(text: str, stop: str) -> int:
    """Return the length of the longest end of a text that is a beginning of a stop string, and not all of it."""
    lengths = range(min(len(stop) - 1, len(text)), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
