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

    Raises:
        ValueError: A parameter is out of its range.
    """

    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512

    def __post_init__(self):
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
