"""Residual connections: the plain one, and several mixed residual streams (mHC-lite, arXiv 2601.05732)."""

from collections.abc import Callable, Sequence
from itertools import permutations
from math import factorial

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.models.llama.modeling_llama import LlamaRMSNorm

Branch = Callable[[torch.Tensor], torch.Tensor]

# Initial coefficients: H_res starts next to the identity, and each sublayer reads and writes mostly one stream.
OTHER_PERMUTATION_BIAS = -8.0
OWN_STREAM_BIAS = 1.0
OTHER_STREAM_BIAS = -1.0
DYNAMIC_SCALE = 0.01


class PlainResidual(nn.Module):
    """`x + F(x)`: what residual streams are when there is one."""

    def forward(self, hidden_states: torch.Tensor, branch: Branch) -> torch.Tensor:
        return hidden_states + branch(hidden_states)


class ResidualStreams(nn.Module):
    """
    One sublayer's residual connection over `n` streams: `X' = H_res X + H_post^T F(H_pre X)`.

    `H_res` is a convex combination of the n! permutation matrices and so exactly doubly stochastic; `H_pre` are
    sigmoids, `H_post` twice sigmoids. The coefficients are constants, or (dynamic) also depend on the token. They are
    shared by all loops, so the number of loops can change at run time.

    The biases of `H_pre` and `H_post` favour stream `sublayer_index mod n`. Without that asymmetry all streams would
    stay equal for ever, H_res would do nothing and get no gradient.

    Args:
        num_streams: n, 2 or 4.
        hidden_size: Width of one stream.
        sublayer_index: Position of the sublayer in the stack (attention and MLP count separately).
        dynamic: Add `scale * projection(RMSNorm(all streams))` to the biases, per token.
        rms_norm_eps: For that norm, which has no weight (the projection absorbs it).
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
        # (n!, n * n): row r is the flattened matrix of permutation r.
        self.permutations = nn.Buffer(torch.empty(factorial(num_streams), num_streams**2), persistent=False)

    def reset_parameters(self) -> None:
        """Initialise; tensors that were loaded from a checkpoint are left alone."""
        own_stream = self.sublayer_index % self.num_streams
        one_side = [OWN_STREAM_BIAS if i == own_stream else OTHER_STREAM_BIAS for i in range(self.num_streams)]
        residual = [0.0] + [OTHER_PERMUTATION_BIAS] * (factorial(self.num_streams) - 1)
        init.copy_(self.bias, torch.tensor(one_side + one_side + residual))
        if self.projection is not None:
            init.zeros_(self.projection)
            init.constant_(self.scale, DYNAMIC_SCALE)
        # `permutations` yields the identity first, which is the one `residual` favours.
        matrices = torch.eye(self.num_streams)[torch.tensor(list(permutations(range(self.num_streams))))]
        init.copy_(self.permutations, matrices.flatten(start_dim=1))

    def coefficients(self, streams: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Mixing coefficients for n `streams`, each (batch, seq, hidden), in fp32.

        Returns:
            H_pre (..., n), H_post (..., n) and H_res (..., n, n), where `...` is (batch, seq) when dynamic and empty
            otherwise.
        """
        with torch.autocast(self.bias.device.type, enabled=False):
            logits = self.bias.float()
            if self.projection is not None:
                mean_square = sum(stream.float().square().mean(-1, keepdim=True) for stream in streams)
                inverse_norm = torch.rsqrt(mean_square / self.num_streams + self.rms_norm_eps)
                pairs = zip(streams, self.projection.unbind(), strict=True)
                projected = sum(F.linear(stream.float(), weight.float()) for stream, weight in pairs)
                parts = zip(self.scale.float(), self.split_sizes, strict=True)
                scale = torch.cat([part.expand(size) for part, size in parts])
                logits = logits + projected * inverse_norm * scale
            pre, post, residual = logits.split(self.split_sizes, dim=-1)
            mixing = residual.softmax(-1) @ self.permutations.float()
        return pre.sigmoid(), 2 * post.sigmoid(), mixing.unflatten(-1, (self.num_streams, self.num_streams))

    def forward(self, streams: torch.Tensor, branch: Branch) -> torch.Tensor:
        """
        Args:
            streams: (n, batch, seq, hidden).
            branch: The sublayer with its own norm, (batch, seq, hidden) -> (batch, seq, hidden).

        Returns:
            The new streams, same shape and type.
        """
        # Sums over the streams are written out: an einsum over so small a dimension costs several times as much. The
        # gradient of `unbind` is one stack; that of indexing, compiled, would read all streams for each of them.
        parts = streams.unbind()
        pre, post, mixing = self.coefficients(parts)
        indices = range(self.num_streams)
        branch_input = sum(pre[..., i, None] * parts[i] for i in indices).to(streams.dtype)
        branch_output = branch(branch_input)
        return torch.stack(
            [
                (sum(mixing[..., i, j, None] * parts[j] for j in indices) + post[..., i, None] * branch_output).to(
                    streams.dtype
                )
                for i in indices
            ]
        )


def expand_streams(hidden_states: torch.Tensor, num_streams: int) -> torch.Tensor:
    """(batch, seq, hidden) to (n, batch, seq, hidden) copies; unchanged for one stream."""
    if num_streams == 1:
        return hidden_states
    # Copies in memory too: compiled blocks would be compiled once more for streams that share theirs.
    return hidden_states.expand(num_streams, *hidden_states.shape).contiguous()


def collapse_streams(streams: torch.Tensor, num_streams: int) -> torch.Tensor:
    """The mean of the streams, (batch, seq, hidden); unchanged for one stream."""
    return streams if num_streams == 1 else streams.mean(dim=0)


@torch.no_grad()
def stream_divergence(streams: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
    """
    How far (streams, batch, seq, hidden) are apart: from 0, when they are equal, to 1, when their mean is 0. Tokens
    that a (batch, seq) mask has 0 for do not count.
    """
    streams = streams.float()
    if torch.is_tensor(attention_mask) and attention_mask.ndim == 2:
        real = attention_mask[:, -streams.shape[2] :] != 0
        streams = streams * real[..., None]
    return (streams - streams.mean(dim=0)).norm() / streams.norm()


class LoopRMSNorm(LlamaRMSNorm):
    """
    The norm after a loop. Over `dim=-1` it is RMSNorm; over `dim=(0, -1)` it norms each token of (streams, batch, seq,
    hidden) over all its streams together, which bounds what a loop hands to the next and keeps the streams different.
    """

    def forward(self, hidden_states: torch.Tensor, dim: int | tuple[int, ...] = -1) -> torch.Tensor:
        states = hidden_states.float()
        inverse_norm = torch.rsqrt(states.square().mean(dim=dim, keepdim=True) + self.variance_epsilon)
        return self.weight * (states * inverse_norm).to(hidden_states.dtype)
