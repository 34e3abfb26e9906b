"""Residual connections: the plain one, and several mixed residual streams (mHC-lite, arXiv 2601.05732)."""

from collections.abc import Callable, Iterable
from itertools import permutations
from math import factorial

import torch
from torch import nn
from transformers import initialization as init
from transformers.models.llama.modeling_llama import LlamaRMSNorm

Branch = Callable[[torch.Tensor], torch.Tensor]

# Initial coefficients: H_res is close to the identity, and each sublayer reads and writes mainly one stream.
OTHER_PERMUTATION_BIAS = -8.0
OWN_STREAM_BIAS = 1.0
OTHER_STREAM_BIAS = -1.0
DYNAMIC_SCALE = 0.01


def _sum(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    total = sum(tensors)
    assert isinstance(total, torch.Tensor), "there is at least one"
    return total


def _weighted_sum(weights: torch.Tensor, parts: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return _sum([weights[..., index, None] * part for index, part in enumerate(parts)])


class PlainResidual(nn.Module):
    """Plain residual connection `x + F(x)`, for one stream."""

    def forward(self, hidden_states: torch.Tensor, branch: Branch) -> torch.Tensor:
        return hidden_states + branch(hidden_states)

    def read(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return the input of the branch."""
        return hidden_states


class ResidualStreams(nn.Module):
    """
    Residual connection of one sublayer over n streams: `X' = H_res X + H_post^T F(H_pre X)`.

    `H_res` is a convex combination of the n! permutation matrices, and therefore exactly doubly stochastic. `H_pre` is
    a sigmoid, `H_post` twice a sigmoid. The coefficients are constants or, if dynamic, depend on the token. All loops
    share them, so that the number of loops can change at run time.

    The biases of `H_pre` and `H_post` favor stream `sublayer_index % n`. Without this asymmetry all streams would stay
    equal, `H_res` would have no effect, and its gradient would be 0.

    Args:
        num_streams: Number n of streams, 2 or 4.
        hidden_size: Width of a stream.
        sublayer_index: Index of the sublayer in the stack, in which attention and MLP count separately.
        dynamic: Whether to add `scale * projection(RMSNorm(all streams))` to the biases, per token.
        rms_norm_eps: Epsilon of that norm, which has no weight, because the projection contains it.
    """

    def __init__(self, num_streams: int, hidden_size: int, sublayer_index: int, dynamic: bool, rms_norm_eps: float):
        super().__init__()
        self.num_streams = num_streams
        self.sublayer_index = sublayer_index
        self.rms_norm_eps = rms_norm_eps
        self.split_sizes = [num_streams, num_streams, factorial(num_streams)]
        self.bias = nn.Parameter(torch.empty(sum(self.split_sizes)))
        self.projection = self.scale = None
        if dynamic:
            self.projection = nn.Parameter(torch.empty(num_streams, sum(self.split_sizes), hidden_size))
            self.scale = nn.Parameter(torch.empty(3))
        # Of shape (n!, n * n): row r is the flattened matrix of permutation r.
        self.permutations = nn.Buffer(torch.empty(factorial(num_streams), num_streams**2), persistent=False)

    def reset_parameters(self) -> None:
        """Initialize the parameters that were not loaded from a checkpoint."""
        own_stream = self.sublayer_index % self.num_streams
        one_side = [OWN_STREAM_BIAS if i == own_stream else OTHER_STREAM_BIAS for i in range(self.num_streams)]
        residual = [0.0] + [OTHER_PERMUTATION_BIAS] * (factorial(self.num_streams) - 1)
        init.copy_(self.bias, torch.tensor(one_side + one_side + residual))
        if self.projection is not None and self.scale is not None:
            init.zeros_(self.projection)
            init.constant_(self.scale, DYNAMIC_SCALE)
        # `permutations` yields the identity first, which `residual` favors.
        matrices = torch.eye(self.num_streams)[torch.tensor(list(permutations(range(self.num_streams))))]
        init.copy_(self.permutations, matrices.flatten(start_dim=1))

    def coefficients(self, streams: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Compute the mixing coefficients in fp32, also under autocast.

        Args:
            streams: Of shape `(n, batch, seq, hidden)`.

        Returns:
            `H_pre` of shape `(..., n)`, `H_post` of shape `(..., n)` and `H_res` of shape `(..., n, n)`, where `...`
            is `batch, seq` if dynamic and empty otherwise.
        """
        with torch.autocast(self.bias.device.type, enabled=False):
            logits = self.bias.float()
            if self.projection is not None and self.scale is not None:
                states = streams.float()
                inverse_norm = torch.rsqrt(states.square().mean((0, -1)).unsqueeze(-1) + self.rms_norm_eps)
                # One product for all streams, in fp32 (TF32): a copy in bf16 would have to be written, and kept for
                # the backward pass.
                products = states.flatten(1, -2) @ self.projection.float().mT
                projected = products.sum(0).view(*streams.shape[1:-1], -1)
                parts = zip(self.scale.float(), self.split_sizes, strict=True)
                scale = torch.cat([part.expand(size) for part, size in parts])
                logits = logits + projected * inverse_norm * scale
            pre, post, residual = logits.split(self.split_sizes, dim=-1)
            # A sum of products, not a matrix product: in TF32, rows and columns would no longer add up to 1.
            mixing = (residual.softmax(-1).unsqueeze(-2) * self.permutations.float().t()).sum(-1)
        return pre.sigmoid(), 2 * post.sigmoid(), mixing.unflatten(-1, (self.num_streams, self.num_streams))

    def forward(self, streams: torch.Tensor, branch: Branch) -> torch.Tensor:
        """
        Args:
            streams: Of shape `(n, batch, seq, hidden)`.
            branch: The sublayer with its norm, from `(batch, seq, hidden)` to `(batch, seq, hidden)`.

        Returns:
            The new streams, of the same shape and dtype.
        """
        # Explicit sums over the streams: an einsum over such a small dimension takes several times as long. The
        # gradient of `unbind` is one stack; that of indexing, compiled, would read all streams for each index.
        parts = streams.unbind()
        pre, post, mixing = self.coefficients(streams)
        indices = range(self.num_streams)
        branch_output = branch(_weighted_sum(pre, parts).to(streams.dtype))
        return torch.stack(
            [
                (_sum([mixing[..., i, j, None] * parts[j] for j in indices]) + post[..., i, None] * branch_output).to(
                    streams.dtype
                )
                for i in indices
            ]
        )

    def read(self, streams: torch.Tensor) -> torch.Tensor:
        """Return the input of the branch for streams `(n, batch, seq, hidden)`, of shape `(batch, seq, hidden)`."""
        pre, _, _ = self.coefficients(streams)
        return _weighted_sum(pre, streams.unbind()).to(streams.dtype)


def expand_streams(hidden_states: torch.Tensor, num_streams: int) -> torch.Tensor:
    """Copy hidden states `(batch, seq, hidden)` into streams `(n, batch, seq, hidden)`; unchanged for one stream."""
    if num_streams == 1:
        return hidden_states
    # Actual copies: blocks would be compiled again for streams that share memory.
    return hidden_states.expand(num_streams, *hidden_states.shape).contiguous()


def collapse_streams(streams: torch.Tensor, num_streams: int) -> torch.Tensor:
    """Return the mean of the streams, of shape `(batch, seq, hidden)`; unchanged for one stream."""
    return streams if num_streams == 1 else streams.mean(dim=0)


@torch.no_grad()
def stream_divergence(streams: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """
    Measure the divergence of streams: the norm of their deviation from their mean over the norm of the streams.

    Args:
        streams: Of shape `(streams, batch, seq, hidden)`.
        attention_mask: Mask of shape `(batch, past + seq)`, whose masked tokens do not count.

    Returns:
        A scalar from 0, if all streams are equal, to 1, if their mean is 0.
    """
    streams = streams.float()
    if torch.is_tensor(attention_mask) and attention_mask.ndim == 2:
        real = attention_mask[:, -streams.shape[2] :] != 0
        streams = streams * real[..., None]
    return (streams - streams.mean(dim=0)).norm() / streams.norm()


class LoopRMSNorm(LlamaRMSNorm):
    """
    RMSNorm after a loop. With `dim=(0, -1)` it normalizes each token of `(streams, batch, seq, hidden)` over all its
    streams together, which bounds the input of the next loop and keeps the streams different.
    """

    def forward(self, hidden_states: torch.Tensor, dim: int | tuple[int, ...] = -1) -> torch.Tensor:
        states = hidden_states.float()
        inverse_norm = torch.rsqrt(states.square().mean(dim=dim, keepdim=True) + self.variance_epsilon)
        return self.weight * (states * inverse_norm).to(hidden_states.dtype)
