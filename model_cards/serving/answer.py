"""The text that a model writes after a prompt, and where it ends."""

import re
from collections.abc import Callable

from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function

Show = Callable[[str], None]
"""Called with each piece of text as it is generated."""

FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
END_CHARACTERS = "}`~"
"""A token without one of these cannot end an answer."""
INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character at the end of decoded tokens that lacks bytes."""


def is_markdown(text: str) -> bool:
    """Whether a text has a code block: the model answers the prompt instead of continuing it."""
    return FENCE.search(text) is not None


def completed_answer(prompt: str, text: str) -> str | None:
    """
    Return the text up to the end of the function that the prompt began, or the whole text when its code block is
    closed; None while neither is complete.
    """
    if is_markdown(text):
        return text if extract_rust(text) is not None else None
    return completed_function(prompt, text)


class StreamedAnswer:
    """
    The text that a model has written so far.

    Args:
        prompt: Text that the model continues.
        show: Called with each piece of text that is added, up to the end of the answer.

    Attributes:
        text: All pieces so far.
        finished: Whether the function, or the code block, is complete.
    """

    def __init__(self, prompt: str, show: Show):
        self.prompt = prompt
        self.text = ""
        self.finished = False
        self._show = show

    @property
    def program(self) -> str:
        """The prompt with its continuation; or the program in the code block, if there is one."""
        return (extract_rust(self.text) if is_markdown(self.text) else None) or self.prompt + self.text

    def add(self, piece: str) -> None:
        """Add the next piece; what comes after the end of the answer is dropped."""
        if self.finished or not piece:
            return
        before = len(self.text)
        self.text += piece
        if not set(END_CHARACTERS).isdisjoint(piece):
            completed = completed_answer(self.prompt, self.text)
            if completed is not None:
                self.text, self.finished = completed, True
        self._show(self.text[before:])
