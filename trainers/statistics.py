"""What a looped ternary model does while it trains: means per log, cheap enough for every run."""

import torch
from torch import nn

from modeling_nanochat import BitLinear, LoopLMCausalLMOutput, LoopLMConfig
from modeling_nanochat.exit_nanochat import mean_exit_loop
from modeling_nanochat.ternary_nanochat import ternary_codes


class LoopStatistics:
    """Running means of what the loops of a model do, kept on the device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.count = 0

    def add(self, outputs: LoopLMCausalLMOutput) -> None:
        """Add one batch; every batch counts alike."""
        exit_pdf = outputs.exit_pdf.detach()
        values = {f"loop_{loop}_loss": loss for loop, loss in enumerate(outputs.loop_losses.detach(), start=1)}
        values |= {f"exit_{loop}": share for loop, share in enumerate(exit_pdf.mean(dim=(0, 1)), start=1)}
        values["mean_exit_loop"] = mean_exit_loop(exit_pdf).mean()
        values["exit_entropy"] = -torch.xlogy(exit_pdf, exit_pdf).sum(dim=-1).mean()
        values["entropy_penalty"] = outputs.entropy_penalty
        if outputs.stream_divergence is not None:
            values["stream_divergence"] = outputs.stream_divergence
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0) + value
        self.count += 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


class TernaryHealth:
    """How the ternary weights move: the share of zeros, and how many changed their value since the last look."""

    def __init__(self) -> None:
        self.codes: list[torch.Tensor] = []
        self.step = 0

    @torch.no_grad()
    def look(self, model: nn.Module, step: int) -> dict[str, float]:
        """`zero_weights`, a share; `changed_weights`, the share per 100 steps, from the second look on."""
        layers = [module for module in model.modules() if isinstance(module, BitLinear)]
        codes = [ternary_codes(layer.weight, layer.group_size)[0].to(torch.int8) for layer in layers]
        if not codes:
            return {}
        total = sum(code.numel() for code in codes)
        found = {"zero_weights": sum(int((code == 0).sum()) for code in codes) / total}
        if self.codes and step > self.step:
            changed = sum(int((new != old).sum()) for new, old in zip(codes, self.codes, strict=True))
            found["changed_weights"] = changed / total * 100 / (step - self.step)
        self.codes, self.step = codes, step
        return found


def training_flops_per_token(config: LoopLMConfig, seq_len: int) -> int:
    """
    Floating-point operations of forward and backward per token: 6 per weight and application, also of the head after
    every loop, and causal attention. Recomputation by checkpointing does not count.
    """
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention = config.hidden_size * (2 * queries + 2 * keys)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    body = 6 * layer * config.num_shared_layers * config.num_loops
    scores = 6 * queries * seq_len * config.num_shared_layers * config.num_loops
    return body + scores + 6 * config.hidden_size * config.vocab_size * config.num_loops
