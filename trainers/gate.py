"""Training of the exit gate alone: the model is frozen, and the gate learns where another loop no longer helps."""

import math

import torch
from torch.nn import functional as F

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from modeling_nanochat.exit_nanochat import exit_entropy, exit_log_probabilities
from modeling_nanochat.loss_nanochat import IGNORE_INDEX, chunked_cross_entropy
from trainers.pretraining import LoopLMTrainer, labels_of

SHARPNESS = 50.0
SMALLEST_IMPROVEMENT = 0.005


def gate_loss(
    gate_logits: torch.Tensor,
    losses: torch.Tensor,
    valid: torch.Tensor,
    num_items: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """
    Loss of the exit gate (Ouro, arXiv 2510.25741, Stage II).

    With the improvement `I_t = max(0, CE_{t-1} - CE_t)` and the target `w_t = sigmoid(50 (I_t - 0.005))` for going on,
    it is the mean over tokens and over t = 2..T of `-(w_t log(1 - lambda_t) + (1 - w_t) log lambda_t)`.

    Args:
        gate_logits: (tokens, loops), logits of the hazards lambda.
        losses: (loops, tokens), cross-entropy of each loop's prediction in nats.
        valid: (tokens,), True for the tokens that count.
        num_items: Divisor of the sum over tokens; None for the number of tokens that count. Under gradient
            accumulation it is the number in the whole batch.
    """
    improvement = (losses[:-1] - losses[1:]).clamp(min=0).t()
    go_on = torch.sigmoid(SHARPNESS * (improvement.detach() - SMALLEST_IMPROVEMENT))
    per_token = F.binary_cross_entropy_with_logits(-gate_logits[:, 1:], go_on, reduction="none").mean(dim=-1)
    return torch.where(valid, per_token, 0.0).sum() / (valid.sum().clamp(min=1) if num_items is None else num_items)


def freeze_all_but_gate(model: LoopLMForCausalLM) -> None:
    """Freeze all parameters but the exit gate's."""
    model.requires_grad_(False)
    model.get_decoder().exit_gate.requires_grad_(True)


class GateTrainer(LoopLMTrainer):
    """
    [`LoopLMTrainer`] that trains the exit gate alone.

    Raises:
        ValueError: The model has fewer than two loops.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.model.config.num_loops < 2:
            raise ValueError(f"num_loops must be at least 2 to train the gate, got {self.model.config.num_loops}")
        freeze_all_but_gate(self.model)

    def counted_config(self) -> LoopLMConfig:
        # The predictions of all loops are compared.
        config = self.model.config
        return type(config).from_dict(config.to_dict() | {"loop_loss": "expected"})

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = labels_of(inputs).reshape(-1)
        valid = labels != IGNORE_INDEX
        tokens = {name: value for name, value in inputs.items() if name not in ("labels", "shift_labels")}
        # Frozen parameters build no graph: only the gate's logits have a gradient.
        outputs = model(**tokens, use_cache=False, output_loop_states=True, return_logits=False)
        with torch.no_grad():
            states = torch.stack([state.flatten(0, 1) for state in outputs.loop_hidden_states])
            head = self.accelerator.unwrap_model(model).lm_head
            _, losses = chunked_cross_entropy(
                states, head, labels, torch.zeros(states.shape[:2], device=states.device)
            )
        loss = gate_loss(outputs.gate_logits.flatten(0, 1), losses, valid, num_items_in_batch)
        if num_items_in_batch is not None and self.args.average_tokens_across_devices:
            # The items are those of all processes, and gradients are averaged over processes.
            loss = loss * self.accelerator.num_processes
        if model.training:
            with torch.no_grad():
                entropy = exit_entropy(exit_log_probabilities(outputs.gate_logits)).flatten()
                count = valid.sum().clamp(min=1)
                outputs.loop_losses = losses.sum(dim=1) / count
                outputs.entropy_penalty = math.log(len(losses)) - torch.where(valid, entropy, 0.0).sum() / count
            self.record(outputs, inputs)
        return (loss, outputs) if return_outputs else loss
