"""
Blocks of random tokens that repeat, from which a model learns to copy from its context.

Nothing but the earlier occurrence tells which token is next, so that the loss falls only when an attention head finds
it (an induction head; Olsson et al. 2022, arXiv 2209.11895). Text alone teaches this late: most of its tokens can be
guessed without. Only tokens that an earlier occurrence tells are labels, because the others cannot be predicted and
their gradients would be noise.
"""

from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from torch.utils.data import ConcatDataset
from transformers import PreTrainedTokenizerBase

from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from trainers.data.blocks import TokenBlocks

SHORTEST, LONGEST = 1 / 8, 1 / 2
"""Shares of a block that the repeated sequence takes."""
LEAST = 3
"""Minimum number of repeated tokens, of which the second and third are told."""
SHORTEST_BLOCK = 8
"""Minimum number of tokens of a block, so that every block has a label."""
MOST_BETWEEN = 3
"""Maximum number of random tokens between two repetitions."""


@dataclass(frozen=True)
class RepeatedTokens:
    """
    Map-style data set of blocks in which a random sequence of tokens repeats: bos, the sequence, a random number of
    other tokens, and then the sequence again and again, each time after up to three other tokens.

    A row has the columns `input_ids` and `labels`, both `(seq_len,)` as int64; labels are the tokens of
    [`told_tokens`]. It depends on the seed and its index alone.

    Args:
        token_ids: Ids that are drawn, all equally often.
        bos_token_id: First token of every block.
        seq_len: Tokens per block, at least `SHORTEST_BLOCK`.
        count: Number of blocks.
        seed: Seed of the blocks.
        with_positions: Whether rows have the column `position_ids`, as [`TokenBlocks`] with `document_masking` have.
    """

    token_ids: np.ndarray
    bos_token_id: int
    seq_len: int
    count: int
    seed: int = 0
    with_positions: bool = False

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, seq_len: int, count: int, seed: int = 0, with_positions: bool = False
    ) -> "RepeatedTokens":
        """Return blocks of all tokens of a tokenizer but its special ones."""
        ids = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
        return cls(ids, tokenizer.bos_token_id, seq_len, count, seed, with_positions)

    def __post_init__(self) -> None:
        if self.seq_len < SHORTEST_BLOCK:
            raise ValueError(
                f"seq_len must be at least {SHORTEST_BLOCK}, so that something repeats, got {self.seq_len}"
            )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be from {-len(self)} to {len(self) - 1}, got {index}")
        rng = np.random.default_rng((self.seed, index % len(self)))
        block = self._block(rng)
        row = {"input_ids": block, "labels": np.where(told_tokens(block), block, IGNORE_INDEX)}
        if self.with_positions:
            row["position_ids"] = np.arange(self.seq_len)
        return row

    def _block(self, rng: np.random.Generator) -> np.ndarray:
        block = rng.choice(self.token_ids, self.seq_len).astype(np.int64)
        block[0] = self.bos_token_id
        shortest, longest = (max(LEAST, int(self.seq_len * share)) for share in (SHORTEST, LONGEST))
        length = int(rng.integers(shortest, longest, endpoint=True))
        repeated = block[1 : 1 + length].copy()
        # The distance varies, so that no fixed distance, only the tokens themselves show where to copy from.
        start = 1 + length + int(rng.integers(0, max(1, self.seq_len - 2 * length)))
        while start < self.seq_len:
            block[start : start + length] = repeated[: self.seq_len - start]
            start += length + int(rng.integers(0, MOST_BETWEEN, endpoint=True))
        return block


def with_repeated_tokens(
    blocks: Dataset | TokenBlocks, tokenizer: PreTrainedTokenizerBase, share: float, count: int, seed: int
) -> ConcatDataset | RepeatedTokens:
    """
    Add blocks of repeated tokens to blocks of text.

    Args:
        blocks: The text.
        tokenizer: Its tokenizer, whose special tokens are not drawn.
        share: Share of the blocks that are repeated tokens, above 0 and at most 1.
        count: Number of blocks to return with `share=1`, which has no text.
        seed: Seed of the blocks.

    Returns:
        The text, and after it the repeated tokens: a training has to read them in random order.
    """
    row = blocks[0]
    number = count if share == 1 else round(len(blocks) * share / (1 - share))
    repeated = RepeatedTokens.of(tokenizer, len(row["input_ids"]), max(1, number), seed, "position_ids" in row)
    return repeated if share == 1 else ConcatDataset([blocks, repeated])  # ty: ignore[invalid-argument-type]


def told_tokens(block: np.ndarray) -> np.ndarray:
    """
    Return which tokens of a block are told by its earlier part: those that follow a token as they did before.

    Args:
        block: Token ids, (seq,).

    Returns:
        For each token whether the same pair of the token before and itself stands earlier, (seq,).
    """
    pairs = list(zip(block[:-1].tolist(), block[1:].tolist(), strict=True))
    first: dict[tuple[int, int], int] = {}
    return np.array([False, *(first.setdefault(pair, place) < place for place, pair in enumerate(pairs))])
