"""Training of a tiny student on a teacher for a step or a few."""

from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from tests.helpers.pretraining import make_trainer
from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import tiny_model
from trainers.distillation.attention import AttentionRelations
from trainers.distillation.loss import DistillationWeights
from trainers.distillation.teacher import Teacher
from trainers.distillation.trainer import DistillationTrainer


def make_distillation_trainer(
    folder: Path,
    teacher: PreTrainedModel,
    student: nn.Module,
    weights: DistillationWeights,
    rows=None,
    relations: AttentionRelations | None = None,
    **settings,
) -> DistillationTrainer:
    """A trainer with the defaults of the tests."""

    def trainer_class(**arguments) -> DistillationTrainer:
        return DistillationTrainer(weights=weights, teacher=Teacher.of(teacher), relations=relations, **arguments)

    return make_trainer(folder, student, trainer_class, rows, ddp_find_unused_parameters=False, **settings)


def distilled(
    folder: Path, weights: DistillationWeights, rows=None, relations: AttentionRelations | None = None, **settings
) -> dict[str, torch.Tensor]:
    """The weights of a student after two steps of SGD, by name."""
    settings = dict(max_steps=2, optim="sgd", max_grad_norm=0, learning_rate=0.05, save_strategy="no") | settings
    student = tiny_model(seed=1)
    make_distillation_trainer(folder, tiny_llama(), student, weights, rows, relations, **settings).train()
    return student.state_dict()
