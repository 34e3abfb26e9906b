"""Outputs of the LoopLM models."""

from dataclasses import dataclass

import torch
from transformers.cache_utils import Cache
from transformers.utils import ModelOutput

from .cache_nanochat import name_cache_field


@dataclass
@name_cache_field
class LoopLMModelOutput(ModelOutput):
    """
    Output of [`LoopLMModel`].

    Attributes:
        last_hidden_state (`torch.FloatTensor` of shape `(batch, seq, hidden)`): Hidden states after the final norm, of
            each token those of the last loop that it ran.
        past_key_values (`Cache`): Cache with a slot per (loop, layer), or per layer with
            `kv_reuse="last"`. The field is called `cache` since transformers 5.24.
        hidden_states (`tuple[torch.FloatTensor]`): With `output_hidden_states=True`, the embeddings and the output of
            every application of a block, each of shape `(batch, seq, hidden)`, or `(streams, batch, seq, hidden)` with
            several streams; the last one is `last_hidden_state`.
        attentions (`tuple[torch.FloatTensor]`): With `output_attentions=True`, the attention weights of every
            application of a block, each of shape `(batch, heads, seq, keys)`.
        gate_logits (`torch.FloatTensor` of shape `(batch, seq, loops)`): Logits of the exit gate in fp32, divided by
            `exit_temperature`; NaN for loops that a token did not run.
        exit_pdf (`torch.FloatTensor` of shape `(batch, seq, loops)`): Probability of exiting after each loop, in fp32.
            With early exit, the last loop that a token ran has the remaining probability and later ones have 0.
        loops_used (`torch.LongTensor` of shape `(batch, seq)`): Number of loops that each token ran.
        loop_hidden_states (`tuple[torch.FloatTensor]`): With `output_loop_states=True`, the hidden states after the
            final norm for each loop, each of shape `(batch, seq, hidden)`; with `"last"`, only those of the last
            one. Tokens that have exited keep theirs.
        stream_divergence (`torch.FloatTensor` of shape `()`): In training with several streams, the norm of their
            deviation from their mean after the last loop over the norm of the streams, without gradient; 0 if all
            streams are equal.
    """

    last_hidden_state: torch.Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    gate_logits: torch.Tensor | None = None
    exit_pdf: torch.Tensor | None = None
    loops_used: torch.Tensor | None = None
    loop_hidden_states: tuple[torch.Tensor, ...] | None = None
    stream_divergence: torch.Tensor | None = None


@dataclass
@name_cache_field
class LoopLMCausalLMOutput(ModelOutput):
    """
    Output of [`LoopLMForCausalLM`], with the other fields of [`LoopLMModelOutput`].

    Attributes:
        loss (`torch.FloatTensor` of shape `()`): With labels, the training objective (see [`loop_loss`]).
        logits (`torch.FloatTensor` of shape `(batch, seq, vocab)`): Logits of the last loop that each token ran, for
            all positions or those of `logits_to_keep`.
        ce_loss (`torch.FloatTensor` of shape `()`): Cross-entropy part of the loss: mean over the labels in nats,
            without gradient.
        entropy_penalty (`torch.FloatTensor` of shape `()`): Entropy part of the loss, before it is weighted: mean over
            the labels in nats, without gradient.
        loop_losses (`torch.FloatTensor` of shape `(loops,)`): Mean cross-entropy of the predictions of each loop, in
            nats, without gradient; in training with a coda and `loop_loss="final"`, of the last loop alone.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    ce_loss: torch.Tensor | None = None
    entropy_penalty: torch.Tensor | None = None
    loop_losses: torch.Tensor | None = None
    exit_pdf: torch.Tensor | None = None
    loops_used: torch.Tensor | None = None
    gate_logits: torch.Tensor | None = None
    loop_hidden_states: tuple[torch.Tensor, ...] | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    stream_divergence: torch.Tensor | None = None
