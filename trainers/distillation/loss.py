"""The loss of distillation, computed in chunks without the logits of all tokens in memory."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modeling_nanochat.loss_nanochat import CHUNK_BYTES, IGNORE_INDEX
from trainers.distillation.targets import Targets, divergence

COPIES = 4
"""Tensors of the size of a chunk's logits that exist at a time, about."""


@dataclass(frozen=True)
class DistillationWeights:
    """
    Weights of the parts of the loss.

    Attributes:
        temperature: T, by which the logits of teacher and student are divided in the divergences.
        kl_weight: Weight of the divergence from the teacher.
        hard_weight: Weight of the cross-entropy of the text.
        self_distillation_weight: Weight of the divergence of the earlier loops from the last one.

    Raises:
        ValueError: A value is out of range, or all weights are 0.
    """

    temperature: float = 1.0
    kl_weight: float = 1.0
    hard_weight: float = 0.0
    self_distillation_weight: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature!r}")
        weights = {name: vars(self)[name] for name in ("kl_weight", "hard_weight", "self_distillation_weight")}
        for name, value in weights.items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite, got {value!r}")
        if not self.kl_weight and not self.hard_weight:
            raise ValueError("kl_weight or hard_weight must be above 0, got 0 for both: the last loop would not learn")

    @property
    def loop_loss(self) -> str:
        """The objective of a model (`config.loop_loss`) in which the same loops have a weight."""
        return "expected" if self.self_distillation_weight else "final"


@dataclass(frozen=True)
class DistillationLoss:
    """
    Result of [`distillation_loss`]. All fields but `loss` are means over the labels in nats, without gradient.

    Attributes:
        loss: The loss to minimize, a sum over tokens divided by `num_items`.
        teacher_kl: KL(teacher || last loop) at the temperature, before it is weighted.
        depth_kl: Mean over the earlier loops of KL(last loop || loop) at the temperature, before it is weighted; 0
            with a weight of 0 and for a model with one loop.
        loop_losses: Cross-entropy of the predictions of each given loop, of shape `(loops,)`.
    """

    loss: torch.Tensor
    teacher_kl: torch.Tensor
    depth_kl: torch.Tensor
    loop_losses: torch.Tensor


def rows_per_chunk(device_type: str, vocab_size: int) -> int:
    """Return the number of tokens whose logits are computed together."""
    chunk_bytes = CHUNK_BYTES.get(device_type, CHUNK_BYTES["default"])
    return max(32, chunk_bytes // (COPIES * 4 * vocab_size))


def distillation_loss(
    loop_hidden_states: tuple[torch.Tensor, ...],
    head: nn.Linear,
    shift_labels: torch.Tensor,
    targets: Targets,
    weights: DistillationWeights,
    num_items: torch.Tensor | int | None = None,
    chunk: int | None = None,
) -> DistillationLoss:
    """
    Compute the loss of a looped student whose last loop learns from a teacher (Hinton et al., arXiv 1503.02531,
    section 2; the logits distillation of BitDistill, arXiv 2510.13998, has the same divergence).

    Per token, with the teacher's distribution p, the student's q_t after each of its L loops, both at temperature T,
    and the cross-entropy CE of the text at temperature 1:

        kl_weight T^2 KL(p || q_L) + hard_weight CE_L + self_distillation_weight T^2 mean_{t<L} KL(q_L || q_t)

    The factor T^2 keeps the size of the gradients, as in Hinton et al. In the last term q_L has no gradient: the last
    loop teaches the earlier ones. Tokens with label -100 are ignored in all terms.

    Under autocast the matrix products run in its dtype, everything else in fp32.

    Args:
        loop_hidden_states: Hidden states after the final norm for each of the L loops, of shape
            `(batch, seq, hidden)`; those of the last one suffice without a `self_distillation_weight`.
        head: Linear layer from hidden to vocab, without a bias.
        shift_labels: Labels of the next tokens, of shape `(batch, seq)`.
        targets: The teacher's predictions for the `batch * seq` tokens, at the temperature of the weights.
        weights: Weights of the terms.
        num_items: Divisor of the sum over tokens; the default is the number of labels. With gradient accumulation it
            is the number of labels in the whole batch.
        chunk: Number of tokens whose logits are computed together; None for [`rows_per_chunk`].
    """
    labels = shift_labels.reshape(-1)
    valid = labels != IGNORE_INDEX
    num_valid = valid.sum().clamp(min=1)
    if num_items is None:
        num_items = num_valid
    elif torch.is_tensor(num_items):
        num_items = num_items.to(labels.device)
    hidden_states = torch.stack([states.flatten(0, 1)[valid] for states in loop_hidden_states])
    weight = head.weight
    if not torch.is_grad_enabled():
        hidden_states, weight = hidden_states.detach(), weight.detach()
    device_type = hidden_states.device.type
    autocast = torch.is_autocast_enabled(device_type)
    compute_dtype = torch.get_autocast_dtype(device_type) if autocast else weight.dtype
    size = rows_per_chunk(device_type, weight.shape[0]) if chunk is None else chunk
    with torch.autocast(device_type, enabled=False):
        total, sums = _ChunkedDistillation.apply(
            hidden_states, weight, labels[valid], targets.select(valid), weights, compute_dtype, size
        )
    means = sums / num_valid
    return DistillationLoss(total / num_items, means[0], means[1], means[2:])


class _ChunkedDistillation(torch.autograd.Function):
    """
    Sum of the loss over tokens, and the sums of the divergences and of every loop's cross-entropy.

    Forward computes the gradients chunk by chunk from the logits, and backward only scales them. This takes a buffer
    of shape `(loops, tokens, hidden)` and one of shape `(vocab, hidden)`.
    """

    @staticmethod
    def forward(ctx, hidden_states, head_weight, labels, targets, weights, compute_dtype, chunk):
        loops, tokens, _ = hidden_states.shape
        needs_hidden, needs_head, *_ = ctx.needs_input_grad
        grad_hidden = torch.zeros_like(hidden_states) if needs_hidden else None
        grad_head = torch.zeros_like(head_weight, dtype=torch.float32) if needs_head else None
        head = head_weight.to(compute_dtype)
        temperature = weights.temperature
        sums = torch.zeros(2 + loops, device=hidden_states.device)
        depth_weight = weights.self_distillation_weight if loops > 1 else 0.0

        def add_gradient(loop: int, part: slice, inputs: torch.Tensor, gradient: torch.Tensor) -> None:
            gradient = gradient.to(compute_dtype)
            if grad_hidden is not None:
                grad_hidden[loop, part] = gradient @ head
            if grad_head is not None:
                grad_head.add_(gradient.t() @ inputs)

        for start in range(0, tokens, chunk):
            part = slice(start, start + chunk)
            index = labels[part, None]

            inputs = hidden_states[-1, part].to(compute_dtype)
            logits = (inputs @ head.t()).float()
            last = F.log_softmax(logits / temperature, dim=1)
            divergences, gradient = targets.divergence(part, last)
            sums[0] += divergences.sum()
            at_one = last if temperature == 1 else F.log_softmax(logits, dim=1)
            sums[-1] -= at_one.gather(1, index).sum()
            # T^2 of the formula, and 1 / T of the derivative by the logits.
            gradient.mul_(weights.kl_weight * temperature)
            if weights.hard_weight:
                gradient.add_(at_one.exp(), alpha=weights.hard_weight)
                gradient.scatter_add_(1, index, torch.full_like(index, -weights.hard_weight, dtype=gradient.dtype))
            add_gradient(loops - 1, part, inputs, gradient)
            del logits, at_one, gradient

            for loop in range(loops - 1):
                inputs = hidden_states[loop, part].to(compute_dtype)
                logits = (inputs @ head.t()).float()
                sums[2 + loop] -= F.log_softmax(logits, dim=1).gather(1, index).sum()
                if not depth_weight:
                    continue
                divergences, gradient = divergence(last, F.log_softmax(logits / temperature, dim=1))
                sums[1] += divergences.sum() / (loops - 1)
                add_gradient(loop, part, inputs, gradient.mul_(depth_weight * temperature / (loops - 1)))

        ctx.save_for_backward(grad_hidden, None if grad_head is None else grad_head.to(head_weight.dtype))
        ctx.mark_non_differentiable(sums)
        squared = temperature**2
        total = (
            weights.kl_weight * squared * sums[0] + weights.hard_weight * sums[-1] + depth_weight * squared * sums[1]
        )
        return total, sums

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sum, _grad_sums):
        found = (None if each is None else each * grad_sum for each in ctx.saved_tensors)
        return *found, None, None, None, None, None
