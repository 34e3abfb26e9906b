"""Pieces of text out of `generate` of transformers, token by token."""

import torch
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from model_cards.serving.answer import INCOMPLETE, StreamedAnswer


class PieceStreamer(BaseStreamer):
    """
    Add the text of each token to an answer, in whole characters. `TextStreamer` waits for the end of a word instead,
    which delays the brace that ends a function.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, answer: StreamedAnswer):
        self._tokenizer = tokenizer
        self._answer = answer
        self._ids: list[int] | None = None
        self._length = 0

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt (1, seq) at the first call, and one new token (1,) at each further one."""
        if self._ids is None:
            self._ids = []
            return
        self._ids += value.tolist()
        # The last character may lack bytes that come with the next token.
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True).removesuffix(INCOMPLETE)
        self._answer.add(text[self._length :])
        self._length = len(text)

    def end(self) -> None:
        """Drop a character that is still incomplete, as llama.cpp does."""
