"""Probabilities that a model gives to texts: after every loop in one pass, and as in decoding with early exit."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generate import positions
from evaluation.loss_by_depth import decoded_losses, evaluation_mode, token_losses
from evaluation.progress import show_progress
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, is_looplm
from modeling_nanochat.exit_nanochat import depth_to_run
from modeling_nanochat.loss_nanochat import IGNORE_INDEX

MAX_LOGITS = 2**26
"""Number of logits that a batch may have, 256 MiB in fp32; a text that has more is a batch of its own."""


@dataclass(frozen=True)
class Likelihood:
    """
    Logarithm of the probability of one text.

    Attributes:
        nats: Sum of the log probabilities of its tokens, as the model predicts them at the depth it was asked for.
        by_loop: The same after loop 1, 2, ... of a LoopLM; `(nats,)` for other models.
        tokens: Number of tokens, without the start token.
        loops: Loops per token, mean; 1 for models without loops.
    """

    nats: float
    by_loop: tuple[float, ...]
    tokens: int
    loops: float


def start_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """
    Return the token before the first of a text: the tokenizer's start token, or without one its end token.

    Raises:
        ValueError: The tokenizer has neither.
    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if start is None:
        raise ValueError("tokenizer must have a start or an end token, from which the first token is predicted")
    return start


def text_tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the tokens of a text after a start token; text that spells a special token is tokenized as text."""
    settings = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    return [start_token(tokenizer), *tokenizer(text, **settings)["input_ids"]]


def padded(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return rows of tokens as one batch: input_ids and labels, both (batch, seq), with each next token as the label.

    Rows are padded on the right with `fill`. Attention is causal, so that padding after a text does not affect it; the
    labels of the padding, and of the last token of each row, are -100.
    """
    length = max(len(row) for row in rows)
    input_ids = [[*row, *[fill] * (length - len(row))] for row in rows]
    labels = [[*row[1:], *[IGNORE_INDEX] * (length - len(row) + 1)] for row in rows]
    return torch.tensor(input_ids).to(device), torch.tensor(labels).to(device)


def decoding_threshold(
    model: PreTrainedModel,
    num_loops: int | None = None,
    exit_at_loop: int | None = None,
    exit_threshold: float | None = None,
) -> float | None:
    """
    Return the exit threshold of a model whose decoding at this depth gives other probabilities than one pass: one with
    a threshold below 1, or with a cache of the last loop only. None for all others.

    Raises:
        ValueError: A depth is given for a model without loops, or is out of range.
    """
    if not is_looplm(model.config):
        depth = {"num_loops": num_loops, "exit_at_loop": exit_at_loop, "exit_threshold": exit_threshold}
        asked = [name for name, value in depth.items() if value is not None]
        if asked:
            raise ValueError(f"{', '.join(asked)} needs a LoopLM, got a model of type {model.config.model_type}")
        return None
    config = cast(LoopLMConfig, model.config)
    _, threshold = depth_to_run(config, num_loops, exit_threshold, exit_at_loop)
    return threshold if threshold < 1 or config.kv_reuse == "last" else None


def log_likelihoods(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: int = 8,
    num_loops: int | None = None,
    exit_at_loop: int | None = None,
    exit_threshold: float | None = None,
    progress: bool = False,
) -> list[Likelihood]:
    """
    Return the log probability of each text, in the order given. Texts of similar length are in one batch; the memory
    needed does not grow with their number.

    Args:
        model: A causal language model of Transformers; in any mode, which is restored.
        tokenizer: The model's.
        texts: Each with at least one token. The first token is predicted from a start token.
        batch_size: Maximum number of texts per forward pass.
        num_loops, exit_at_loop, exit_threshold: Depth of a LoopLM; None for the configuration's. With a threshold
            below 1, or `kv_reuse="last"`, `nats` is measured as in decoding, in a second pass.
        progress: Show a progress bar.

    Raises:
        ValueError: A text is empty or longer than the model's context, the tokenizer has no start token, or a depth is
            given for a model without loops.
    """
    depth = (num_loops, exit_at_loop, exit_threshold)
    decoding_threshold(model, *depth)
    rows = [text_tokens(tokenizer, text) for text in texts]
    _check_lengths(rows, positions(model))
    found: dict[int, Likelihood] = {}
    longest_first = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    with evaluation_mode(model), show_progress("Likelihood", len(rows), "texts", shown=progress) as advance:
        while len(found) < len(rows):
            begun = longest_first[len(found) :]
            fitting = MAX_LOGITS // (len(rows[begun[0]]) * model.config.get_text_config().vocab_size)
            batch = begun[: max(1, min(batch_size, fitting))]
            found |= zip(batch, _of_batch(model, [rows[index] for index in batch], *depth), strict=True)
            advance(len(batch))
    return [found[index] for index in range(len(rows))]


def _check_lengths(rows: Sequence[Sequence[int]], longest: int | None) -> None:
    for index, row in enumerate(rows):
        if len(row) < 2:
            raise ValueError(f"texts must have at least one token, got none in text {index}")
        if longest is not None and len(row) > longest:
            raise ValueError(f"texts must have at most {longest - 1} tokens, got {len(row) - 1} in text {index}")


def _of_batch(
    model: PreTrainedModel,
    rows: Sequence[Sequence[int]],
    num_loops: int | None,
    exit_at_loop: int | None,
    exit_threshold: float | None,
) -> list[Likelihood]:
    """Return the log probabilities of one batch."""
    lengths = [len(row) - 1 for row in rows]
    input_ids, labels = padded(rows, rows[0][0], model.device)
    losses, _ = token_losses(model, input_ids, labels, num_loops, exit_at_loop)
    by_loop = [(-part.sum(dim=1)).tolist() for part in losses.double().split(lengths, dim=1)]
    nats, loops = [each[-1] for each in by_loop], [float(len(losses))] * len(rows)
    if decoding_threshold(model, num_loops, exit_at_loop, exit_threshold) is not None:
        looplm = cast(LoopLMForCausalLM, model)
        decoded, used = decoded_losses(looplm, input_ids, labels, num_loops, exit_threshold, exit_at_loop)
        nats = [float(-part.sum()) for part in decoded.double().split(lengths)]
        loops = [float(part.double().mean()) for part in used.split(lengths)]
    return [Likelihood(*each) for each in zip(nats, map(tuple, by_loop), lengths, loops, strict=True)]
