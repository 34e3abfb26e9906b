"""Training of a student on a teacher's predictions."""

import torch
from torch import nn

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
    nats per token.

    Args:
        args, kwargs: As for [`LoopLMTrainer`].
        weights: Weights of the loss.
        teacher: The teacher; None where the data set has its kept predictions ([`BlocksWithTargets`]).

    Raises:
        ValueError: As [`LoopLMTrainer`]; also if the student's head is more than a linear layer, or several processes
            would look for unused parameters.
    """

    weights: DistillationWeights
    teacher: Teacher | None

    def __init__(self, *args, weights: DistillationWeights, teacher: Teacher | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        head = self.accelerator.unwrap_model(self.model).lm_head
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
        self.model.freeze_gate()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = labels_of(inputs)
        tokens = {name: value for name, value in inputs.items() if name not in NOT_FOR_MODELS}
        # Before the student's pass, whose activations are kept.
        targets = self._targets(inputs, tokens)
        outputs = model(**tokens, use_cache=False, output_loop_states=True, return_logits=False)
        head = self.accelerator.unwrap_model(model).lm_head
        with self.accelerator.autocast():
            found = distillation_loss(
                outputs.loop_hidden_states, head, labels, targets, self.weights, num_items_in_batch
            )
        loss = found.loss
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # The items are those of all processes, and gradients are averaged over processes.
            loss = loss * self.accelerator.num_processes
        if model.training:
            outputs.loop_losses = found.loop_losses
            means = {"teacher_kl": found.teacher_kl}
            if self.weights.self_distillation_weight:
                means["depth_kl"] = found.depth_kl
            self.record(outputs, inputs, means)
        return (loss, outputs) if return_outputs else loss

    def _targets(self, inputs: dict[str, torch.Tensor], tokens: dict[str, torch.Tensor]) -> Targets:
        if self.teacher is not None:
            return self.teacher.targets(tokens, self.weights.temperature)
        return kept_targets(inputs)
