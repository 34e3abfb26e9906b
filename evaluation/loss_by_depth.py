"""Loss of a model after every loop, and with early exit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import DynamicCache, PreTrainedModel

from evaluation.progress import show_progress
from modeling_nanochat import LoopLMForCausalLM, is_looplm
from modeling_nanochat.exit_nanochat import exit_loops
from modeling_nanochat.loss_nanochat import IGNORE_INDEX, chunked_cross_entropy


@dataclass(frozen=True)
class DepthPoint:
    """
    Quality at one exit threshold.

    Attributes:
        threshold: A token exits after the first loop at which its cumulative exit probability reaches this.
        mean_loops: Loops per token.
        loss: Cross-entropy in nats per token, predicted at the loops after which the tokens exit.
    """

    threshold: float
    mean_loops: float
    loss: float


@torch.no_grad()
def token_losses(
    model: PreTrainedModel,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_loops: int | None = None,
    exit_at_loop: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Compute the loss of each token after every loop in one pass, without early exit.

    Args:
        model: A LoopLM, or any other causal language model, which has one loop.
        input_ids: (batch, seq).
        labels: (batch, seq), the token that follows each; -100 is ignored.
        num_loops: Loops to run; None for the configuration's.
        exit_at_loop: Fixed loop to stop after; None for the configuration's.

    Returns:
        (loops, tokens) cross-entropies in nats and the (tokens, loops) exit distribution, of the tokens with a label.
    """
    labels = labels.flatten()
    valid = labels != IGNORE_INDEX
    if not is_looplm(model.config):
        logits = model(input_ids, use_cache=False).logits.flatten(0, 1)[valid]
        losses = F.cross_entropy(logits.float(), labels[valid], reduction="none")[None]
        return losses, torch.ones_like(losses.t())
    output = model(
        input_ids,
        use_cache=False,
        return_logits=False,
        output_loop_states=True,
        num_loops=num_loops,
        exit_at_loop=exit_at_loop,
    )
    states = torch.stack([state.flatten(0, 1)[valid] for state in output.loop_hidden_states])
    return _cross_entropies(model, states, labels[valid]), output.exit_pdf.flatten(0, 1)[valid]


def _cross_entropies(model: LoopLMForCausalLM, states: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return (loops, tokens) cross-entropies in nats of (loops, tokens, hidden) states and (tokens,) labels."""
    weights = torch.ones(states.shape[:2], device=states.device)
    return chunked_cross_entropy(states, model.lm_head, labels, weights)[1]


@torch.no_grad()
def decoded_losses(
    model: LoopLMForCausalLM,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_loops: int | None = None,
    exit_threshold: float | None = None,
    exit_at_loop: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Compute the loss of each token as in decoding with a cache and early exit: the first token is the prompt, and each
    later one sees the keys and values that were cached when the tokens before it left.

    Args:
        model: In evaluation mode.
        input_ids: (batch, seq).
        labels: (batch, seq), the token that follows each; -100 is ignored.
        num_loops, exit_threshold, exit_at_loop: Depth; None for the configuration's.

    Returns:
        (tokens,) cross-entropies in nats and (tokens,) loops, of the tokens with a label.
    """
    cache = DynamicCache(config=model.config)
    # Tokens of one pass exit as they would one by one, but see each other's keys of the same loop; with
    # `kv_reuse="last"` a token must see the last loop's keys of those before it.
    step = 1 if model.config.kv_reuse == "last" else max(1, input_ids.shape[1] - 1)
    states, loops = [], []
    for piece in (input_ids[:, :1], *input_ids[:, 1:].split(step, dim=1)):
        if piece.shape[1] == 0:
            continue
        output = model.get_decoder()(
            piece,
            past_key_values=cache,
            use_cache=True,
            num_loops=num_loops,
            exit_threshold=exit_threshold,
            exit_at_loop=exit_at_loop,
        )
        states.append(output.last_hidden_state)
        loops.append(output.loops_used)
    labels = labels.flatten()
    valid = labels != IGNORE_INDEX
    losses = _cross_entropies(model, torch.cat(states, dim=1).flatten(0, 1)[valid][None], labels[valid])
    return losses[0], torch.cat(loops, dim=1).flatten()[valid]


@contextmanager
def evaluation_mode(model: PreTrainedModel) -> Iterator[None]:
    """Set evaluation mode and keep the quantized weights for this context; restore the mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        with model.get_decoder().cached_weights() if is_looplm(model.config) else nullcontext():
            yield
    finally:
        model.train(was_training)


def _losses_and_exits(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield `token_losses` of each batch of blocks."""
    if len(blocks) == 0:
        raise ValueError("blocks must hold at least one row to measure a loss, got none")
    # A loader advances the global generator even when it does not shuffle, which would change a training that this
    # interrupts: hence a generator of its own.
    loader = DataLoader(blocks.with_format("torch"), batch_size=batch_size, generator=torch.Generator())
    with evaluation_mode(model), show_progress("Loss by depth", len(blocks), "blocks") as advance:
        for batch in loader:
            input_ids = batch["input_ids"].to(model.device, torch.long)
            labels = F.pad(input_ids[:, 1:], (0, 1), value=IGNORE_INDEX)
            yield token_losses(model, input_ids, labels, num_loops)
            advance(len(input_ids))


def loss_by_depth(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None = None, batch_size: int = 8
) -> list[float]:
    """
    Return the mean cross-entropy in nats per token after loop 1, 2, ..., from one pass through all loops.

    Args:
        model: In any mode, which is restored.
        blocks: Column `input_ids`, all rows of one length.
        num_loops: Loops to run; None for the configuration's.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: There are no blocks.
    """
    total, tokens = 0.0, 0
    for losses, _ in _losses_and_exits(model, blocks, num_loops, batch_size):
        total = total + losses.double().sum(dim=1).cpu()
        tokens += losses.shape[1]
    return (total / tokens).tolist()


def depth_quality(
    model: LoopLMForCausalLM, blocks: Dataset, thresholds: Sequence[float], batch_size: int = 8
) -> list[DepthPoint]:
    """
    Return loss and loops per token for each exit threshold, from one pass through all loops.

    Raises:
        ValueError: There are no blocks.
    """
    sums = ExitSums(thresholds)
    for losses, exit_pdf in _losses_and_exits(model, blocks, None, batch_size):
        sums.add(losses, exit_pdf)
    return sums.points()


class ExitSums:
    """Sums over tokens of the loss and the loops at each exit threshold."""

    def __init__(self, thresholds: Sequence[float]):
        self.thresholds = thresholds
        self.sums = torch.zeros(len(thresholds), 2, dtype=torch.float64)
        self.tokens = 0

    def add(self, losses: torch.Tensor, exit_pdf: torch.Tensor) -> None:
        """Add tokens: (loops, tokens) cross-entropies and the (tokens, loops) exit distribution."""
        for index, threshold in enumerate(self.thresholds):
            loops = exit_loops(exit_pdf, threshold)
            chosen = losses.gather(0, loops[None] - 1).double().sum()
            self.sums[index] += torch.stack([loops.double().sum(), chosen]).cpu()
        self.tokens += losses.shape[1]

    def points(self) -> list[DepthPoint]:
        """Return the means over the tokens."""
        means = (self.sums / self.tokens).tolist()
        return [DepthPoint(q, *row) for q, row in zip(self.thresholds, means, strict=True)]


def best_mixture_of_depths(losses: Sequence[float], mean_loops: float) -> float:
    """
    Return the lowest loss that a fixed mixture of depths reaches with `mean_loops` loops on average: what an exit gate
    has to beat.

    Args:
        losses: After loop 1, 2, ...
        mean_loops: Loops per token.

    Raises:
        ValueError: `mean_loops` is not between 1 and the number of losses.
    """
    if not 1 <= mean_loops <= len(losses):
        raise ValueError(f"mean_loops must be from 1 to {len(losses)}, got {mean_loops!r}")
    depths = range(1, len(losses) + 1)
    mixtures = [losses[depth - 1] for depth in depths if depth == mean_loops]
    for low in depths:
        for high in depths:
            if low < mean_loops < high:
                share = (mean_loops - low) / (high - low)
                mixtures.append((1 - share) * losses[low - 1] + share * losses[high - 1])
    return min(mixtures)
