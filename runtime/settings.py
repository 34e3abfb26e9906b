"""Settings and results of the native engine; without PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass

HEAD_FORMATS = ("stored", "bf16", "int8")
"""Number formats of the language modeling head: as in the model, bf16, or int8 with a scale per token."""

MOST_TOGETHER = 64
"""Maximum number of completions that are computed together where nobody says how many; it limits the memory."""


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """
    How the native engine generates. Fields that `transformers.GenerationConfig` has, too, have the same names.

    Attributes:
        max_new_tokens: Maximum number of new tokens of a text.
        temperature: Divisor of the logits; 0 for the most probable token.
        top_k: Number of most probable tokens to choose from; 0 for all.
        top_p: Choose from the smallest set of most probable tokens whose probabilities add up to this.
        repetition_penalty: Penalty of tokens that the text already has; 1 for none.
        seed: Seed of the sampling. Every completion has its own random numbers, which depend on the seed and on the
            completion's index, not on the batch size.
        num_return_sequences: Completions per prompt, which share the keys and values of the prompt.
        batch_size: Maximum number of completions that are computed together; the result does not depend on it.
        eos_token_id: Tokens that end a completion.
        num_loops, exit_threshold, exit_at_loop: Depth of the new tokens; None uses the model's configuration.
    """

    max_new_tokens: int
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    num_return_sequences: int = 1
    batch_size: int = 16
    eos_token_id: tuple[int, ...] = ()
    num_loops: int | None = None
    exit_threshold: float | None = None
    exit_at_loop: int | None = None

    def __post_init__(self):
        for name in ("max_new_tokens", "num_return_sequences", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 or more, got {self.top_k}")
        for name in ("num_loops", "exit_at_loop"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be an integer >= 1 or None, got {value}")


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """
    A trie of the tokens with which a completion may begin, as flat arrays.

    A completion begins at node 0. While it is at a node, only the tokens of the node's entries can be chosen, and it
    goes on at the node that follows the chosen entry. After an entry that none follows, it is free.

    Attributes:
        starts: First entry of each node, and then the number of entries, (nodes + 1,). Every node has entries.
        tokens: Token of each entry, (entries,). Those of a node differ.
        additions: Number that is added to the logit of each entry's token, in nats, (entries,). As by a logits
            processor of transformers, it is added after the repetition penalty, and before the temperature, `top_k`
            and `top_p`.
        following: Node after each entry, (entries,): one after the entry's own, or -1 for none.

    Raises:
        ValueError: There is no node, or the arrays of the entries have different lengths. `Engine.generate` checks
            their numbers.
    """

    starts: Sequence[int]
    tokens: Sequence[int]
    additions: Sequence[float]
    following: Sequence[int]

    def __post_init__(self):
        if len(self.starts) < 2:
            raise ValueError(f"starts of a constraint must have at least 2 numbers, got {len(self.starts)}")
        lengths = len(self.tokens), len(self.additions), len(self.following)
        if len(set(lengths)) != 1:
            raise ValueError(
                f"tokens, additions and following of a constraint must be equally many, got {lengths[0]}, "
                f"{lengths[1]} and {lengths[2]}"
            )


@dataclass(frozen=True)
class Completion:
    """
    A generated text.

    Attributes:
        token_ids: New tokens, with the end token if the text ended with one.
        log_probabilities: Log-probability of each token in nats, in the whole distribution at the temperature (at
            temperature 0 at temperature 1), before `top_k` and `top_p`, and without a constraint.
        loops_used: Number of loops that each token took.
    """

    token_ids: list[int]
    log_probabilities: list[float]
    loops_used: list[int]

    @property
    def mean_loops(self) -> float:
        """Mean number of loops per token."""
        return sum(self.loops_used) / len(self.loops_used)
