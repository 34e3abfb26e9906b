"""Pretraining with the Hugging Face Trainer, plus what a looped model has to report."""

import json
from pathlib import Path

import torch
from transformers import Trainer, TrainingArguments

from modeling_nanochat import LoopLMCausalLMOutput
from modeling_nanochat.exit_nanochat import mean_exit_loop


def has_no_accelerator() -> bool:
    """Whether this machine trains on its processor: there is neither a CUDA nor an Apple GPU."""
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def has_fast_bf16() -> bool:
    """
    Whether bf16 arithmetic is worth using on this machine: any GPU that supports it, but only those processors with
    instructions for it (on others PyTorch's bf16 matrix product is many times slower than fp32).
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class LoopStatistics:
    """Running means of what the loops of a model do, kept on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0

    def add(self, outputs: LoopLMCausalLMOutput) -> None:
        """Add one batch; every batch counts alike."""
        values = {f"loop_{loop}_loss": loss for loop, loss in enumerate(outputs.loop_losses.detach(), start=1)}
        values["mean_exit_loop"] = mean_exit_loop(outputs.exit_pdf.detach()).mean()
        values["entropy_penalty"] = outputs.entropy_penalty
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


class LoopLMTrainer(Trainer):
    """
    [`transformers.Trainer`] whose training logs also hold, per loop, the loss (`loop_1_loss`, ...), the mean exit loop
    and the entropy penalty. The loss itself is the model's.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._loop_statistics = LoopStatistics()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        if model.training:
            self._loop_statistics.add(outputs)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            means = self._loop_statistics.take()
            # The loss is a mean over all processes; every process logs.
            reduced = self.accelerator.reduce(torch.tensor(list(means.values()), device=self.args.device), "mean")
            logs = logs | dict(zip(means, reduced.tolist(), strict=True))
        super().log(logs, start_time)


def last_complete_checkpoint(folder: Path) -> Path | None:
    """The newest `checkpoint-N` in `folder` that was written to its end, or None."""

    def is_complete(state: Path) -> bool:
        # The Trainer writes the state last.
        try:
            return "global_step" in json.loads(state.read_text())
        except json.JSONDecodeError:
            return False

    complete = [state.parent for state in folder.glob("checkpoint-*/trainer_state.json") if is_complete(state)]
    return max(complete, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def pretraining_arguments(**settings) -> TrainingArguments:
    """
    Training arguments with this project's defaults; `settings` are those of [`transformers.TrainingArguments`].

    bf16 where it is fast, no reports to services, and losses logged as they are (the filter for NaN would hide them
    and wait for the device at every step).
    """
    defaults = dict(
        bf16=has_fast_bf16(),
        use_cpu=has_no_accelerator(),
        report_to="none",
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        save_total_limit=2,
        optim="adamw_torch_fused",
    )
    return TrainingArguments(**(defaults | settings))
