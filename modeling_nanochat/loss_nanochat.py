"""Cross-entropy after every loop without ever holding the logits of all tokens."""

from dataclasses import dataclass
from math import log

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .exit_nanochat import exit_entropy

IGNORE_INDEX = -100
# fp32 logits of one chunk. On the CPU they should stay in the last-level cache.
CHUNK_BYTES = {"cpu": 2**23, "default": 2**28}


def next_labels(
    labels: torch.Tensor | None, shift_labels: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """
    What each position has to predict, (batch, seq): the label of the token after it, -100 for none. A masked position
    predicts nothing and is not predicted: behind left padding, the first token of a text is no target.

    Args:
        labels: (batch, seq) of each token itself; -100 is ignored.
        shift_labels: The same for the token after each, instead.
        attention_mask: (batch, seq, or more for what is cached), 0 is masked; others say nothing about padding.
    """
    if shift_labels is None:
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
    Weighted sum of the cross-entropies of all loops and tokens, and each of them.

    The gradients are computed in forward, chunk by chunk, while the logits are at hand, and only scaled in backward:
    one (rows, hidden) buffer and one (vocab, hidden) buffer for all loops together. The gradient of a row's weight is
    that row's cross-entropy.
    """

    @staticmethod
    def forward(ctx, hidden_states, head_weight, labels, row_weights, compute_dtype):
        loops, tokens, hidden_size = hidden_states.shape
        rows = hidden_states.reshape(-1, hidden_size)
        labels = labels.repeat(loops)
        weights = row_weights.reshape(-1)
        valid = labels != IGNORE_INDEX
        # Other negative labels stay what they are, and `gather` refuses them.
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
            # In place from here on: the logits become shifted logits, exponentials and then their own gradient.
            shifted = logits.sub_(logits.amax(dim=1, keepdim=True))
            label_logits = shifted.gather(1, index)
            exponentials = shifted.exp_()
            normalizer = exponentials.sum(dim=1, keepdim=True)
            losses[part] = torch.where(valid[part], (normalizer.log() - label_logits).squeeze(1), 0.0)
            if not (needs_hidden or needs_head):
                continue
            # d loss / d logits = (softmax - one_hot) * weight
            scale = torch.where(valid[part], weights[part], 0.0)[:, None]
            grad_logits = exponentials.mul_(scale / normalizer).scatter_add_(1, index, -scale).to(compute_dtype)
            if needs_hidden:
                grad_hidden[part] = grad_logits @ head
            if not needs_head:
                continue
            if compute_dtype == torch.float32:
                grad_head.addmm_(grad_logits.t(), inputs)
            else:
                grad_head += grad_logits.t() @ inputs

        losses = losses.view(loops, tokens)
        ctx.shape = hidden_states.shape
        ctx.save_for_backward(
            grad_hidden,
            grad_head.to(head_weight.dtype) if needs_head else None,
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
    """The same by calling the head chunk by chunk, each recomputed in backward: slower, for heads that do more."""
    loops, tokens, hidden_size = hidden_states.shape
    rows, labels = hidden_states.reshape(-1, hidden_size), labels.repeat(loops)

    def chunk_losses(part_rows, part_labels):
        return F.cross_entropy(head(part_rows).float(), part_labels, ignore_index=IGNORE_INDEX, reduction="none")

    # Asked by a call, because a wrapped head has no attribute that tells its width.
    with torch.no_grad():
        vocab_size = head(rows[:1]).shape[-1]
    size = _rows_per_chunk(rows.device.type, vocab_size)
    parts = zip(rows.split(size), labels.split(size), strict=True)
    losses = torch.cat([checkpoint(chunk_losses, *part, use_reentrant=False) for part in parts])
    losses = losses.view(loops, tokens)
    return (losses * row_weights).sum(), losses.detach()


def _is_plain(head: nn.Module) -> bool:
    # Adapters and sharding change the type; offloading and casts replace the instance's forward.
    hooks = head._forward_pre_hooks or head._forward_hooks or head._backward_pre_hooks or head._backward_hooks
    return type(head) is nn.Linear and head.bias is None and "forward" not in vars(head) and not hooks


def chunked_cross_entropy(
    hidden_states: torch.Tensor, head: nn.Module, labels: torch.Tensor, row_weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Cross-entropy of every loop's prediction, in nats.

    Args:
        hidden_states: (loops, tokens, hidden), float32, bf16 or fp16.
        head: Linear layer from hidden to vocab. A plain one is fused with the loss; one that does more when it is
            called (an adapter, offloading) is called.
        labels: (tokens,), already shifted; -100 is ignored.
        row_weights: (loops, tokens) in fp32, the weight of each cross-entropy in the sum. Gradients reach it.

    Returns:
        The weighted sum, a scalar that carries the gradient, and the (loops, tokens) cross-entropies without gradient,
        0 where ignored. Under autocast the matrix products run in its type, everything else in fp32.
    """
    if not _is_plain(head) and hidden_states.shape[0] > 0:
        return _cross_entropy_through(head, hidden_states, labels, row_weights)
    head_weight = head.weight
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
    Result of [`loop_loss`] in nats per token. All but `loss` are means over the labels at hand, without gradient.

    Attributes:
        loss: What is minimised, a sum divided by `num_items`.
        ce_loss: Its cross-entropy part.
        entropy_penalty: `log T - H(p)`, not yet weighted; 0 when every loop is equally likely.
        loop_losses: (loops,) cross-entropy of each loop's prediction.
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
    Training objective over all loops (Ouro, arXiv 2510.25741, equation 4, and a variant on the last loop).

    Per token, with exit distribution p and T loops: `form="expected"` is `sum_t p_t CE_t - beta H(p)`, `form="final"`
    is `CE_T + beta (log T - H(p))`. Tokens with label -100 count nowhere.

    Args:
        loop_hidden_states: T tensors (batch, seq, hidden), normed, as the head reads them.
        head: Linear layer from hidden to vocab.
        shift_labels: (batch, seq), position i holds the label of token i + 1.
        exit_log_probs: (batch, seq, T), fp32.
        form: "expected" or "final".
        entropy_weight: beta.
        num_items: What the sum over tokens is divided by; None is the number of labels here. Under gradient
            accumulation it is the number of labels in the whole batch.
    """
    loops = len(loop_hidden_states)
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
            _, losses = chunked_cross_entropy(hidden_states[:-1], head, labels, ones.expand(loops - 1, -1))
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
