"""Training of a student on a teacher's predictions."""

from contextlib import nullcontext

import torch
from torch import nn

from modeling_nanochat import LoopLMConfig
from trainers.distillation.attention import AttentionComparison, AttentionRelations
from trainers.distillation.kept_targets import IDS, LOG_PROBS, kept_targets
from trainers.distillation.loss import DistillationWeights, distillation_loss
from trainers.distillation.targets import Targets
from trainers.distillation.teacher import Teacher
from trainers.pretraining import LoopLMTrainer, labels_of

NOT_FOR_MODELS = ("labels", "shift_labels", LOG_PROBS, IDS)
"""Columns of a batch that are no arguments of a model's forward."""


class DistillationTrainer(LoopLMTrainer):
    """
    [`LoopLMTrainer`] with the loss of [`distillation_loss`]. The exit gate, which has no part in it, is frozen.

    Its logs also hold `teacher_kl`, the divergence of the last loop from the teacher, and with a
    `self_distillation_weight` `depth_kl`, that of the earlier loops from the last one; both at the temperature and in
    nats per token. With `relations` they hold `attention_relation_kl`, in nats per token as well.

    Args:
        args, kwargs: As for [`LoopLMTrainer`].
        weights: Weights of the loss.
        teacher: The teacher; None where the data set has its kept predictions ([`BlocksWithTargets`]).
        relations: Settings of the attention relations that are a part of the loss; None for none.

    Raises:
        ValueError: As [`LoopLMTrainer`]; also if the student's head is more than a linear layer, several processes
            would look for unused parameters, or the attention relations cannot be compared
            ([`AttentionRelations.layers`]) or have no teacher.
    """

    weights: DistillationWeights
    teacher: Teacher | None
    _counted: LoopLMConfig

    def __init__(
        self,
        *args,
        weights: DistillationWeights,
        teacher: Teacher | None = None,
        relations: AttentionRelations | None = None,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        student = self.accelerator.unwrap_model(self.model)
        head = student.lm_head
        if type(head) is not nn.Linear or head.bias is not None:
            raise ValueError(
                f"the student's head must be a linear layer without bias or adapter, got {type(head).__name__}"
            )
        if self.args.world_size > 1 and self.args.ddp_find_unused_parameters is not False:
            # The loss uses the head after the model's forward pass, in which it is unused.
            raise ValueError(
                "ddp_find_unused_parameters must be False for distillation in several processes, got "
                f"{self.args.ddp_find_unused_parameters!r}"
            )
        self.weights = weights
        self.teacher = teacher
        config = self.model.config
        self._counted = type(config).from_dict(config.to_dict() | {"loop_loss": weights.loop_loss})
        self._comparison: AttentionComparison | None = None
        if relations is not None:
            if teacher is None:
                raise ValueError(
                    "attention_relation_weight must be 0 without a teacher in memory, got "
                    f"{relations.weight}: kept predictions have no attention"
                )
            self._comparison = AttentionComparison(relations, teacher.model, student.get_decoder())
        self.model.freeze_gate()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = labels_of(inputs)
        tokens = {name: value for name, value in inputs.items() if name not in NOT_FOR_MODELS}
        states = "last" if self._counted.predicts_last_alone else True
        with nullcontext() if self._comparison is None else self._comparison.watched():
            # Before the student's pass, whose activations are kept.
            targets = self._targets(inputs, tokens)
            outputs = model(**tokens, use_cache=False, output_loop_states=states, return_logits=False)
        head = self.accelerator.unwrap_model(model).lm_head
        with self.accelerator.autocast():
            found = distillation_loss(
                outputs.loop_hidden_states, head, labels, targets, self.weights, num_items_in_batch
            )
        loss, means = found.loss, {"teacher_kl": found.teacher_kl}
        if self.weights.self_distillation_weight:
            means["depth_kl"] = found.depth_kl
        if self._comparison is not None:
            with self.accelerator.autocast():
                relations = self._comparison.loss(tokens, labels, num_items_in_batch)
            loss = loss + relations.loss
            means["attention_relation_kl"] = relations.mean
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # The items are those of all processes, and gradients are averaged over processes.
            loss = loss * self.accelerator.num_processes
        if model.training:
            outputs.loop_losses = found.loop_losses
            self.record(outputs, inputs, means)
        return (loss, outputs) if return_outputs else loss

    def counted_config(self) -> LoopLMConfig:
        return self._counted

    def _targets(self, inputs: dict[str, torch.Tensor], tokens: dict[str, torch.Tensor]) -> Targets:
        if self.teacher is not None:
            return self.teacher.targets(tokens, self.weights.temperature)
        return kept_targets(inputs)
