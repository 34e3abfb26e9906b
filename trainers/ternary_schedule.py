"""Schedule of training in which the weights of a float model become ternary little by little."""

from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from transformers import TrainerCallback

from modeling_nanochat import LoopLMConfig
from modeling_nanochat.mix_nanochat import TernaryMix

SHAPES = ("blend", "layers")


class Shares(NamedTuple):
    """The shares of [`TernaryMix`] in one block at one step."""

    ternary: float
    latent: float
    inputs: float


PLAIN = Shares(1.0, 0.0, 1.0)
"""Shares of a block that is ternary."""


@dataclass(frozen=True)
class TernarySchedule:
    """
    Shares of ternary and latent weights by step. They depend on nothing but the step, so that a resumed training
    continues with those of an uninterrupted one.

    For the share `q` that grows from 0 to 1 in the warmup, and the residual `r` that falls linearly from `residual` in
    the first step to 0 in the last one, the weight is

        q * (Q(W) + r * W) + (1 - q) * W

    and a share `q` of the rounding of inputs is in effect. The residual lets weights with the code 0 take part in the
    output, which gives them a gradient that moves them out of the dead zone around 0 (the annealed residual of
    AngelSlim's Sherry; the problem is that of Tequila, arXiv 2509.23809). At the end there is none of it.

    Attributes:
        warmup: Share of the steps in which `q` grows, from 0 to 1; 0 for `q = 1` in all steps.
        shape: With "blend", `q` grows in all blocks together; with "layers" in one after another, from the first to
            the last stored block.
        residual: Share `r` of the latent weight in the first step; 0 for none.
    """

    warmup: float = 0.0
    shape: str = "blend"
    residual: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"ternary_warmup must be from 0 to 1, got {self.warmup!r}")
        if self.shape not in SHAPES:
            raise ValueError(f"ternary_schedule must be one of {', '.join(SHAPES)}, got {self.shape!r}")
        if not 0 <= self.residual < float("inf"):
            raise ValueError(f"dead_zone_residual must be at least 0 and finite, got {self.residual!r}")

    @property
    def is_active(self) -> bool:
        """Whether any step differs from plain ternary training."""
        return self.warmup > 0 or self.residual > 0

    def check(self, config: LoopLMConfig) -> None:
        """Raise `ValueError` if the schedule is active and the model has no latent weights of ternary layers."""
        if self.is_active and not (config.ternary and config.weight_format == "latent"):
            found = 'weight_format="packed"' if config.ternary else "ternary=False"
            raise ValueError(
                "ternary_warmup and dead_zone_residual must be 0 unless the model has ternary=True and "
                f'weight_format="latent" (nanochat-ternary ternarize makes one of a float model), got {found}'
            )

    def shares(self, step: int, total_steps: int, num_blocks: int) -> list[Shares]:
        """
        Return the shares of every block.

        Args:
            step: Number of finished steps.
            total_steps: Number of all steps.
            num_blocks: Number of stored blocks.
        """
        progress = min(1.0, step / (self.warmup * total_steps)) if self.warmup else 1.0
        residual = self.residual * max(0.0, 1 - step / max(1, total_steps - 1))
        grown = [progress] * num_blocks
        if self.shape == "layers":
            grown = [min(1.0, max(0.0, progress * num_blocks - block)) for block in range(num_blocks)]
        return [Shares(each, 1 - each + each * residual, each) for each in grown]

    def logged(self, step: int, total_steps: int, num_blocks: int) -> dict[str, float]:
        """Return `ternary_share` and `latent_share`, means over the blocks, if the schedule is active."""
        if not self.is_active:
            return {}
        shares = self.shares(step, total_steps, num_blocks)
        return {
            "ternary_share": fmean(each.ternary for each in shares),
            "latent_share": fmean(each.latent for each in shares),
        }


class TernaryScheduleCallback(TrainerCallback):
    """
    Set the shares of a schedule before each step. A block whose shares are those of plain ternary layers computes as
    without a schedule, and so does the whole model in evaluation mode and after the training.

    Args:
        schedule: The schedule.
    """

    def __init__(self, schedule: TernarySchedule):
        self.schedule = schedule
        # Made once: compiled code that is recorded and replayed reads them from the same place in every step.
        self._mixes: list[TernaryMix] = []

    def on_train_begin(self, args, state, control, **kwargs):
        blocks = kwargs["model"].get_decoder().layers
        self._mixes = [TernaryMix.on(block.ternary_layers()[0].weight.device) for block in blocks]

    def on_step_begin(self, args, state, control, **kwargs):
        shares = self.schedule.shares(state.global_step, state.max_steps, len(self._mixes))
        for block, mix, each in zip(kwargs["model"].get_decoder().layers, self._mixes, shares, strict=True):
            mix.set(*each)
            for layer in block.ternary_layers():
                layer.mix = None if each == PLAIN else mix

    def on_train_end(self, args, state, control, **kwargs):
        for layer in kwargs["model"].get_decoder().ternary_layers():
            layer.mix = None
