"""Statistics of a looped ternary model in training, as means per log, cheap enough for every run."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from modeling_nanochat import LoopLMCausalLMOutput, LoopLMConfig
from modeling_nanochat.exit_nanochat import mean_exit_loop
from modeling_nanochat.ternary_nanochat import ternary_codes
from trainers.ternary_schedule import TernarySchedule


class LoopStatistics:
    """Statistics of a model's loops, summed over the predicted tokens and kept on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def add(
        self,
        outputs: LoopLMCausalLMOutput,
        predicted: torch.Tensor,
        further: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """
        Add one batch.

        Args:
            outputs: Output of the model for the batch.
            predicted: (batch, seq), True at the positions whose prediction counts; False for padding.
            further: Scalars by name, means over these positions.
        """
        count = predicted.sum().float()
        exit_pdf = outputs.exit_pdf.detach()
        each = {f"exit_{loop}": share for loop, share in enumerate(exit_pdf.unbind(-1), start=1)}
        each["mean_exit_loop"] = mean_exit_loop(exit_pdf)
        each["exit_entropy"] = -torch.xlogy(exit_pdf, exit_pdf).sum(dim=-1)
        losses = outputs.loop_losses.detach()
        first = exit_pdf.shape[-1] - len(losses) + 1
        means = {f"loop_{loop}_loss": loss for loop, loss in enumerate(losses, start=first)}
        means |= further or {}
        if outputs.entropy_penalty is not None:
            means["entropy_penalty"] = outputs.entropy_penalty
        if outputs.stream_divergence is not None:
            means["stream_divergence"] = outputs.stream_divergence
        sums = {name: mean * count for name, mean in means.items()}
        sums |= {name: torch.where(predicted, values, 0.0).sum() for name, values in each.items()}
        for name, value in (sums | {"count": count}).items():
            self._sums[name] = self._sums.get(name, 0) + value

    def take(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the means since the last call, over the tokens of all processes. Every process must call this."""
        if not self._sums:
            return {}
        names, values = zip(*self._sums.items(), strict=True)
        self._sums = {}
        sums = dict(zip(names, accelerator.reduce(torch.stack(values), "sum").tolist(), strict=True))
        count = max(1.0, sums.pop("count"))
        return {name: value / count for name, value in sums.items()}


class TokenCounts(NamedTuple):
    """
    Counts without padding.

    Attributes:
        tokens: Number of tokens.
        row_length: Length of the row that a token is in, averaged over the tokens.
    """

    tokens: int
    row_length: float


class TokenCounter:
    """Number of tokens in batches, without padding, kept on the device until it is read."""

    def __init__(self) -> None:
        self._sums: torch.Tensor | None = None

    def add(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> None:
        """Add a batch. Both are (batch, seq); a mask of another shape is ignored."""
        real = torch.ones_like(input_ids)
        if torch.is_tensor(attention_mask) and attention_mask.shape == input_ids.shape:
            real = attention_mask != 0
        lengths = real.sum(dim=1)
        sums = torch.stack([lengths.sum(), lengths.square().sum()])
        self._sums = sums if self._sums is None else self._sums + sums

    def forget(self) -> None:
        """Start again from 0."""
        self._sums = None

    def take(self, accelerator: Accelerator) -> TokenCounts:
        """Return the counts since the last call, of all processes. Every process must call this."""
        if self._sums is None:
            return TokenCounts(0, 0.0)
        tokens, squares = accelerator.reduce(self._sums, "sum").tolist()
        self.forget()
        return TokenCounts(tokens, squares / max(1, tokens))


class TernaryStatistics:
    """
    Share of the ternary weights that are zero, and share that changed since the last measurement.

    Args:
        schedule: Schedule of the training, whose shares are added if it is active.
    """

    def __init__(self, schedule: TernarySchedule) -> None:
        self.schedule = schedule
        self.codes: list[torch.Tensor] = []
        self.step = 0

    @torch.no_grad()
    def measure(self, model: PreTrainedModel, step: int, total_steps: int) -> dict[str, float]:
        """
        Return `zero_weights`, a share, from the second call on `changed_weights`, the share per 100 steps, and with an
        active schedule `ternary_share` and `latent_share`, in the last step.

        Args:
            model: The model.
            step: Number of finished steps, at least 1.
            total_steps: Number of all steps.
        """
        decoder = model.get_decoder()
        layers = decoder.ternary_layers()
        codes = [ternary_codes(layer.weight, layer.group_size)[0].to(torch.int8) for layer in layers]
        if not codes:
            return {}
        total = sum(code.numel() for code in codes)
        found = {"zero_weights": sum(int((code == 0).sum()) for code in codes) / total}
        if self.codes and step > self.step:
            changed = sum(int((new != old).sum()) for new, old in zip(codes, self.codes, strict=True))
            found["changed_weights"] = changed / total * 100 / (step - self.step)
        self.codes, self.step = codes, step
        return found | self.schedule.logged(step - 1, total_steps, len(decoder.layers))


def training_applications(config: LoopLMConfig) -> int:
    """Number of applications of a block to a token in training; the coda follows loops that have a loss."""
    prelude, core, coda = config.slot_layout
    return prelude + config.num_loops * core + config.predicted_loops * coda


def training_flops_per_token(config: LoopLMConfig, seq_len: float) -> float:
    """
    Floating-point operations per token of forward and backward: 6 per weight and use, with coda and head used after
    every loop that has a loss, and causal attention in rows of `seq_len` tokens. Recomputation by checkpointing does
    not count.
    """
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention = config.hidden_size * (2 * queries + 2 * keys)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    applications = training_applications(config)
    body = 6 * layer * applications
    scores = 6 * queries * seq_len * applications
    return body + scores + 6 * config.hidden_size * config.vocab_size * config.predicted_loops
