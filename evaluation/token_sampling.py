"""Sampling parameters of a completion; without PyTorch, for programs that generate through llama.cpp."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TokenSampling:
    """
    Sampling parameters of one completion.

    Attributes:
        temperature: 0 is greedy decoding.
        top_p: Nucleus sampling: only the most likely tokens whose probabilities sum to `top_p` are kept.
        max_new_tokens: Maximum number of tokens to generate.
        repetition_penalty: Divides the logits of tokens that the prompt or the text so far has where they are above
            0, and multiplies them where they are below (CTRL, arXiv 1909.05858, section 4.1); 1 is none.

    Raises:
        ValueError: A parameter is out of its range.
    """

    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not 0 < self.repetition_penalty < math.inf:
            raise ValueError(f"repetition_penalty must be above 0 and finite, got {self.repetition_penalty}")
