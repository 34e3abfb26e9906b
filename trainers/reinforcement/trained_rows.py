"""The rows of a batch that have an advantage; only these are passed through the model."""

from typing import Any

import torch
from accelerate.utils import gather
from trl import GRPOConfig, GRPOTrainer

Batch = dict[str, Any]
FROM_THE_LEFT = ("prompt_ids", "prompt_mask")
"""Tensors that are padded on the left. All others of two dimensions are padded on the right, like the completions."""
SUMS_OVER_TOKENS = ("dapo", "dr_grpo")
"""Loss types in which a row without an advantage adds 0 to a sum whose divisor is known without the row."""


class TrainedRowsTrainer(GRPOTrainer):
    """
    [`trl.GRPOTrainer`] that passes only rows with an advantage through the model, with the same gradient.

    Where most prompts are solved never or always, most advantages are 0. Their rows add nothing to the gradient, but
    take as much time as the others. The remaining rows are distributed anew over the micro-batches, without the
    padding that was for longer rows. The divisor of the loss stays that of the whole batch. A step without
    any advantage makes no forward pass. Its gradient is 0, as it would be with one, so that optimizer, schedule, logs
    and checkpoints go on alike.

    The logs hold the share of the rows that were passed through the model (`rows_trained`). `entropy` and
    `clip_ratio/*` are those of these rows; `entropy` is null where there was none.
    """

    args: GRPOConfig
    model: torch.nn.Module
    _buffered_inputs: list[Any] | None

    @property
    def selects_rows(self) -> bool:
        """Whether rows without an advantage add nothing to the gradient, so that they can be left out."""
        return (
            self.args.loss_type in SUMS_OVER_TOKENS
            and self.args.steps_per_generation == self.args.gradient_accumulation_steps
            and self.beta == 0
            and self.top_entropy_quantile == 1
            and not (self._entropy_bonus_enabled or self.aux_loss_enabled or self._is_vlm)
            and not (self.is_deepspeed_enabled or self.is_fsdp_enabled)
        )

    @property
    def shares_prompts(self) -> bool:
        """Whether completions of one prompt take less time in the same micro-batch."""
        return False

    @property
    def width_multiple(self) -> int:
        """Number of tokens of which the width of every batch is a multiple."""
        return int(self.args.pad_to_multiple_of or 1)

    def _prepare_inputs(self, generation_batch):
        before = self._buffered_inputs
        inputs = super()._prepare_inputs(generation_batch)
        found = self._buffered_inputs
        if not self.model.training or not self.selects_rows or found is None:
            return inputs
        if found is not before:
            self._buffered_inputs = found = self._selected(found)
        return found[self._step % len(found)]

    def _selected(self, batches: list[Batch]) -> list[Batch | None]:
        size = len(batches[0]["advantages"])
        count = sum(int(has_advantage(batch).sum()) for batch in batches)
        counts = gather(torch.tensor([count], device=self.accelerator.device)).tolist()
        # Equally many rows in every process: each forward pass synchronizes gradients, and metrics of every row.
        passed = max(counts)
        self._metrics["train"]["rows_trained"].append(passed / (size * len(batches)))
        return with_advantage(batches, passed, self.width_multiple, self.shares_prompts)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the loss of a micro-batch; 0 for one that has no row with an advantage."""
        if inputs is None:
            return self._skipped(model)
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # dr_grpo divides by the number of rows, which is that of the whole micro-batch.
        return loss * inputs["row_share"] if self.args.loss_type == "dr_grpo" and "row_share" in inputs else loss

    def _skipped(self, model: torch.nn.Module) -> torch.Tensor:
        if all(batch is None for batch in self._buffered_inputs or ()) and self.accelerator.sync_gradients:
            self._metrics["train"]["entropy"].append(float("nan"))
            # Not None, with which an optimizer would leave out its moments and the weight decay.
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
        return torch.zeros((), device=self.accelerator.device, requires_grad=True)


def has_advantage(batch: Batch) -> torch.Tensor:
    """Return whether each row has an advantage other than 0, (rows,)."""
    advantages = batch["advantages"]
    return (advantages != 0).view(len(advantages), -1).any(dim=1)


def with_advantage(batches: list[Batch], passed: int, multiple: int = 1, together: bool = False) -> list[Batch | None]:
    """
    Return micro-batches that have only the rows with an advantage.

    Args:
        batches: Micro-batches of equal size: tensors by name, with a first dimension of rows or without dimensions.
        passed: Number of rows to keep. If fewer have an advantage, short ones without an advantage are added.
        multiple: Widths after padding are multiples of this.
        together: Whether rows of one prompt stay together, instead of rows of similar length.

    Returns:
        As many micro-batches: None, and then as few as have room for the rows, each with its number of rows divided
        by that of a given micro-batch, `row_share`.
    """
    size = len(batches[0]["advantages"])
    rows = {
        name: torch.cat([batch[name] for batch in batches]) if value.dim() else value
        for name, value in batches[0].items()
    }
    if together:
        prompts = rows["prompt_ids"].masked_fill(rows["prompt_mask"] == 0, -1)
        keys = torch.unique(prompts, dim=0, return_inverse=True)[1]
    else:
        keys = rows["prompt_mask"].sum(dim=1) + rows["completion_mask"].sum(dim=1)
    order, chosen = keys.argsort(stable=True), has_advantage(rows)
    with_one, without = order[chosen[order]], order[~chosen[order]]
    taken = torch.cat([without[: passed - len(with_one)], with_one])
    count = -(-passed // size)
    filled = []
    for part in taken.tensor_split(count) if count else ():
        selected = {name: value[part] if value.dim() else value for name, value in rows.items()}
        filled.append(trimmed(selected, multiple) | {"row_share": len(part) / size})
    return [None] * (len(batches) - count) + filled


def trimmed(batch: Batch, multiple: int = 1) -> Batch:
    """Return a batch without the columns that are padding in all of its rows, up to a multiple of a width."""
    prompt, completion = (
        -(-int(batch[name].sum(dim=1).max()) // multiple) * multiple for name in ("prompt_mask", "completion_mask")
    )
    found = dict(batch)
    for name, value in batch.items():
        if name in FROM_THE_LEFT:
            found[name] = value[:, max(0, value.shape[1] - prompt) :]
        elif value.dim() == 2:
            found[name] = value[:, :completion]
    return found
