"""Pieces of text out of `generate`, token by token, and its end where the answer ends."""

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from model_cards.serving.text_engine import Answer

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class PieceStreamer(BaseStreamer):
    """
    Adds each token's text to an answer, characters whole. `TextStreamer` waits for the end of a word, which keeps back
    the brace that ends a function.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, answer: Answer):
        self._tokenizer = tokenizer
        self._answer = answer
        self._ids: list[int] | None = None
        self._length = 0

    def put(self, value: torch.Tensor) -> None:
        """Takes the prompt first (1, seq), then each token (1,)."""
        if self._ids is None:
            self._ids = []
            return
        self._ids += value.tolist()
        # The last character may lack bytes that come with the next token.
        text = self._tokenizer.decode(self._ids, skip_special_tokens=True).removesuffix(UNFINISHED)
        self._answer.add(text[self._length :])
        self._length = len(text)

    def end(self) -> None:
        """A character that is still incomplete is dropped, as llama.cpp does."""


class EndOfAnswer(StoppingCriteria):
    """Stops when the answer's function has ended."""

    def __init__(self, answer: Answer):
        self._answer = answer

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        """(batch,) bool."""
        return torch.full((input_ids.shape[0],), self._answer.finished, device=input_ids.device)
