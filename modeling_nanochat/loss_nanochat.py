"""Training objective over all loops, computed in chunks without the logits of all tokens in memory."""

from dataclasses import dataclass
from math import log

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .exit_nanochat import exit_entropy

IGNORE_INDEX = -100
# Size of the fp32 logits of a chunk. On the CPU they should fit into the last-level cache.
CHUNK_BYTES = {"cpu": 2**23, "default": 2**28}


def next_labels(
    labels: torch.Tensor | None, shift_labels: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Return the label that each position predicts, the one of the next token. Masked positions predict nothing and are
    not predicted: with left padding, the first token of a text is no target.

    Args:
        labels: Labels of shape `(batch, seq)`, without a shift; -100 is ignored.
        shift_labels: Labels of the next tokens, instead of `labels`.
        attention_mask: Mask of shape `(batch, past + seq)`, 0 for masked tokens. Masks of other shapes have no effect.

    Returns:
        Labels of the next tokens, of shape `(batch, seq)`; -100 for none.
    """
    if shift_labels is None:
        assert labels is not None, "one of labels and shift_labels is given"
        shift_labels = F.pad(labels[..., 1:], (0, 1), value=IGNORE_INDEX)
    if not torch.is_tensor(attention_mask) or attention_mask.ndim != 2:
        return shift_labels
    real = attention_mask[:, -shift_labels.shape[1] :].to(shift_labels.device) != 0
    next_is_real = F.pad(real[:, 1:], (0, 1), value=True)
    return shift_labels.masked_fill(~(real & next_is_real), IGNORE_INDEX)


def _rows_per_chunk(device_type: str, vocab_size: int) -> int:
    chunk_bytes = CHUNK_BYTES.get(device_type, CHUNK_BYTES["default"])
    return max(32, chunk_bytes // (4 * vocab_size))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """
    Weighted sum of the cross-entropies of all loops and tokens, and the single cross-entropies.

    Forward computes the gradients chunk by chunk from the logits, and backward only scales them. This takes a buffer
    of shape `(rows, hidden)` and one of shape `(vocab, hidden)` for all loops together. The gradient of a row's weight
    is the row's cross-entropy.
    """

    @staticmethod
    def forward(ctx, hidden_states, head_weight, labels, row_weights, compute_dtype):
        loops, tokens, hidden_size = hidden_states.shape
        rows = hidden_states.reshape(-1, hidden_size)
        labels = labels.repeat(loops)
        weights = row_weights.reshape(-1)
        valid = labels != IGNORE_INDEX
        # Other negative labels stay, so that `gather` raises an error.
        labels = labels.masked_fill(~valid, 0)

        needs_hidden, needs_head, _, needs_weights, _ = ctx.needs_input_grad
        grad_hidden = torch.empty_like(rows) if needs_hidden else None
        grad_head = torch.zeros_like(head_weight, dtype=torch.float32) if needs_head else None
        losses = torch.empty(rows.shape[0], dtype=torch.float32, device=rows.device)

        head = head_weight.to(compute_dtype)
        chunk = _rows_per_chunk(rows.device.type, head.shape[0])
        for start in range(0, rows.shape[0], chunk):
            part = slice(start, start + chunk)
            inputs = rows[part].to(compute_dtype)
            logits = (inputs @ head.t()).float()
            index = labels[part, None]
            # In place from here on: the logits become shifted logits, exponentials, and finally their gradient.
            shifted = logits.sub_(logits.amax(dim=1, keepdim=True))
            label_logits = shifted.gather(1, index)
            exponentials = shifted.exp_()
            normalizer = exponentials.sum(dim=1, keepdim=True)
            losses[part] = torch.where(valid[part], (normalizer.log() - label_logits).squeeze(1), 0.0)
            if grad_hidden is None and grad_head is None:
                continue
            # d loss / d logits = (softmax - one_hot) * weight
            scale = torch.where(valid[part], weights[part], 0.0)[:, None]
            grad_logits = exponentials.mul_(scale / normalizer).scatter_add_(1, index, -scale).to(compute_dtype)
            if grad_hidden is not None:
                grad_hidden[part] = grad_logits @ head
            if grad_head is None:
                continue
            if compute_dtype == torch.float32:
                grad_head.addmm_(grad_logits.t(), inputs)
            else:
                grad_head += grad_logits.t() @ inputs

        losses = losses.view(loops, tokens)
        ctx.shape = hidden_states.shape
        ctx.save_for_backward(
            grad_hidden,
            None if grad_head is None else grad_head.to(head_weight.dtype),
            losses if needs_weights else None,
        )
        ctx.mark_non_differentiable(losses)
        return (losses * row_weights).sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sum, _grad_losses):
        grad_hidden, grad_head, losses = ctx.saved_tensors
        return (
            None if grad_hidden is None else (grad_hidden * grad_sum).view(ctx.shape),
            None if grad_head is None else grad_head * grad_sum,
            None,
            None if losses is None else losses * grad_sum,
            None,
        )


def _cross_entropy_through(head, hidden_states, labels, row_weights):
    """Compute the same by calling the head chunk by chunk, recomputed in backward: slower, for heads with hooks."""
    loops, tokens, hidden_size = hidden_states.shape
    rows, labels = hidden_states.reshape(-1, hidden_size), labels.repeat(loops)

    def chunk_losses(part_rows, part_labels):
        return F.cross_entropy(head(part_rows).float(), part_labels, ignore_index=IGNORE_INDEX, reduction="none")

    # By a call, because a wrapped head may have no attribute for its width.
    with torch.no_grad():
        vocab_size = head(rows[:1]).shape[-1]
    size = _rows_per_chunk(rows.device.type, vocab_size)
    parts = zip(rows.split(size), labels.split(size), strict=True)
    losses = torch.cat([checkpoint(chunk_losses, *part, use_reentrant=False) for part in parts])
    losses = losses.view(loops, tokens)
    return (losses * row_weights).sum(), losses.detach()


def _is_plain(head: nn.Module) -> bool:
    # Adapters and sharding change the type of the head; offloading and casts replace the forward of the instance.
    hooks = head._forward_pre_hooks or head._forward_hooks or head._backward_pre_hooks or head._backward_hooks
    return type(head) is nn.Linear and head.bias is None and "forward" not in vars(head) and not hooks


def chunked_cross_entropy(
    hidden_states: torch.Tensor, head: nn.Module, labels: torch.Tensor, row_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Compute the cross-entropy of the predictions of every loop, in nats.

    Under autocast the matrix products run in its dtype, everything else in fp32.

    Args:
        hidden_states: Of shape `(loops, tokens, hidden)`, in fp32, bf16 or fp16.
        head: Linear layer from hidden to vocab. A plain one is fused with the loss. One with an adapter, hooks or
            offloading is called.
        labels: Labels of the next tokens, of shape `(tokens,)`; -100 is ignored.
        row_weights: Weight of each cross-entropy in the sum, of shape `(loops, tokens)` in fp32, with gradient.

    Returns:
        The weighted sum, a scalar with gradient, and the cross-entropies of shape `(loops, tokens)` without gradient,
        which are 0 for ignored labels.
    """
    if not _is_plain(head) and hidden_states.shape[0] > 0:
        return _cross_entropy_through(head, hidden_states, labels, row_weights)
    head_weight = head.weight
    assert isinstance(head_weight, torch.Tensor)
    if not torch.is_grad_enabled():
        hidden_states, head_weight, row_weights = hidden_states.detach(), head_weight.detach(), row_weights.detach()
    device_type = hidden_states.device.type
    autocast = torch.is_autocast_enabled(device_type)
    compute_dtype = torch.get_autocast_dtype(device_type) if autocast else head_weight.dtype
    with torch.autocast(device_type, enabled=False):
        return _ChunkedCrossEntropy.apply(hidden_states, head_weight, labels, row_weights, compute_dtype)


@dataclass
class LoopLoss:
    """
    Result of [`loop_loss`], in nats per token. All fields but `loss` are means over the labels, without gradient.

    Attributes:
        loss: The loss to minimize, a sum over tokens divided by `num_items`.
        ce_loss: Cross-entropy part of the loss.
        entropy_penalty: `log T - H(p)`, before it is weighted; 0 if all loops are equally likely.
        loop_losses: Cross-entropy of the predictions of each loop whose hidden states were given, of shape `(loops,)`.
    """

    loss: torch.Tensor
    ce_loss: torch.Tensor
    entropy_penalty: torch.Tensor
    loop_losses: torch.Tensor


def loop_loss(
    loop_hidden_states: tuple[torch.Tensor, ...],
    head: nn.Module,
    shift_labels: torch.Tensor,
    exit_log_probs: torch.Tensor,
    form: str,
    entropy_weight: float,
    num_items: torch.Tensor | int | None = None,
) -> LoopLoss:
    """
    Compute the training objective over all loops (Ouro, arXiv 2510.25741, equation 4, and a variant on the last loop).

    Per token, with exit distribution p and T loops, `form="expected"` is `sum_t p_t CE_t - beta H(p)` and
    `form="final"` is `CE_T + beta (log T - H(p))`. Tokens with label -100 are ignored.

    Args:
        loop_hidden_states: Hidden states after the final norm for each of the T loops, of shape
            `(batch, seq, hidden)`; those of the last loop suffice for `form="final"`.
        head: Linear layer from hidden to vocab.
        shift_labels: Labels of the next tokens, of shape `(batch, seq)`.
        exit_log_probs: Log of the exit distribution, of shape `(batch, seq, T)` in fp32.
        form: "expected" or "final".
        entropy_weight: beta.
        num_items: Divisor of the sum over tokens; the default is the number of labels. With gradient accumulation it
            is the number of labels in the whole batch.
    """
    loops = exit_log_probs.shape[-1]
    labels = shift_labels.reshape(-1)
    valid = labels != IGNORE_INDEX
    num_valid = valid.sum().clamp(min=1)
    if num_items is None:
        num_items = num_valid
    elif torch.is_tensor(num_items):
        num_items = num_items.to(labels.device)

    hidden_states = torch.stack([states.flatten(0, 1) for states in loop_hidden_states])
    log_probs = exit_log_probs.flatten(0, 1)
    entropy = exit_entropy(log_probs)
    if form == "expected":
        ce_sum, losses = chunked_cross_entropy(hidden_states, head, labels, log_probs.exp().t())
    else:
        ones = torch.ones_like(labels, dtype=torch.float32)[None]
        ce_sum, last_losses = chunked_cross_entropy(hidden_states[-1:], head, labels, ones)
        with torch.no_grad():
            earlier = hidden_states[:-1]
            _, losses = chunked_cross_entropy(earlier, head, labels, ones.expand(len(earlier), -1))
        losses = torch.cat([losses, last_losses])
    entropy_sum = torch.where(valid, entropy, 0.0).sum()
    uniform_sum = log(loops) * num_valid
    penalty_sum = (uniform_sum if form == "final" else 0.0) - entropy_sum
    return LoopLoss(
        loss=(ce_sum + entropy_weight * penalty_sum) / num_items,
        ce_loss=ce_sum.detach() / num_valid,
        entropy_penalty=(uniform_sum - entropy_sum).detach() / num_valid,
        loop_losses=losses.sum(dim=1) / num_valid,
    )
