"""Loss of a model on held-out text, after every loop and where its exit gate would leave."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.loss_nanochat import chunked_cross_entropy


@dataclass(frozen=True)
class DepthPoint:
    """
    Quality at one exit threshold.

    Attributes:
        threshold: A token leaves after the first loop at which its exit distribution sums to this much.
        mean_loops: Loops per token.
        loss: Cross-entropy in nats per token of the predictions at the loops where the tokens leave.
    """

    threshold: float
    mean_loops: float
    loss: float


@torch.no_grad()
def _losses_and_exits(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None, batch_size: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Per batch: (loops, tokens) cross-entropies and the (tokens, loops) exit distribution, from one full pass."""
    if len(blocks) == 0:
        raise ValueError("blocks must hold at least one row to measure a loss, got none")
    was_training = model.training
    model.eval()
    # A generator of its own: a loader draws from the global one even when it does not shuffle, and a training in whose
    # middle this is called must not depend on it.
    loader = DataLoader(blocks.with_format("torch"), batch_size=batch_size, generator=torch.Generator())
    try:
        with model.model.resting_weights():
            for batch in tqdm(loader, desc="Loss by depth", leave=False):
                input_ids = batch["input_ids"].to(model.device, torch.long)
                options = dict(use_cache=False, return_logits=False, output_loop_states=True, num_loops=num_loops)
                output = model(input_ids, **options)
                states = torch.stack([state[:, :-1].flatten(0, 1) for state in output.loop_hidden_states])
                weights = torch.ones(states.shape[:2], device=states.device)
                _, losses = chunked_cross_entropy(states, model.lm_head, input_ids[:, 1:].flatten(), weights)
                yield losses, output.exit_pdf[:, :-1].flatten(0, 1)
    finally:
        model.train(was_training)


def loss_by_depth(
    model: LoopLMForCausalLM, blocks: Dataset, num_loops: int | None = None, batch_size: int = 8
) -> list[float]:
    """
    Mean cross-entropy in nats per token when the prediction is read after loop 1, 2, ...; from one pass at full depth.

    Args:
        model: In any mode; it is left as it was.
        blocks: Column `input_ids`, all rows of one length.
        num_loops: Loops to run, None for the configuration's.
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
    Loss against loops per token for each threshold, from one pass at full depth.

    Raises:
        ValueError: There are no blocks.
    """
    exits = torch.zeros(len(thresholds), 2, dtype=torch.float64)
    tokens = 0
    for losses, exit_pdf in _losses_and_exits(model, blocks, None, batch_size):
        reached = exit_pdf.cumsum(dim=-1)
        for index, threshold in enumerate(thresholds):
            # Rounding may leave the whole sum below 1: the last loop takes all that are left.
            leave = (reached[:, :-1] < threshold).sum(dim=-1)
            chosen = losses.gather(0, leave[None]).double().sum()
            exits[index] += torch.stack([(leave + 1).double().sum(), chosen]).cpu()
        tokens += losses.shape[1]
    return [DepthPoint(q, *row) for q, row in zip(thresholds, (exits / tokens).tolist(), strict=True)]


def best_mixture_of_depths(losses: Sequence[float], mean_loops: float) -> float:
    """
    The lowest loss of a choice of depths that does not look at the tokens, with `mean_loops` loops on average: what a
    gate has to beat. `losses` are those after loop 1, 2, ...

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
