"""The transformer block: attention and MLP with residual connections."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb, eager_attention_forward

from .adapters_nanochat import TernaryHost
from .cache_nanochat import CACHE_NAME, AttentionSlot
from .configuration_nanochat import LoopLMConfig
from .packed_nanochat import PackedBitLinear
from .recomputation_nanochat import checkpoint_selectively
from .streams_nanochat import PlainResidual, ResidualStreams
from .ternary_nanochat import BitLinear, shared_input


def _make_linear(config: LoopLMConfig, in_features: int, out_features: int, bias: bool = False) -> nn.Module:
    if config.ternary:
        layer = PackedBitLinear if config.weight_format == "packed" else BitLinear
        return layer(in_features, out_features, config.ternary_group_size, config.activation_bits, bias)
    return nn.Linear(in_features, out_features, bias)


def _make_residual(config: LoopLMConfig, sublayer_index: int) -> PlainResidual | ResidualStreams:
    if config.mhc_num_streams == 1:
        return PlainResidual()
    return ResidualStreams(
        config.mhc_num_streams, config.hidden_size, sublayer_index, config.mhc_dynamic, config.rms_norm_eps
    )


class LoopLMAttention(TernaryHost):
    """
    Grouped-query attention with rotary position embeddings, and with `config.qk_norm` a norm of each query and key
    head before the rotation.

    Args:
        config: The configuration of the model.
        layer: Index of the layer in the model.
    """

    def __init__(self, config: LoopLMConfig, layer: int):
        super().__init__()
        num_key_value_heads, head_dim = config.head_sizes()
        self.config = config
        self.layer = layer
        self.head_dim = head_dim
        self.scaling = head_dim**-0.5
        query_size = config.num_attention_heads * head_dim
        key_size = num_key_value_heads * head_dim
        bias = config.attention_bias != "none"
        self.q_proj = _make_linear(config, config.hidden_size, query_size, bias)
        self.k_proj = _make_linear(config, config.hidden_size, key_size, bias)
        self.v_proj = _make_linear(config, config.hidden_size, key_size, bias)
        self.o_proj = _make_linear(config, query_size, config.hidden_size, config.attention_bias == "qkvo")
        self.q_norm = self.k_norm = None
        if config.qk_norm:
            self.q_norm = LlamaRMSNorm(head_dim, config.rms_norm_eps)
            self.k_norm = LlamaRMSNorm(head_dim, config.rms_norm_eps)
        # A plain dict, so that the slots are not submodules.
        self._slots: dict[int, AttentionSlot] = {}
        self._without_cache = (AttentionSlot(config, 0),)

    def slot(self, loop: int) -> AttentionSlot:
        """Return the stand-in for this module in a loop, counted from 0; see [`AttentionSlot`]."""
        if loop not in self._slots:
            self._slots[loop] = AttentionSlot(self.config, self.config.slot_layout.slot(loop, self.layer))
        return self._slots[loop].train(self.training)

    def forward(
        self,
        hidden_states: torch.Tensor,
        loop: int | None,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: Of shape `(batch, seq, hidden)`.
            loop: Index of the loop, which selects the cache slot; None without a cache.
            position_embeddings: Cosines and sines of the rotary embeddings.
            attention_mask: Mask of the attention function.
            past_key_values: The cache.
            kwargs: Arguments of the attention function.

        Returns:
            The output, of shape `(batch, seq, hidden)`, and the attention weights if the attention function returns
            them.
        """
        input_shape = hidden_states.shape[:-1]
        heads_shape = (*input_shape, -1, self.head_dim)
        query, key, value = (projected.view(heads_shape) for projected in self.projections(hidden_states))
        value = value.transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        query, key = apply_rotary_pos_emb(query.transpose(1, 2), key.transpose(1, 2), *position_embeddings)

        # Without a cache the loop has no effect, and compiled code must not depend on it.
        slot = self._without_cache[0] if loop is None else self.slot(loop)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, slot.layer_idx, kwargs=kwargs)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        output, weights = attention(
            slot, query, key, value, attention_mask, dropout=0.0, scaling=self.scaling, **kwargs
        )
        return self.o_proj(output.reshape(*input_shape, -1).contiguous()), weights

    def projections(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries, keys and values of all heads, each `(batch, seq, width)`, before norms and rotation."""
        with shared_input():
            return self.q_proj(hidden_states), self.k_proj(hidden_states), self.v_proj(hidden_states)


class LoopLMMLP(TernaryHost):
    """SwiGLU feed-forward network, `(..., hidden)` to `(..., hidden)`."""

    def __init__(self, config: LoopLMConfig):
        super().__init__()
        self.gate_proj = _make_linear(config, config.hidden_size, config.intermediate_size)
        self.up_proj = _make_linear(config, config.hidden_size, config.intermediate_size)
        self.down_proj = _make_linear(config, config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        with shared_input():
            gate, up = self.gate_proj(hidden_states), self.up_proj(hidden_states)
        return self.down_proj(F.silu(gate) * up)


class LoopLMDecoderLayer(GradientCheckpointingLayer):
    """
    Transformer block, of the core shared by all loops: attention and MLP with pre-norm, and post-norm with
    `config.sandwich_norm`, in a plain residual connection or in residual streams.

    Input and output have shape `(batch, seq, hidden)`, or `(streams, batch, seq, hidden)` with several streams.

    Args:
        config: The configuration of the model.
        layer: Index of the layer in the model.

    Attributes:
        compiled_block: One compiled function for all blocks and loops, for passes without a cache;
            [`LoopLMForCausalLM.compile_blocks`] sets it.
        compiled_quantization: One compiled function that quantizes the weights of any block, set together with it.
        selective: Whether activation checkpointing, if it is enabled, is selective: see [`checkpoint_selectively`].
            `activation_checkpointing_enable({"granularity": "selective"})` sets it.
    """

    def __init__(self, config: LoopLMConfig, layer: int):
        super().__init__()
        self.self_attn = LoopLMAttention(config, layer)
        self.mlp = LoopLMMLP(config)
        self.input_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        # The post-norms have their names in Ouro's checkpoints.
        self.input_layernorm_2 = self.post_attention_layernorm_2 = None
        if config.sandwich_norm:
            self.input_layernorm_2 = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
            self.post_attention_layernorm_2 = LlamaRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.attention_residual = _make_residual(config, 2 * layer)
        self.mlp_residual = _make_residual(config, 2 * layer + 1)
        self.compiled_block: Callable | None = None
        self.compiled_quantization: Callable[[list[BitLinear]], list[torch.Tensor]] | None = None
        self.selective = False
        # Only post-norms and the coefficients of streams have gradients that depend on the last product's output.
        last_is_needed = config.sandwich_norm or config.mhc_num_streams > 1
        self._not_needed = None if last_is_needed else (config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        # By its name in transformers, which sets it to None for activation checkpointing.
        past_key_values = kwargs.pop(CACHE_NAME)
        if past_key_values is not None:
            return self.block(hidden_states, past_key_values=past_key_values, **kwargs)
        if self.compiled_block is None:
            return run_block(self, hidden_states, **kwargs)
        # One graph serves all loops, so it must not depend on the loop.
        return self.compiled_block(self, hidden_states, **kwargs | {"loop": None})

    def block(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """Apply the block eagerly, whether or not there is a compiled one."""

        def attention_branch(branch_input: torch.Tensor) -> torch.Tensor:
            output, _ = self.self_attn(self.input_layernorm(branch_input), **kwargs)
            return output if self.input_layernorm_2 is None else self.input_layernorm_2(output)

        def mlp_branch(branch_input: torch.Tensor) -> torch.Tensor:
            output = self.mlp(self.post_attention_layernorm(branch_input))
            return output if self.post_attention_layernorm_2 is None else self.post_attention_layernorm_2(output)

        hidden_states = self.attention_residual(hidden_states, attention_branch)
        return self.mlp_residual(hidden_states, mlp_branch)

    def attention_projections(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return [`LoopLMAttention.projections`] for an input of this block, computed eagerly."""
        return self.self_attn.projections(self.input_layernorm(self.attention_residual.read(hidden_states)))

    def ternary_layers(self) -> list[BitLinear | PackedBitLinear]:
        """Return the ternary layers of this block, including those that an adapter wraps."""
        return [module for module in self.modules() if isinstance(module, (BitLinear, PackedBitLinear))]

    def keep_quantized_weights(self, reuse: bool, compiled: bool) -> None:
        """
        Quantize the weights for the applications of this block in one pass.

        Args:
            reuse: Whether to use weights that are already kept.
            compiled: Whether the compiled block is applied. All weights are then quantized by compiled code, in one
                kernel each, and packed ones are unpacked within the block.
        """
        layers = self.ternary_layers()
        if not compiled or self.compiled_quantization is None:
            for layer in layers:
                layer.keep_quantized_weight(reuse)
            return
        pending = []
        for layer in layers:
            if isinstance(layer, PackedBitLinear) or not layer.has_kept_weight(reuse):
                layer.clear_quantized_weight()
                if isinstance(layer, BitLinear) and layer.has_whole_weight():
                    pending.append(layer)
        if pending:
            for layer, quantized in zip(pending, self.compiled_quantization(pending), strict=True):
                layer.keep_given_weight(quantized)

    def __getstate__(self):
        return self.__dict__ | {"compiled_block": None, "compiled_quantization": None}


if TYPE_CHECKING:

    class LoopLMDecoderLayers(nn.ModuleList):
        def __iter__(self) -> Iterator[LoopLMDecoderLayer]: ...

        def __getitem__(self, idx: Any) -> Any: ...
else:
    LoopLMDecoderLayers = nn.ModuleList


def quantize_weights(layers: list[BitLinear]) -> list[torch.Tensor]:
    """Return the quantized weights of ternary layers; compiled, one kernel each."""
    return [layer.quantized_weight() for layer in layers]


def run_block(layer: LoopLMDecoderLayer, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
    """
    Apply one block without a cache, with selective checkpointing if that is enabled. Between blocks and loops only
    tensors differ, so that the compiled function is one graph for all of them.

    Args:
        layer: The block.
        hidden_states: Its input.
        kwargs: Arguments of [`LoopLMAttention.forward`].
    """
    block = partial(layer.block, past_key_values=None, **kwargs)
    if layer.selective and layer.gradient_checkpointing and layer.training and torch.is_grad_enabled():
        return checkpoint_selectively(block, hidden_states, layer._not_needed)
    return block(hidden_states)
