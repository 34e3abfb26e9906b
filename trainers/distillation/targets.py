"""A teacher's predictions as targets: the divergence of a student's from them, and its gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch.nn import functional as F


class Targets(Protocol):
    """Predictions of a teacher for some tokens, at one temperature."""

    def select(self, index: torch.Tensor) -> Self:
        """Return the predictions for some of the tokens; `index` is (tokens,) of booleans."""
        ...

    def divergence(self, part: slice, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Compute the forward divergence KL(teacher || student), at the temperature of the targets.

        Args:
            part: Tokens that are compared.
            log_probs: (tokens of the part, vocab), the student's log-probabilities at this temperature, in fp32.

        Returns:
            The divergences in nats, (tokens of the part,), and their gradient by the student's logits over the
            temperature, (tokens of the part, vocab).
        """
        ...


@dataclass(frozen=True)
class DenseTargets:
    """
    Predictions that a teacher's head makes of hidden states, chunk by chunk.

    Attributes:
        rows: (tokens, width), what `logits` maps to logits.
        logits: Map from some of the rows to the teacher's logits, (rows, entries).
        temperature: Divisor of the logits.
    """

    rows: torch.Tensor
    logits: Callable[[torch.Tensor], torch.Tensor]
    temperature: float

    def select(self, index: torch.Tensor) -> Self:
        return type(self)(self.rows[index], self.logits, self.temperature)

    def divergence(self, part: slice, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        teacher = teacher_log_probs(self.logits(self.rows[part]), self.temperature, log_probs.shape[1])
        return divergence(teacher, log_probs)


@dataclass(frozen=True)
class TopKTargets:
    """
    A teacher's likeliest tokens, and the rest of its probability as one bucket.

    The divergence is that of the distributions over these k tokens and the bucket, a lower bound of the whole one and
    equal to it where k is the size of the vocabulary. Its gradient leaves the student's probabilities within the
    bucket their ratios.

    Attributes:
        log_probs: (tokens, k + 1), of the k tokens and of the bucket, at the temperature of the training.
        ids: (tokens, k), ids of the k tokens.
    """

    log_probs: torch.Tensor
    ids: torch.Tensor

    def select(self, index: torch.Tensor) -> Self:
        return type(self)(self.log_probs[index], self.ids[index])

    def divergence(self, part: slice, log_probs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        probs, ids = self.log_probs[part].float().exp(), self.ids[part].long()
        # They were rounded to fp16.
        probs = probs / probs.sum(dim=1, keepdim=True)
        named, bucket = probs[:, :-1], probs[:, -1]
        student = log_probs.exp()
        within = student.scatter(1, ids, 0.0)
        smallest = torch.finfo(within.dtype).tiny
        student_bucket = within.sum(dim=1).clamp(min=smallest)
        found = (torch.xlogy(named, named) - named * log_probs.gather(1, ids)).sum(dim=1)
        found += torch.xlogy(bucket, bucket) - bucket * student_bucket.log()
        target = within.mul_((bucket / student_bucket)[:, None]).scatter_(1, ids, named)
        return found, student.sub_(target)


def teacher_log_probs(logits: torch.Tensor, temperature: float, vocab_size: int) -> torch.Tensor:
    """
    Return a teacher's log-probabilities at a temperature over the student's vocabulary, in fp32.

    Embeddings are often padded to more rows than the tokenizer has tokens. Logits beyond the student's are cut; where
    the student has more, the teacher's probability is 0.

    Args:
        logits: (tokens, entries) of any number of entries.
        temperature: Divisor of the logits.
        vocab_size: Number of the student's logits.
    """
    logits = logits[:, :vocab_size].float()
    missing = vocab_size - logits.shape[1]
    return F.log_softmax(F.pad(logits, (0, missing), value=-torch.inf) / temperature, dim=1)


def top_k(log_probs: torch.Tensor, k: int) -> TopKTargets:
    """
    Return the k likeliest tokens of each row and the rest of its probability, as they are kept: fp16 and int32.

    Args:
        log_probs: (tokens, vocab).
        k: Number of tokens, from 1 to vocab.
    """
    named, ids = log_probs.topk(k, dim=1)
    bucket = log_probs.exp().scatter_(1, ids, 0.0).sum(dim=1, keepdim=True).log()
    return TopKTargets(torch.cat([named, bucket], dim=1).half(), ids.int())


def divergence(teacher: torch.Tensor, student: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Compute KL(teacher || student) of log-probabilities of equal shapes, (..., vocab).

    Returns:
        The divergences in nats, (...,), and their gradient by the student's logits, (..., vocab).
    """
    probs = teacher.exp()
    # 0 log 0 is 0.
    terms = torch.where(probs > 0, probs * (teacher - student), 0.0)
    return terms.sum(dim=-1), student.exp().sub_(probs)
