"""PyTorch LoopLM model: a core of transformer blocks applied several times, with an exit gate per loop."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .adapters_nanochat import check_adapters, check_hosts
from .base_nanochat import LoopLMPreTrainedModel
from .cache_nanochat import CACHE_NAME, PassCache, ensure_slots, given_cache
from .configuration_nanochat import LoopLMConfig
from .exit_nanochat import ExitGate, depth_to_run, early_exit_of_pass, exit_log_probabilities
from .generation_nanochat import LoopLMGenerationMixin
from .layers_nanochat import LoopLMDecoderLayer, LoopLMDecoderLayers, quantize_weights, run_block
from .loss_nanochat import loop_loss, next_labels
from .outputs_nanochat import LoopLMCausalLMOutput, LoopLMModelOutput
from .recomputation_nanochat import group_size
from .streams_nanochat import LoopRMSNorm, collapse_streams, expand_streams, stream_divergence
from .weight_cache_nanochat import WeightCacheMixin

NO_LABELS = (
    "labels must be given with num_items_in_batch, got none: with label_smoothing_factor and compute_loss_func the "
    "Trainer does not pass them to the model, and computes a loss of the last loop only (label smoothing even "
    "compares each token with itself). Use neither: the model computes its own loss"
)

QK_NORMS = ("layers.*.self_attn.q_norm", "layers.*.self_attn.k_norm")


class LoopLMModel(WeightCacheMixin, LoopLMPreTrainedModel):
    """
    The bare LoopLM model, which returns hidden states without a language modeling head on top.

    Args:
        config: The configuration of the model.

    Attributes:
        layers: The blocks of prelude, core and coda, in this order.
        loop_scale (`torch.nn.Parameter` of shape `(hidden,)`): With `config.loop_update="scaled"`, how far the loops
            after the first one move each channel of the state towards the output of the core; otherwise None.
        checkpoint_loops: In training, save only the state at the start of each loop and recompute the loop in the
            backward pass. Together with activation checkpointing there are two levels: the inputs of the layers are
            then in memory for one loop at a time. `activation_checkpointing_enable({"granularity": "loop"})` sets it.
        checkpoint_groups: Between these two, a level more, for long texts: a loop that is recomputed saves only the
            inputs of groups of layers ([`group_size`]), and those of the layers are in memory for one group at a time.
            `activation_checkpointing_enable({"granularity": "group"})` sets it.

    Raises:
        ValueError: The fields of the configuration contradict each other.
    """

    def __init__(self, config: LoopLMConfig):
        config.validate_architecture()
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        layers = [LoopLMDecoderLayer(config, layer) for layer in range(config.num_stored_layers)]
        self.layers = LoopLMDecoderLayers(layers)
        scaled = config.loop_update == "scaled"
        self.loop_scale = nn.Parameter(torch.empty(config.hidden_size)) if scaled else None
        self.norm = LoopRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.exit_gate = ExitGate(config.hidden_size)
        # It reads only fields that both configurations have.
        self.rotary_emb = LlamaRotaryEmbedding(config=config)  # ty: ignore[invalid-argument-type]
        self.gradient_checkpointing = False
        self.checkpoint_loops = False
        self.checkpoint_groups = False
        self.post_init()
        if config.qk_norm:
            # Only in the plan of models that have these norms: transformers warns of rules without a module.
            self.tp_plan.update(dict.fromkeys(QK_NORMS, "replicated_with_grad_allreduce"))

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
        output_loop_states: bool | Literal["last"] = False,
        prompt_length: int | None = None,
        finished: torch.BoolTensor | None = None,
        **kwargs,
    ) -> LoopLMModelOutput:
        """
        Args:
            input_ids (`torch.LongTensor` of shape `(batch, seq)`): Token ids.
            attention_mask (`torch.Tensor` of shape `(batch, past + seq)`): 1 for tokens to attend to, 0 for padding.
            position_ids (`torch.LongTensor` of shape `(batch, seq)`): Positions of the tokens.
            past_key_values: Cache with the keys and values of earlier passes. Since transformers 5.24 its name is
                `cache`; both names are accepted.
            inputs_embeds (`torch.FloatTensor` of shape `(batch, seq, hidden)`): Embeddings, instead of `input_ids`.
            use_cache: Whether to create a cache if none is given.
            num_loops: Number of loops to run, instead of `config.num_loops`.
            exit_threshold: If below 1, each token exits after the first loop at which its cumulative exit probability
                reaches this value, and loops in which no token takes part are skipped. Tokens of the prompt (those of
                the pass that finds the cache empty) always run all loops, as do all tokens in training and without a
                cache.
            exit_at_loop: Stop after this loop, counted from 1, for all tokens.
            output_loop_states: Whether to return the hidden states that the head reads after each loop, or with
                `"last"` only those after the last one, which take one pass through a coda. With a coda and the states
                of each loop there is no cache.
            prompt_length: Number of tokens at the start of the cache that run all loops with `exit_threshold`, even
                if the prompt comes in several passes or together with other tokens.
            finished (`torch.BoolTensor` of shape `(batch,)`): Rows that have ended. With `exit_threshold`, no loop is
                run for their tokens alone.
            kwargs: Arguments of the attention function.

        Raises:
            ValueError: An argument is out of range or contradicts another one; the cache was filled with another
                number of loops or is of an unsupported type; or early exit is used in a compiled pass.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("You must give exactly one of input_ids and inputs_embeds.")
        past_key_values = given_cache(past_key_values, kwargs)
        last_loop = output_loop_states == "last"
        every_loop = bool(output_loop_states) and not last_loop
        if every_loop and self.config.num_coda_layers > 0:
            if past_key_values is not None:
                raise ValueError(
                    "past_key_values must be None with labels or output_loop_states=True in a model with a coda: it "
                    "is applied after every loop, and its cache slots hold the keys and values of one. Leave the "
                    "cache out, or read last_hidden_state or logits of each pass."
                )
            use_cache = False
        checkpoint_loops = self.checkpoint_loops and self.training and torch.is_grad_enabled()
        if checkpoint_loops:
            if past_key_values is not None:
                raise ValueError("past_key_values must be None with checkpoint_loops=True: backward recomputes loops")
            use_cache = False
        loops, exit_threshold = depth_to_run(self.config, num_loops, exit_threshold, exit_at_loop)
        if not torch.compiler.is_compiling():
            check_adapters(self, vars(self).get("peft_config", {}))
            check_hosts(part for layer in self.layers for part in (layer.self_attn, layer.mlp))
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        early_exit, may_exit = None, exit_threshold < 1 and past_key_values is not None and not self.training
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if past_key_values is not None:
            ensure_slots(past_key_values, self.config.num_cache_slots(loops), self.config.kv_reuse)
        attention_arguments = kwargs
        positions: torch.Tensor | None = position_ids
        if positions is not None:
            # Attention functions look for the starts of packed documents only in positions that the caller gave.
            attention_arguments = kwargs | {"position_ids": positions}
        else:
            past = 0 if past_key_values is None else past_key_values.get_seq_length()
            positions = (torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device) + past).unsqueeze(0)
        causal_mask = create_causal_mask(
            config=self.config,
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=positions,
            **{CACHE_NAME: past_key_values},
        )
        position_embeddings = self.rotary_emb(inputs_embeds, position_ids=positions)
        if may_exit and past_key_values is not None:
            early_exit = early_exit_of_pass(
                exit_threshold, inputs_embeds, attention_mask, past_key_values, prompt_length, finished
            )
        pass_cache = None
        if past_key_values is not None and (early_exit is not None or self.config.kv_reuse == "last"):
            pass_cache = PassCache(past_key_values, self.config.slot_layout, self.config.kv_reuse, early_exit)
        reuse_weights = self._cache_weights and not torch.is_grad_enabled()
        # Once for all loops: the loops' gradients of a weight are then added before the step through the rounding.
        compiled = self.layers[0].compiled_block is not None and past_key_values is None
        for layer in self.layers:
            layer.keep_quantized_weights(reuse_weights, compiled)

        num_streams = self.config.mhc_num_streams
        run = partial(
            self._run,
            attention_mask=causal_mask,
            use_cache=use_cache,
            position_embeddings=position_embeddings,
            **{CACHE_NAME: past_key_values if pass_cache is None else pass_cache},
            **attention_arguments,
        )
        if checkpoint_loops:
            run = partial(checkpoint, run, use_reentrant=False)
        prelude, core, coda = self._stages()
        hidden_states = expand_streams(inputs_embeds, num_streams)
        if self.loop_scale is not None and self.loop_scale.requires_grad and loops == 1:
            # DistributedDataParallel fails without a gradient of every trainable parameter: here one of 0.
            hidden_states = hidden_states + self.loop_scale[:0].sum().to(hidden_states.dtype)
        if prelude:
            hidden_states = run(prelude, hidden_states, loop=0)
        loop_hidden_states, gate_logits = [], []
        divergence = None
        for loop in range(loops):
            hidden_states = run(core, hidden_states, None if loop == 0 else self.loop_scale, loop=loop)
            normed_state = loop_state = self.norm(collapse_streams(hidden_states, num_streams))
            gate_logits.append(self._gate_logits(normed_state))
            all_exited = early_exit is not None and early_exit.after_loop(hidden_states, gate_logits[-1])
            is_last = all_exited or loop == loops - 1
            if (coda or early_exit is not None) and (is_last or every_loop):
                read_states = hidden_states
                if early_exit is not None:
                    assert early_exit.state is not None, "a loop was applied"
                    read_states = early_exit.state
                if coda:
                    read_states = run(coda, read_states, loop=0)
                loop_state = self.norm(collapse_streams(read_states, num_streams))
            if every_loop or (last_loop and is_last):
                loop_hidden_states.append(loop_state)
            if self.training and num_streams > 1 and is_last:
                divergence = stream_divergence(hidden_states, attention_mask)
            if is_last:
                break
            if self.loop_scale is None:
                hidden_states = normed_state if num_streams == 1 else self.norm(hidden_states, dim=(0, -1))
        # With activation checkpointing, backward applies the layers again.
        recomputes = self.training and (checkpoint_loops or any(layer.gradient_checkpointing for layer in self.layers))
        if not reuse_weights and not (recomputes and torch.is_grad_enabled()):
            self._clear_quantized_weights()

        gate_logits = torch.stack(gate_logits, dim=-1)
        if early_exit is None:
            exit_pdf = exit_log_probabilities(gate_logits).exp()
            loops_used = torch.full(inputs_embeds.shape[:2], loops, device=inputs_embeds.device)
        else:
            assert pass_cache is not None, "early exit needs a cache"
            pass_cache.fill_deeper_slots(loop + 1, loops)
            loops_used = early_exit.loops_used
            gate_logits, exit_pdf = early_exit.distribution(gate_logits, loops)
            if every_loop:
                loop_hidden_states += [loop_state] * (loops - len(loop_hidden_states))
        cache_field: dict[str, Any] = {CACHE_NAME: past_key_values}
        return LoopLMModelOutput(
            last_hidden_state=loop_state,
            gate_logits=gate_logits,
            exit_pdf=exit_pdf,
            loops_used=loops_used,
            loop_hidden_states=tuple(loop_hidden_states) if output_loop_states else None,
            stream_divergence=divergence,
            **cache_field,
        )

    def _stages(self) -> tuple[list[LoopLMDecoderLayer], list[LoopLMDecoderLayer], list[LoopLMDecoderLayer]]:
        """Return the layers of prelude, core and coda."""
        layers, layout = list(self.layers), self.config.slot_layout
        end = layout.prelude + layout.core
        return layers[: layout.prelude], layers[layout.prelude : end], layers[end:]

    def _run(
        self,
        layers: Sequence[LoopLMDecoderLayer],
        hidden_states: torch.Tensor,
        scale: torch.Tensor | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """Apply layers; with a scale, move the hidden states only by this part towards the output."""
        output = hidden_states
        if self.checkpoint_groups and self.training and torch.is_grad_enabled():
            size = group_size(len(layers))
            for start in range(0, len(layers), size):
                group = partial(_run_each, layers[start : start + size], **kwargs)
                output = checkpoint(group, output, use_reentrant=False)
        else:
            output = _run_each(layers, output, **kwargs)
        return output if scale is None else hidden_states + scale * (output - hidden_states)

    def _gate_logits(self, loop_state: torch.Tensor) -> torch.Tensor:
        """Map hidden states `(batch, seq, hidden)` to the logits of the exit gate, `(batch, seq)` in fp32."""
        return self.exit_gate(loop_state).squeeze(-1).float() / self.config.exit_temperature


def _run_each(layers: Sequence[LoopLMDecoderLayer], hidden_states: torch.Tensor, **kwargs) -> torch.Tensor:
    for layer in layers:
        hidden_states = layer(hidden_states, **kwargs)
    return hidden_states


class LoopLMForCausalLM(LoopLMPreTrainedModel, LoopLMGenerationMixin):
    """
    The LoopLM model with a language modeling head on top, trained with an objective over all loops ([`loop_loss`]).

    Args:
        config: The configuration of the model.
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}

    def __init__(self, config: LoopLMConfig):
        super().__init__(config)
        self.model = LoopLMModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def cached_weights(self) -> AbstractContextManager[None]:
        """See [`LoopLMModel.cached_weights`]."""
        return self.model.cached_weights()

    def freeze_gate(self) -> None:
        """
        Freeze the exit gate, for objectives that do not use it, such as the cross-entropy of `logits`.

        Call it before the model is given to an optimizer or to DistributedDataParallel, which fails in its second
        step ("did not receive grad") if a trainable parameter has no gradient.
        """
        self.model.exit_gate.requires_grad_(False)

    def compile_blocks(self, **options) -> None:
        """
        Compile the block with `torch.compile`, once for all layers and any number of loops.

        The results are those of the eager block up to rounding. Passes with a cache are not compiled. Adapters may be
        added before or after.

        Args:
            options: Arguments of `torch.compile`.

        Raises:
            NotImplementedError: The model is tensor-parallel, so that a block is more than one graph.
        """
        if self.tp_size is not None and self.tp_size > 1:
            raise NotImplementedError("compile_blocks is not available for a tensor-parallel model: run it eagerly.")
        compiled_block = torch.compile(run_block, **options)
        compiled_quantization = torch.compile(quantize_weights, **options)
        for layer in self.model.layers:
            layer.compiled_block, layer.compiled_quantization = compiled_block, compiled_quantization

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
        output_loop_states: bool | Literal["last"] = False,
        prompt_length: int | None = None,
        finished: torch.BoolTensor | None = None,
        **kwargs,
    ) -> LoopLMCausalLMOutput:
        """
        Args:
            labels (`torch.LongTensor` of shape `(batch, seq)`): Labels for the loss, the token ids themselves without
                a shift. Labels of -100 are ignored, as are those of masked tokens and of the first token after each.
            logits_to_keep: Number of last positions to compute logits for (0 for all), or the indices of positions.
            return_logits: Whether to compute logits. The default is True except in training with labels, because the
                loss is computed without them.
            kwargs: `shift_labels` and `num_items_in_batch`, as the Trainer passes them, and arguments of the attention
                function.

        The other arguments are those of [`LoopLMModel.forward`]. With labels, `exit_threshold` has no effect: the
        objective needs all loops.

        Raises:
            ValueError: See [`LoopLMModel.forward`]; also if `num_items_in_batch` is given without labels.
        """
        if not torch.compiler.is_compiling():
            check_adapters(self, vars(self).get("peft_config", {}))
        shift_labels = kwargs.pop("shift_labels", None)
        num_items_in_batch = kwargs.pop("num_items_in_batch", None)
        if labels is not None or shift_labels is not None:
            shift_labels = next_labels(labels, shift_labels, attention_mask)
        elif num_items_in_batch is not None:
            raise ValueError(NO_LABELS)
        if return_logits is None:
            return_logits = shift_labels is None or not self.training
        loop_states = output_loop_states
        if shift_labels is not None:
            last_alone = self.training and self.config.predicts_last_alone and output_loop_states in (False, "last")
            loop_states = "last" if last_alone else True

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
            output_loop_states=loop_states,
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
            loop_hidden_states=_returned(outputs.loop_hidden_states, output_loop_states),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            stream_divergence=outputs.stream_divergence,
            **{CACHE_NAME: getattr(outputs, CACHE_NAME)},
        )


def _returned(
    states: tuple[torch.Tensor, ...] | None, wanted: bool | Literal["last"]
) -> tuple[torch.Tensor, ...] | None:
    """The hidden states that the caller wants, of those that the loss needed."""
    if states is None or not wanted:
        return None
    return states[-1:] if wanted == "last" else states
