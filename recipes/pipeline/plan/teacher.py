"""Memory and FLOPs of a teacher, counted on its configuration."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedConfig

from evaluation.loading import load_config
from modeling_nanochat import LoopLMConfig
from trainers.distillation.kept_targets import record
from trainers.distillation.teacher import weights_dtype

STATES, WIDEST = 4, 3
"""Tensors of the hidden size, and of the widest layer's, that exist at a time in a forward pass, about."""


@dataclass(frozen=True)
class TeacherSize:
    """
    Size of a teacher in a training step.

    Attributes:
        weights: Bytes of its weights; 0 where its predictions are kept on disk.
        kept: Bytes per token that wait for the loss: its last hidden states, or its predictions from the disk.
        temporary: Bytes per token of its forward pass, about; before the student's.
        vocab_size: Entries of its logits, of which the loss has a chunk in fp32.
        flops: FLOPs per token of its forward pass, without those of attention scores.
    """

    weights: int
    kept: int
    temporary: int
    vocab_size: int
    flops: int


@cache
def named_teacher_size(name: str, bf16: bool, top_k: int | None) -> TeacherSize:
    """Return the size of the teacher in a folder or on the Hub. Raises `ValueError` when there is none."""
    return teacher_size(load_config(name), bf16, top_k)


def teacher_size(config: PreTrainedConfig, bf16: bool, top_k: int | None) -> TeacherSize:
    """
    Return the size of a teacher.

    Args:
        config: Configuration of the teacher.
        bf16: Whether the training computes in bf16.
        top_k: Number of predictions that are kept on disk; None for none.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    vocab_size = config.get_text_config().vocab_size
    if top_k is not None:
        # Keeping comes before training, and needs less memory than training does.
        return TeacherSize(weights=0, kept=record(top_k).itemsize, temporary=0, vocab_size=vocab_size, flops=0)
    dtype = weights_dtype(config, bf16)
    in_training = 2 if bf16 else 4
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    body = [parameter for parameter in model.parameters() if parameter is not embedding and parameter is not head]
    loops = config.num_loops if isinstance(config, LoopLMConfig) else 1
    hidden = head.shape[1]
    widest = max((max(parameter.shape[-2:]) for parameter in body if parameter.ndim >= 2), default=hidden)
    return TeacherSize(
        weights=_numbers(model) * dtype.itemsize,
        kept=hidden * in_training,
        temporary=(STATES * hidden + WIDEST * widest) * in_training,
        vocab_size=vocab_size,
        flops=2 * (loops * sum(parameter.numel() for parameter in body) + head.numel()),
    )


def _numbers(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
