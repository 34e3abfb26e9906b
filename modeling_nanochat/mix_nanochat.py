"""Shares of ternary and of latent values in ternary layers in training, for a gradual change from one to the other."""

from typing import NamedTuple, Self

import torch


class _MixedWeight(torch.autograd.Function):
    """Mix of a ternary and its latent weight, which saves no tensors for backward: checkpointing may repeat it."""

    @staticmethod
    def forward(
        ctx, weight: torch.Tensor, quantized: torch.Tensor, ternary: torch.Tensor, latent: torch.Tensor
    ) -> torch.Tensor:
        ctx.gain = ternary + latent
        return quantized * ternary + weight * latent

    @staticmethod
    def backward(ctx, grad_output: torch.Tensor):  # ty: ignore[incompatible-method-override]  # one output
        return grad_output * ctx.gain, None, None, None


class TernaryMix(NamedTuple):
    """
    Shares with which ternary layers compute in training. For a latent weight `W` with its ternary weight `Q(W)`, and
    an input `x` with its rounded values `Qa(x)`, a layer uses

        weight = ternary * Q(W) + latent * W
        input  = x + inputs * (Qa(x) - x)

    The gradient passes both roundings unchanged, so that of `W` is that of the weight times `ternary + latent`.

    The shares are tensors, in fp32 and without dimensions, whose values may change between two training steps:
    compiled code reads them, where numbers would be constants in it. They are no buffers, and no checkpoint has them.

    Attributes:
        ternary: Share of the ternary weight.
        latent: Share of the latent weight.
        inputs: Share of the rounding of inputs; without effect where inputs are not rounded.
    """

    ternary: torch.Tensor
    latent: torch.Tensor
    inputs: torch.Tensor

    @classmethod
    def on(cls, device: torch.device) -> Self:
        """Return the shares of a plain ternary layer on a device."""
        return cls(*(torch.tensor(value, device=device) for value in (1.0, 0.0, 1.0)))

    def set(self, ternary: float, latent: float, inputs: float) -> None:
        """Set the shares in place."""
        for share, value in zip(self, (ternary, latent, inputs), strict=True):
            share.fill_(value)

    def weight(self, quantized: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """
        Return the weight to compute with.

        Args:
            quantized: The ternary weight; no gradient passes it.
            weight: Its latent weight, of the same shape and dtype.
        """
        return _MixedWeight.apply(weight, quantized, self.ternary, self.latent)
