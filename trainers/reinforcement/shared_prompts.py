"""
Rows for the log-probabilities of completions, in which all completions of a prompt stand behind it in one row.

A group has one prompt and many completions. In a batch with a row for each completion the model computes the prompt
again for each of them. Here a prompt is computed once: its completions stand behind it side by side, each at the
positions that follow the prompt, and the attention mask lets each see the prompt and itself alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch.nn.functional import pad

LARGEST_WIDTH = 1024
"""Maximum number of tokens of a row with several completions. Attention takes time in proportion to it."""
PROMPT, PADDING = 0, -1


@dataclass
class _Row:
    """
    A prompt with completions behind it.

    Attributes:
        tokens: Token ids.
        positions: Position of each token in its own sequence of prompt and completion.
        owners: Number of the completion that each token belongs to, counted from 1; 0 for the prompt.
        completions: Number of completions.
    """

    tokens: list[int]
    positions: list[int]
    owners: list[int]
    completions: int = 0

    @classmethod
    def of(cls, prompt: Sequence[int]) -> "_Row":
        """A row without completions."""
        return cls(list(prompt), list(range(len(prompt))), [PROMPT] * len(prompt))

    def append(self, prompt_length: int, completion: Sequence[int]) -> list[int]:
        """Add a completion; return the place of the token before each of its tokens."""
        if not completion:
            return []
        # A token is predicted from the one before it: the last one of a completion predicts nothing.
        tokens, start = completion[:-1], len(self.tokens)
        self.completions += 1
        self.tokens += tokens
        self.positions += range(prompt_length, prompt_length + len(tokens))
        self.owners += [self.completions] * len(tokens)
        return [prompt_length - 1, *range(start, start + len(tokens))]


@dataclass(frozen=True)
class SharedPrompts:
    """
    Arguments of a model, and where it predicts the tokens of the completions.

    Attributes:
        input_ids: (rows, width), tokens.
        attention_mask: (rows, 1, width, width), whether a token sees another one; or (rows, width), whether it is a
            token, if no row has more than one completion.
        position_ids: (rows, width), positions of the tokens; None if no row has more than one completion.
        sources: (tokens,), the place in the flattened `input_ids` of the token before each token of a completion, in
            the order of the completions' mask.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor | None
    sources: torch.Tensor

    def to(self, device: torch.device) -> Self:
        """Return the same on a device."""
        return replace(self, **{name: each.to(device) for name, each in vars(self).items() if each is not None})

    def before_completions(self, values: torch.Tensor) -> torch.Tensor:
        """Return those of (rows, width, size) that predict the tokens of completions: (1, tokens, size)."""
        return values.flatten(0, 1)[None, self.sources]


def real_tokens(ids: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """Return the tokens of each row of (batch, seq) that are not padding."""
    return [
        [token for token, real in zip(*row, strict=True) if real]
        for row in zip(ids.tolist(), mask.tolist(), strict=True)
    ]


def share_prompts(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], share: bool = True, multiple: int = 1
) -> SharedPrompts:
    """
    Arrange completions behind their prompts.

    Args:
        prompts: Tokens of the prompt of each completion, at least one.
        completions: Tokens of each completion.
        share: Whether equal prompts are computed once, as far as a row of `LARGEST_WIDTH` tokens has room; nothing is
            shared if a prompt and its completion have more tokens, because the mask of every row grows with the width.
        multiple: The width is a multiple of this.
    """
    longest = max(len(prompt) + len(completion) for prompt, completion in zip(prompts, completions, strict=True))
    share = share and longest <= LARGEST_WIDTH
    rows: list[_Row] = []
    open_rows: dict[tuple[int, ...], int] = {}
    placed: list[tuple[int, list[int]]] = []
    for prompt, completion in zip(map(tuple, prompts), completions, strict=True):
        number = open_rows.get(prompt)
        if number is None or not share or len(rows[number].tokens) + len(completion) > LARGEST_WIDTH:
            number = open_rows[prompt] = len(rows)
            rows.append(_Row.of(prompt))
        placed.append((number, rows[number].append(len(prompt), completion)))
    width = -(-max(len(row.tokens) for row in rows) // multiple) * multiple

    def padded(values: list[list[int]], filler: int) -> torch.Tensor:
        return torch.stack([pad(torch.tensor(each), (0, width - len(each)), value=filler) for each in values])

    owners = padded([row.owners for row in rows], PADDING)
    seen = owners != PADDING
    positions = None
    if any(row.completions > 1 for row in rows):
        positions = padded([row.positions for row in rows], 0)
        earlier = torch.ones(width, width, dtype=torch.bool).tril()
        ours = (owners[:, None, :] == PROMPT) | (owners[:, None, :] == owners[:, :, None])
        # Padding sees padding: a row of the mask without any token would make its attention NaN.
        seen = (earlier & ours)[:, None]
    return SharedPrompts(
        input_ids=padded([row.tokens for row in rows], 0),
        attention_mask=seen,
        position_ids=positions,
        sources=torch.tensor(
            [number * width + place for number, places in placed for place in places], dtype=torch.long
        ),
    )
