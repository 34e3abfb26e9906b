"""What the model classes return."""

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
        last_hidden_state: (batch, seq, hidden), normed, of the last loop that a token ran: what the head reads.
        past_key_values: The cache, one layer per (loop, shared layer), or per shared layer with `kv_reuse="last"`. Its
            field is called `cache` since transformers 5.24.
        hidden_states: With `output_hidden_states`, the input and the output of every block application, each
            (batch, seq, hidden), or (streams, batch, seq, hidden) when there are several streams; the last one is
            `last_hidden_state`.
        attentions: With `output_attentions`, (batch, heads, seq, keys) of every block application.
        gate_logits: (batch, seq, loops), fp32, divided by `exit_temperature`; NaN for loops after a token left early.
        exit_pdf: (batch, seq, loops), fp32, the probability of leaving after each loop; the loop after which a token
            left early has all that was left, those it did not run have 0.
        loops_used: (batch, seq), how many loops each token went through.
        loop_hidden_states: With `output_loop_states`, what the head reads after each loop, loops times
            (batch, seq, hidden); after a token left early, what it left with.
        stream_divergence: In training with several streams, how far they are apart after the last loop: the norm of
            their deviation from their mean over the norm of the streams, without gradient; 0 if they are equal.
    """

    last_hidden_state: torch.FloatTensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    gate_logits: torch.FloatTensor | None = None
    exit_pdf: torch.FloatTensor | None = None
    loops_used: torch.LongTensor | None = None
    loop_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    stream_divergence: torch.FloatTensor | None = None


@dataclass
@name_cache_field
class LoopLMCausalLMOutput(ModelOutput):
    """
    Output of [`LoopLMForCausalLM`]; the fields of [`LoopLMModelOutput`] and

    Attributes:
        loss: With `labels`, the training objective (see `loop_loss`).
        logits: (batch, seq or logits_to_keep, vocab) of the last loop that ran.
        ce_loss, entropy_penalty: Its parts, means in nats over the labels, without gradient.
        loop_losses: (loops,) mean cross-entropy of each loop's prediction, without gradient.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    ce_loss: torch.FloatTensor | None = None
    entropy_penalty: torch.FloatTensor | None = None
    loop_losses: torch.FloatTensor | None = None
    exit_pdf: torch.FloatTensor | None = None
    loops_used: torch.LongTensor | None = None
    gate_logits: torch.FloatTensor | None = None
    loop_hidden_states: tuple[torch.FloatTensor, ...] | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
    stream_divergence: torch.FloatTensor | None = None
