"""Floating-point operations per token of a training step, by part, and of what checkpointing computes again."""

from dataclasses import dataclass
from math import ceil, factorial

from modeling_nanochat import LoopLMConfig
from modeling_nanochat.recomputation_nanochat import group_size
from recipes.pipeline.plan.activations import Checkpointing, head_widths
from recipes.pipeline.plan.passes import Pass, training_passes
from trainers.training_statistics import training_applications, training_flops_per_token


@dataclass(frozen=True)
class TokenFlops:
    """
    FLOPs per token. A multiplication and an addition are two.

    Attributes:
        projections: Forward pass of the attention and MLP projections, in all loops.
        attention: Forward pass of causal attention: half of the products of a full one.
        streams: Forward pass of the coefficients of the residual streams.
        gate: Forward pass of the exit gate.
        heads: Forward and backward of the head after every loop with a loss, which is not computed again.
        recomputed: What checkpointing computes again.
        model: Those that MFU counts, `training_flops_per_token`: forward and backward of projections, attention and
            heads.
    """

    projections: int
    attention: int
    streams: int
    gate: int
    heads: int
    recomputed: int
    model: float

    @property
    def forward(self) -> int:
        """Forward pass without the heads."""
        return self.projections + self.attention + self.streams + self.gate

    @property
    def executed(self) -> int:
        """All that the GPU computes: backward takes twice as much as forward."""
        return 3 * self.forward + self.heads + self.recomputed


def flops_per_token(config: LoopLMConfig, seq_len: int, checkpointing: Checkpointing, compiled: bool) -> TokenFlops:
    """
    Count the FLOPs per token.

    Args:
        config: The configuration of the model.
        seq_len: Tokens in a row, all of one text.
        checkpointing: Recomputation.
        compiled: Whether blocks are compiled. An eager one ends its recomputation before the last product that
            backward does not need.
    """
    width, loops = config.hidden_size, config.num_loops
    queries, keys = head_widths(config)
    applications = training_applications(config)
    down = 2 * width * config.intermediate_size
    projections = 2 * width * (2 * queries + 2 * keys) + 3 * down
    attention = 2 * queries * seq_len
    streams = 2 * _stream_flops(config)
    block = projections + attention + streams
    by_layer = block if compiled or config.mhc_num_streams > 1 or config.sandwich_norm else block - down
    # "selective" keeps the outputs of matrix products, but not those of the batched ones for the streams.
    again = applications * streams if checkpointing == "selective" else 0
    if checkpointing in ("layer", "loop", "group"):
        again = applications * by_layer
    if checkpointing in ("loop", "group"):
        again += sum(_inputs_again(part, checkpointing) for part in training_passes(config)) * block
    return TokenFlops(
        projections=applications * projections,
        attention=applications * attention,
        streams=applications * streams,
        gate=2 * width * loops,
        heads=6 * width * config.vocab_size * config.predicted_loops,
        recomputed=again,
        model=training_flops_per_token(config, seq_len),
    )


def _inputs_again(part: Pass, checkpointing: Checkpointing) -> int:
    """
    Number of blocks of a pass that are applied once more to have the inputs of all its blocks. The last one's output
    is needed only where the state moves towards it.
    """
    if checkpointing == "loop":
        return part.layers - (0 if part.is_update else 1)
    # The inputs of the groups, then those of the blocks within each group.
    size = group_size(part.layers)
    groups = ceil(part.layers / size)
    inputs = part.layers if part.is_update else size * (groups - 1)
    return inputs + part.layers - groups


def _stream_flops(config: LoopLMConfig) -> int:
    """Forward FLOPs per token and sublayer of the coefficients; mixing the streams is no matrix product."""
    streams = config.mhc_num_streams
    if streams == 1 or not config.mhc_dynamic:
        return 0
    return 2 * streams * (2 * streams + factorial(streams)) * config.hidden_size
