"""The divergence of a student's attention relations from a teacher's, computed in chunks of queries."""

from math import sqrt
from typing import NamedTuple

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from modeling_nanochat.loss_nanochat import CHUNK_BYTES
from trainers.distillation.targets import divergence

COPIES = 6
"""Tensors of the size of a chunk's relations that exist at a time, about."""
PADDING = -1
"""Document of masked tokens."""


class Projections(NamedTuple):
    """Queries, keys and values of an attention, each `(batch, seq, width)`, before norms and rotation."""

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor


def documents_of(
    input_ids: torch.Tensor, position_ids: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """
    Return the index in its row of the document that each token belongs to, `(batch, seq)`; -1 for padding.

    Args:
        input_ids: (batch, seq).
        position_ids: (batch, seq); a document begins where they do not go on by one. Without them a row is one.
        attention_mask: (batch, seq), 0 for padding.
    """
    documents = torch.zeros_like(input_ids)
    if position_ids is not None:
        documents[:, 1:] = (position_ids.diff(dim=1) != 1).cumsum(dim=1)
    return documents if attention_mask is None else documents.masked_fill(attention_mask == 0, PADDING)


def relation_divergence(
    teacher: Projections,
    student: Projections,
    documents: torch.Tensor,
    counted: torch.Tensor,
    heads: int,
    chunk: int | None = None,
) -> torch.Tensor:
    """
    Compute the divergence of attention relations, summed over tokens (BitDistill, arXiv 2510.13998, section 3.3; the
    relations are those of MiniLMv2, arXiv 2012.15828, section 3).

    Queries, keys and values are each split into `heads` relation heads of width d, so that teacher and student may
    have different numbers of attention heads. With A the queries, keys or values of a relation head, and R = softmax(A
    A^T / sqrt(d)) for the teacher (T) and the student (S), the divergence of token t is

        sum over queries, keys and values of the mean over the relation heads of KL(R^T_t || R^S_t)

    A relation, as attention does, reaches from a token to itself and to the tokens of its document before it. All is
    computed in fp32.

    Args:
        teacher: The teacher's projections, without gradient.
        student: The student's.
        documents: [`documents_of`] the batch, (batch, seq).
        counted: (batch, seq), True for the tokens whose divergence counts.
        heads: Number of relation heads, which divides all widths.
        chunk: Number of queries per row whose relations are computed together; None for a number that fits memory.

    Returns:
        The sum over the counted tokens in nats, a scalar with gradient by the student's projections.
    """
    if chunk is None:
        batch, length = documents.shape
        chunk_bytes = CHUNK_BYTES.get(documents.device.type, CHUNK_BYTES["default"])
        chunk = max(32, chunk_bytes // (COPIES * 4 * batch * heads * length))
    if not torch.is_grad_enabled():
        student = Projections(*(each.detach() for each in student))
    with torch.autocast(documents.device.type, enabled=False):
        return _RelationDivergence.apply(*student, teacher, documents, counted, heads, chunk)


class _RelationDivergence(torch.autograd.Function):
    """Forward computes the gradients chunk by chunk from the relations, and backward only scales them."""

    @staticmethod
    def forward(ctx, queries, keys, values, teacher, documents, counted, heads, chunk):
        total = torch.zeros((), device=queries.device)
        gradients = []
        for ours, theirs, has_gradient in zip((queries, keys, values), teacher, ctx.needs_input_grad, strict=False):
            student, reference = _split(ours, heads), _split(theirs, heads)
            gradient = torch.zeros_like(student) if has_gradient else None
            for start in range(0, documents.shape[1], chunk):
                total += _add_chunk(student, reference, gradient, documents, counted, slice(start, start + chunk))
            gradients.append(None if gradient is None else gradient.transpose(1, 2).flatten(2).to(ours.dtype))
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sum):
        found = (None if each is None else each * grad_sum.to(each.dtype) for each in ctx.saved_tensors)
        return *found, None, None, None, None, None


def _split(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """Relation heads `(batch, heads, seq, width)` in fp32."""
    return projected.unflatten(2, (heads, -1)).transpose(1, 2).float()


def _add_chunk(
    student: torch.Tensor,
    teacher: torch.Tensor,
    gradient: torch.Tensor | None,
    documents: torch.Tensor,
    counted: torch.Tensor,
    rows: slice,
) -> torch.Tensor:
    """Sum of the divergences of some rows of the relations; adds to the gradient of the student's projections."""
    end, heads = min(rows.stop, documents.shape[1]), student.shape[1]
    places = torch.arange(end, device=documents.device)
    allowed = (documents[:, rows, None] == documents[:, None, :end]) & (places[rows, None] >= places)
    allowed = allowed[:, None]
    found, by_scores = divergence(_relations(teacher, rows, allowed), _relations(student, rows, allowed))
    weights = counted[:, None, rows] / heads
    if gradient is not None:
        by_scores *= weights[..., None] / sqrt(student.shape[-1])
        gradient[:, :, rows] += by_scores @ student[:, :, :end]
        gradient[:, :, :end] += by_scores.mT @ student[:, :, rows]
    return (found * weights).sum()


def _relations(projected: torch.Tensor, rows: slice, allowed: torch.Tensor) -> torch.Tensor:
    """Logarithms of some rows of the relations, `(batch, heads, rows, end)`."""
    scores = projected[:, :, rows] @ projected[:, :, : allowed.shape[-1]].mT / sqrt(projected.shape[-1])
    return F.log_softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1)
