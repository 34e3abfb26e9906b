"""
Distances between the hidden states that enter and leave runs of layers. A run whose output resembles its input can be
applied again (arXiv 2403.03853 removes such layers instead; the distance is that of arXiv 2403.17887, section 3.2).
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import positions
from evaluation.likelihood import start_token, text_tokens
from evaluation.loss_by_depth import evaluation_mode
from evaluation.progress import show_progress
from modeling_nanochat import LoopLMForCausalLM

WINDOW = 512
"""Maximum number of tokens that are looked at together."""


@dataclass(frozen=True)
class Run:
    """
    Adjacent layers.

    Attributes:
        start: Index of the first layer, counted from 0.
        end: Index after the last layer.
        distance: Mean over the tokens of the angle between the states before and after the layers, as a share of a
            half turn: 0 for the same direction, 0.5 for a right angle, 1 for the opposite direction.
    """

    start: int
    end: int
    distance: float


@torch.no_grad()
def run_distances(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    length: int,
    starts: Sequence[int],
) -> tuple[tuple[Run, ...], int]:
    """
    Measure runs of `length` layers of a LoopLM with one loop. States of several streams are compared as one vector.

    Args:
        model: The model, in any mode, which is restored.
        tokenizer: The model's.
        texts: The texts; a start token comes before each window and is not measured.
        length: Number of layers of a run.
        starts: First layer of each run.

    Returns:
        The runs in the order of `starts`, and the number of tokens.

    Raises:
        ValueError: The tokenizer has neither a start nor an end token.
    """
    layers = cast(LoopLMForCausalLM, model).model.layers
    window = min(WINDOW, positions(model) or WINDOW) - 1
    windows = [
        tokens[at : at + window]
        for tokens in (text_tokens(tokenizer, text)[1:] for text in texts)
        for at in range(0, len(tokens), window)
    ]
    sums, total = torch.zeros(len(starts), dtype=torch.float64), sum(map(len, windows))
    start_of_window = [start_token(tokenizer)]
    with evaluation_mode(model), show_progress("Similarity", total, "tokens") as advance, _states(layers) as states:
        for tokens in windows:
            states.clear()
            model.base_model(torch.tensor([start_of_window + tokens], device=model.device), use_cache=False)
            directions = [_directions(each) for each in states]
            for place, start in enumerate(starts):
                sums[place] += float(_angles(directions[start], directions[start + length])[1:].sum())
            advance(len(tokens))
    distances = (sums / total / math.pi).tolist()
    return tuple(Run(start, start + length, each) for start, each in zip(starts, distances, strict=True)), total


@contextmanager
def _states(layers: nn.ModuleList) -> Iterator[list[torch.Tensor]]:
    """Yield a list to which a forward pass appends the state before the first layer and after each layer."""
    found: list[torch.Tensor] = []
    hooks = [layers[0].register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))]
    hooks += [layer.register_forward_hook(lambda _module, _inputs, output: found.append(output)) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _directions(state: torch.Tensor) -> torch.Tensor:
    """Return unit vectors `(seq, width)` of states `(1, seq, hidden)` or `(streams, 1, seq, hidden)`."""
    if state.ndim == 4:
        state = state.permute(1, 2, 0, 3).flatten(2)
    return nn.functional.normalize(state[0].float(), dim=-1)


def _angles(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return angles between unit vectors; exact near 0, where the arc cosine is not."""
    return 2 * torch.atan2((first - second).norm(dim=-1), (first + second).norm(dim=-1))
