"""
Scores of programs that know nothing about Rust's rules: length, and frequency of the tokens.

A benchmark of pairs is worth something only if these do not solve it: see `tests/evaluation/suites/test_semantic.py`.
`token_counts.json` beside this file has the counts, written by `write_data.py`.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.rust.syntax.tokens import tokens
from evaluation.suites.semantic.pairs import MinimalPair, credit
from evaluation.text_files import read_text

FILE = Path(__file__).with_name("token_counts.json")
Score = Callable[[str], float]
"""Function from a program to a number; the program with the higher one is chosen."""


@dataclass(frozen=True)
class TokenCounts:
    """
    Frequencies of Rust tokens in a corpus.

    Attributes:
        total: Number of tokens of the corpus.
        distinct: Number of distinct tokens of the corpus.
        counts: Count of each token that occurs in a pair; 0 if the corpus does not have it.
    """

    total: int
    distinct: int
    counts: Mapping[str, int]

    @classmethod
    def read(cls, path: Path = FILE) -> "TokenCounts":
        """Read the counts that `write_data.py` wrote."""
        return cls(**json.loads(read_text(path)))

    def log_probability(self, token: str) -> float:
        """Return the logarithm of a token's relative frequency, with add-one smoothing."""
        return math.log((self.counts[token] + 1) / (self.total + self.distinct + 1))

    def log_probabilities(self, program: str) -> list[float]:
        """Return the logarithm of each token's relative frequency."""
        return [self.log_probability(token.text) for token in tokens(program)]


def baselines(counts: TokenCounts) -> dict[str, Score]:
    """Return the baselines by name."""

    def unigram_mean(program: str) -> float:
        found = counts.log_probabilities(program)
        return sum(found) / len(found)

    return {
        "fewer_tokens": lambda program: -len(list(tokens(program))),
        "fewer_characters": lambda program: -len(program),
        "unigram_total": lambda program: sum(counts.log_probabilities(program)),
        "unigram_per_token": unigram_mean,
    }


def accuracy(score: Score, pairs: Sequence[MinimalPair]) -> float:
    """Return the share of the pairs for which a score is higher for the program that compiles; ties count half."""
    return sum(credit(score(pair.valid) - score(pair.invalid)) for pair in pairs) / len(pairs)
