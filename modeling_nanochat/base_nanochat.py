"""Base class of the LoopLM models."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from .adapters_nanochat import check_adapters, check_quantizer
from .configuration_nanochat import LoopLMConfig
from .layers_nanochat import LoopLMAttention, LoopLMDecoderLayer
from .packing_nanochat import PackedWeightsMixin
from .parallel_nanochat import check_tensor_parallel, share_ternary_layers
from .recomputation_nanochat import GRANULARITIES
from .streams_nanochat import ResidualStreams

NOT_REENTRANT = {"use_reentrant": False}


def _call(function: Callable, *args):
    return function(*args)


class LoopLMPreTrainedModel(PackedWeightsMixin, PreTrainedModel):
    """Base class of the LoopLM models: capabilities, weight initialization and loading of pretrained models."""

    config: LoopLMConfig
    config_class = LoopLMConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["LoopLMDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values", "cache"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": LoopLMDecoderLayer, "attentions": LoopLMAttention}
    # Quantizers read the first list, casts to bf16 the second.
    _keep_in_fp32_modules = ["exit_gate", "attention_residual", "mlp_residual"]
    _keep_in_fp32_modules_strict = _keep_in_fp32_modules

    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, value)
        # PEFT sets the first attribute with adapters, transformers the second before it quantizes a model.
        if name == "peft_config":
            check_adapters(self, value)
        elif name == "quantization_method" and self.config.ternary:
            check_quantizer(value)

    def _set_gradient_checkpointing(  # ty: ignore[invalid-method-override]  # further options are passed on
        self, enable: bool = True, gradient_checkpointing_func: Callable = checkpoint, **options
    ) -> None:
        """
        Turn activation checkpointing on or off. `activation_checkpointing_enable(options)` calls this with `options`
        as arguments of the function.

        Among the options may be the `granularity`: keep the input of every layer ("layer", the default), only the
        input of every loop ("loop" and "group", see [`LoopLMModel`]), or the input of every layer together with the
        outputs of its matrix products and attention ("selective", see [`checkpoint_selectively`]).

        Raises:
            ValueError: The granularity is none of these, or is selective and has further options.
        """
        settings = (
            dict(gradient_checkpointing_func.keywords) if isinstance(gradient_checkpointing_func, partial) else {}
        )
        granularity = settings.pop("granularity", "layer")
        if granularity not in GRANULARITIES:
            raise ValueError(f"granularity must be one of {', '.join(GRANULARITIES)}, got {granularity!r}")
        if isinstance(gradient_checkpointing_func, partial):
            function = gradient_checkpointing_func.func
            if granularity == "selective" and (function is not checkpoint or settings not in ({}, NOT_REENTRANT)):
                given = settings if function is checkpoint else settings | {"offload": True}
                raise ValueError(f"granularity=selective has no option but use_reentrant=False, got {given}")
            gradient_checkpointing_func = partial(function, **settings)
        if granularity == "selective":
            # The layer checkpoints itself, inside the compiled function if there is one.
            gradient_checkpointing_func = _call
        super()._set_gradient_checkpointing(enable, gradient_checkpointing_func, **options)
        decoder = self.get_decoder()
        decoder.checkpoint_loops = enable and granularity in ("loop", "group")
        decoder.checkpoint_groups = enable and granularity == "group"
        for layer in decoder.layers:
            layer.selective = enable and granularity == "selective"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ResidualStreams):
            module.reset_parameters()
        scale = module._parameters.get("loop_scale")
        if scale is not None:
            init.ones_(scale)

    @classmethod
    def maybe_distribute_model(cls, model, distributed_config, mesh_manager):
        """
        Prepare the model for tensor parallelism. `from_pretrained(distributed_config=...)` calls this before it loads
        the weights.

        Raises:
            ValueError: See [`check_tensor_parallel`].
            NotImplementedError: The weights are packed, or tensor parallelism is combined with FSDP.
        """
        tensor_parallel = mesh_manager is not None and distributed_config.tp_size > 1
        if tensor_parallel:
            check_tensor_parallel(model.config, distributed_config.tp_size)
            if distributed_config.dp_size > 1:
                raise NotImplementedError("Tensor parallelism together with FSDP is not available: use one of them.")
        model = super().maybe_distribute_model(model, distributed_config, mesh_manager)
        if tensor_parallel:
            share_ternary_layers(model, mesh_manager.get_mesh("tp"))
        return model
