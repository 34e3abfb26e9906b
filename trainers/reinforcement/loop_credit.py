"""Log-probabilities of a LoopLM's tokens that assign credit to the predictions of several loops."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from trainers.reinforcement.choices import LoopCredit

# Size of the fp32 logits of one chunk.
CHUNK_BYTES = 2**26


def credit_weights(credit: LoopCredit, exit_pdf: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    """
    Return the weight of each loop's prediction in a token's log-probability (RLTT, arXiv 2602.10520).

    Args:
        credit: "final" (the last loop alone, as in every trainer of TRL), "uniform", "progressive" (loop t in
            proportion to `t**power`), or "exit_pdf" (the gate's distribution, without gradient).
        exit_pdf: (batch, seq, loops), the gate's exit distribution.
        power: Exponent of "progressive".

    Returns:
        (batch, seq, loops); sums to 1 over the loops.
    """
    if credit == "exit_pdf":
        return exit_pdf.detach()
    loops = exit_pdf.shape[-1]
    numbers = torch.arange(1, loops + 1, device=exit_pdf.device, dtype=torch.float32)
    weights = {"final": (numbers == loops).float(), "uniform": torch.ones_like(numbers), "progressive": numbers**power}
    return (weights[credit] / weights[credit].sum()).expand_as(exit_pdf)


def token_log_probabilities(
    hidden_states: torch.Tensor, head: nn.Module, tokens: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return the log-probability of each token and the entropy of the distribution it is from, both (batch, seq) in
    fp32. Logits are computed for one chunk at a time, and again in backward.

    Args:
        hidden_states: (batch, seq, hidden), the states that predict `tokens`.
        head: Language model head, from hidden to vocabulary.
        tokens: (batch, seq), token ids.
        temperature: Divisor of the logits.
    """

    def of_chunk(rows: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_probabilities = F.log_softmax(head(rows).float() / temperature, dim=-1)
        entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
        return log_probabilities.gather(-1, labels[:, None]).squeeze(-1), entropy.detach()

    rows = hidden_states.flatten(0, 1)
    # By a call, because a wrapped head has no attribute for its width.
    with torch.no_grad():
        vocab_size = head(rows[:1]).shape[-1]
    size = max(1, CHUNK_BYTES // (4 * vocab_size))
    parts = zip(rows.split(size), tokens.flatten().split(size), strict=True)
    found = [checkpoint(of_chunk, *part, use_reentrant=False) for part in parts]
    log_probabilities, entropies = (torch.cat(each).view(tokens.shape) for each in zip(*found, strict=True))
    return log_probabilities, entropies


def credited_log_probabilities(
    loop_hidden_states: tuple[torch.Tensor, ...],
    weights: torch.Tensor,
    head: nn.Module,
    tokens: torch.Tensor,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Return `sum_t w_t log pi_t` of each token, and the entropy of the last loop's prediction; (batch, seq) each.

    Args:
        loop_hidden_states: For each loop (batch, seq, hidden), the states that predict `tokens`.
        weights: (batch, seq, loops), from `credit_weights`.
        head, tokens, temperature: As in `token_log_probabilities`.
    """
    total = torch.zeros(tokens.shape, device=tokens.device)
    for loop, states in enumerate(loop_hidden_states):
        log_probabilities, entropy = token_log_probabilities(states, head, tokens, temperature)
        total = total + weights[..., loop] * log_probabilities
    return total, entropy
