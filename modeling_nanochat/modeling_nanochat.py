"""LoopLM: a stack of shared transformer blocks applied several times, with an exit gate after every loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_utils import PreTrainedModel
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .adapters_nanochat import check_adapters, check_hosts, check_quantizer
from .cache_nanochat import CACHE_NAME, PassCache, ensure_slots, given_cache
from .configuration_nanochat import LoopLMConfig
from .exit_nanochat import ExitGate, depth_to_run, early_exit_of_pass, exit_log_probabilities
from .generation_nanochat import LoopLMGenerationMixin
from .layers_nanochat import LoopLMAttention, LoopLMDecoderLayer, run_block
from .loss_nanochat import loop_loss, next_labels
from .outputs_nanochat import LoopLMCausalLMOutput, LoopLMModelOutput
from .packed_nanochat import PackedBitLinear
from .packing_nanochat import PackedWeightsMixin
from .parallel_nanochat import check_tensor_parallel, share_ternary_layers
from .streams_nanochat import LoopRMSNorm, ResidualStreams, collapse_streams, expand_streams, stream_divergence
from .ternary_nanochat import BitLinear

LABELS_TAKEN = (
    "labels must be given with num_items_in_batch, got none: the Trainer keeps them from the model for "
    "label_smoothing_factor and compute_loss_func, whose loss would leave out all loops but the last, and the former "
    "compares each token with itself. Leave both out: the loss is the model's own"
)

# Threads enter and leave `resting_weights` of one model in any order. A lock of its own could not be copied.
_counting_callers = Lock()


class LoopLMPreTrainedModel(PackedWeightsMixin, PreTrainedModel):
    """What the model classes share: capabilities, initialisation, loading."""

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
    # Quantisers read the first list, casts to bf16 the second.
    _keep_in_fp32_modules = ["exit_gate", "attention_residual", "mlp_residual"]
    _keep_in_fp32_modules_strict = _keep_in_fp32_modules

    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, value)
        # PEFT and transformers tell a model so what they have put on it, or are about to.
        if name == "peft_config":
            check_adapters(self, value)
        elif name == "quantization_method" and self.config.ternary:
            check_quantizer(value)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ResidualStreams):
            module.reset_parameters()

    @classmethod
    def maybe_distribute_model(cls, model, distributed_config, mesh_manager):
        """
        Called by `from_pretrained(distributed_config=...)` before the weights are read; raises as
        [`check_tensor_parallel`] does.
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


class LoopLMModel(LoopLMPreTrainedModel):
    """The looped transformer without a head."""

    def __init__(self, config: LoopLMConfig):
        config.validate_architecture()
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList([LoopLMDecoderLayer(config, layer) for layer in range(config.num_shared_layers)])
        self.norm = LoopRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.exit_gate = ExitGate(config.hidden_size)
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.gradient_checkpointing = False
        self.checkpoint_loops = False
        """In training, keep only the state at the start of each loop and recompute the rest in backward. Combined with
        checkpointed layers there are two levels: the inputs of the layers then exist for one loop at a time.
        """
        self._weights_rest = False
        self._resting_callers = 0
        self.post_init()

    @contextmanager
    def resting_weights(self) -> Iterator[None]:
        """
        Within this context, passes without gradients share their quantised weights, which saves making them anew for
        every pass. `generate` uses it by itself. The weights must not change meanwhile, in any thread that is within.
        """
        with _counting_callers:
            self._resting_callers += 1
            self._weights_rest = True
        try:
            yield
        finally:
            with _counting_callers:
                self._resting_callers -= 1
                self._weights_rest = self._resting_callers > 0
            if not self._weights_rest:
                self._clear_quantized_weights()

    def ternary_layers(self) -> list[BitLinear | PackedBitLinear]:
        """Those of all blocks, also where an adapter stands around one."""
        return [module for module in self.layers.modules() if isinstance(module, (BitLinear, PackedBitLinear))]

    def __getstate__(self):
        return self.__dict__ | {"_weights_rest": False, "_resting_callers": 0}

    def _clear_quantized_weights(self) -> None:
        for module in self.ternary_layers():
            module.clear_quantized_weight()

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        use_cache: bool | None = None,
        num_loops: int | None = None,
        exit_threshold: float | None = None,
        exit_at_loop: int | None = None,
        output_loop_states: bool = False,
        prompt_length: int | None = None,
        finished: torch.BoolTensor | None = None,
        **kwargs,
    ) -> LoopLMModelOutput:
        """
        Args:
            input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache: As in every causal
                model of transformers.
            num_loops: Loops to run, instead of the configuration's.
            exit_threshold: Below 1, each token leaves after its first loop at which its exit distribution sums to this
                much, and loops that no token needs are skipped. The prompt, which is the pass that finds the cache
                empty, runs all loops, and so does everything in training and without a cache.
            exit_at_loop: Stop after this loop (1-based, at most `num_loops`).
            output_loop_states: Also return what the head reads after each loop.
            prompt_length: For `exit_threshold`: tokens at the beginning of the cache that run all loops, also if they
                come in several passes or together with others.
            finished: (batch,), for `exit_threshold`: rows whose tokens nobody reads; no loop runs for them alone.
            kwargs: For the attention functions; with transformers 5.24 also `cache`, its name of `past_key_values`.

        Raises:
            ValueError: An argument or their combination is impossible, the cache does not fit, or tokens should leave
                early in a compiled pass.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("Give exactly one of input_ids and inputs_embeds.")
        past_key_values = given_cache(past_key_values, kwargs)
        checkpoint_loops = self.checkpoint_loops and self.training and torch.is_grad_enabled()
        if checkpoint_loops:
            if past_key_values is not None:
                raise ValueError("past_key_values must be None where loops are checkpointed: backward runs them again")
            use_cache = False
        loops, exit_threshold = depth_to_run(self.config, num_loops, exit_threshold, exit_at_loop)
        if not torch.compiler.is_compiling():
            check_adapters(self, vars(self).get("peft_config", {}))
            check_hosts(part for layer in self.layers for part in (layer.self_attn, layer.mlp))
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        early_exit, may_leave = None, exit_threshold < 1 and past_key_values is not None and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None:
            kept_loops = 1 if self.config.kv_reuse == "last" else loops
            ensure_slots(past_key_values, kept_loops * self.config.num_shared_layers, self.config.kv_reuse)
        attention_arguments = kwargs
        if position_ids is not None:
            # Only those that were given can say where documents begin; attention functions would search ours for it.
            attention_arguments = kwargs | {"position_ids": position_ids}
        else:
            past = 0 if past_key_values is None else past_key_values.get_seq_length()
            position_ids = (torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device) + past).unsqueeze(0)
        causal_mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE_NAME: past_key_values},
        )
        position_embeddings = self.rotary_emb(inputs_embeds, position_ids=position_ids)
        if may_leave:
            early_exit = early_exit_of_pass(
                exit_threshold, inputs_embeds, attention_mask, past_key_values, prompt_length, finished
            )
        cache = past_key_values
        if early_exit is not None or (cache is not None and self.config.kv_reuse == "last"):
            cache = PassCache(cache, self.config.num_shared_layers, self.config.kv_reuse, early_exit)
        reuse_weights = self._weights_rest and not torch.is_grad_enabled()
        # A compiled block quantises the weight itself, at no cost; one made outside would be new to it every time.
        if self.layers[0].compiled_block is not None and past_key_values is None:
            self._clear_quantized_weights()
        else:
            for module in self.ternary_layers():
                module.keep_quantized_weight(reuse=reuse_weights)

        num_streams = self.config.mhc_num_streams
        hidden_states = expand_streams(inputs_embeds, num_streams)
        loop_hidden_states, gate_logits = [], []
        divergence = None
        for loop in range(loops):
            one_loop = partial(
                self._one_loop,
                loop=loop,
                attention_mask=causal_mask,
                use_cache=use_cache,
                position_embeddings=position_embeddings,
                **{CACHE_NAME: cache},
                **attention_arguments,
            )
            if checkpoint_loops:
                hidden_states = checkpoint(one_loop, hidden_states, use_reentrant=False)
            else:
                hidden_states = one_loop(hidden_states)
            loop_state = self.norm(collapse_streams(hidden_states, num_streams))
            gate_logits.append(self._gate_logits(loop_state))
            all_left = early_exit is not None and early_exit.after_loop(loop_state, gate_logits[-1])
            if output_loop_states:
                loop_hidden_states.append(loop_state if early_exit is None else early_exit.state)
            if all_left:
                break
            if num_streams == 1:
                hidden_states = loop_state
            else:
                if self.training and loop == loops - 1:
                    divergence = stream_divergence(hidden_states, attention_mask)
                hidden_states = self.norm(hidden_states, dim=(0, -1))
        # Activation checkpointing applies the layers once more in backward.
        recomputes = self.training and (checkpoint_loops or any(layer.gradient_checkpointing for layer in self.layers))
        if not reuse_weights and not (recomputes and torch.is_grad_enabled()):
            self._clear_quantized_weights()

        gate_logits = torch.stack(gate_logits, dim=-1)
        if early_exit is None:
            exit_pdf = exit_log_probabilities(gate_logits).exp()
            loops_used = torch.full(inputs_embeds.shape[:2], loops, device=inputs_embeds.device)
        else:
            cache.fill_deeper_slots(loop + 1, loops)
            loop_state, loops_used = early_exit.state, early_exit.loops_used
            gate_logits, exit_pdf = early_exit.distribution(gate_logits, loops)
            loop_hidden_states += [loop_state] * (loops - len(loop_hidden_states))
        return LoopLMModelOutput(
            last_hidden_state=loop_state,
            gate_logits=gate_logits,
            exit_pdf=exit_pdf,
            loops_used=loops_used,
            loop_hidden_states=tuple(loop_hidden_states) if output_loop_states else None,
            stream_divergence=divergence,
            **{CACHE_NAME: past_key_values},
        )

    def _one_loop(self, hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
        """The whole stack once."""
        for layer in self.layers:
            hidden_states = layer(hidden_states, **kwargs)
        return hidden_states

    def _gate_logits(self, loop_state: torch.Tensor) -> torch.Tensor:
        """(batch, seq, hidden) to (batch, seq), in fp32."""
        return self.exit_gate(loop_state).squeeze(-1).float() / self.config.exit_temperature


class LoopLMForCausalLM(LoopLMPreTrainedModel, LoopLMGenerationMixin):
    """LoopLM with a float language-modelling head and the objective over all loops."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: LoopLMConfig):
        super().__init__(config)
        self.model = LoopLMModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def freeze_gate(self) -> None:
        """
        Stop training the exit gate, for objectives that do not use it, such as the cross-entropy of `logits`. Call it
        before the optimizer and DistributedDataParallel see the model: the latter raises in its second step ("did not
        receive grad") when a parameter that trains gets no gradient.
        """
        self.model.exit_gate.requires_grad_(False)

    def compile_blocks(self, **options) -> None:
        """
        Compile the shared block with `torch.compile`, once for all layers and any number of loops. Passes with a cache
        are not compiled. It computes what the eager block does, up to rounding. Layers with adapters are compiled as
        well, in blocks that were compiled before or after the adapter came.

        Args:
            options: For `torch.compile`.

        Raises:
            NotImplementedError: Processes share the weights (tensor parallelism): a block is then not one graph.
        """
        if self.tp_size is not None and self.tp_size > 1:
            raise NotImplementedError("compile_blocks is not available for a tensor-parallel model: run it eagerly.")
        compiled = torch.compile(run_block, **options)
        for layer in self.model.layers:
            layer.compiled_block = compiled

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        return_logits: bool | None = None,
        num_loops: int | None = None,
        exit_threshold: float | None = None,
        exit_at_loop: int | None = None,
        output_loop_states: bool = False,
        prompt_length: int | None = None,
        finished: torch.BoolTensor | None = None,
        **kwargs,
    ) -> LoopLMCausalLMOutput:
        """
        Args:
            labels: (batch, seq) token ids, not shifted; -100 is ignored, and so are tokens that `attention_mask` masks
                and those right behind them. `shift_labels` and `num_items_in_batch` are taken from the keyword
                arguments, as the Trainer passes them; the latter without labels raises `ValueError`.
            logits_to_keep: Compute the logits of the last so many positions only (0: all), or of the given ones.
            return_logits: None computes them except in training with labels, where the loss needs none.
            num_loops, exit_threshold, exit_at_loop, output_loop_states, prompt_length, finished: See
                [`LoopLMModel.forward`]. With labels no token leaves early: the objective is over all loops.

        The other arguments are those of every causal model of transformers.
        """
        if not torch.compiler.is_compiling():
            check_adapters(self, vars(self).get("peft_config", {}))
        shift_labels = kwargs.pop("shift_labels", None)
        num_items_in_batch = kwargs.pop("num_items_in_batch", None)
        if labels is not None or shift_labels is not None:
            shift_labels = next_labels(labels, shift_labels, attention_mask)
        elif num_items_in_batch is not None:
            raise ValueError(LABELS_TAKEN)
        if return_logits is None:
            return_logits = shift_labels is None or not self.training

        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            num_loops=num_loops,
            exit_threshold=exit_threshold if shift_labels is None else 1.0,
            exit_at_loop=exit_at_loop,
            output_loop_states=output_loop_states or shift_labels is not None,
            prompt_length=prompt_length,
            finished=finished,
            **kwargs,
        )
        logits = None
        if return_logits:
            positions = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self.lm_head(outputs.last_hidden_state[:, positions, :])
        objective = {}
        if shift_labels is not None:
            objective = vars(
                loop_loss(
                    outputs.loop_hidden_states,
                    self.lm_head,
                    shift_labels.to(outputs.last_hidden_state.device),
                    exit_log_probabilities(outputs.gate_logits),
                    form=self.config.loop_loss,
                    entropy_weight=self.config.exit_entropy_weight,
                    num_items=num_items_in_batch,
                )
            )
        return LoopLMCausalLMOutput(
            **objective,
            logits=logits,
            exit_pdf=outputs.exit_pdf,
            loops_used=outputs.loops_used,
            gate_logits=outputs.gate_logits,
            loop_hidden_states=outputs.loop_hidden_states if output_loop_states else None,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            stream_divergence=outputs.stream_divergence,
            **{CACHE_NAME: getattr(outputs, CACHE_NAME)},
        )
