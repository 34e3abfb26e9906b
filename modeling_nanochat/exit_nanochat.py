"""Exit distribution over the loops (Ouro, arXiv 2510.25741, section 3)."""

import torch
from torch.nn import functional as F


def exit_log_probabilities(gate_logits: torch.Tensor) -> torch.Tensor:
    """
    Log of the exit distribution, in fp32 and computed in log space.

    The gate gives a hazard `lambda_t = sigmoid(z_t)`; a token leaves after loop t with
    `p_t = lambda_t * prod_{j<t} (1 - lambda_j)`, and the last loop takes the rest (its own hazard is not used).

    Args:
        gate_logits: z, (..., loops).

    Returns:
        log p, (..., loops); `exp` of it sums to 1 over the loops.
    """
    gate_logits = gate_logits.float()
    stay = F.logsigmoid(-gate_logits[..., :-1]).cumsum(dim=-1)
    stay_before = F.pad(stay, (1, 0))
    leave = F.pad(F.logsigmoid(gate_logits[..., :-1]), (0, 1))
    return leave + stay_before


def exit_entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Entropy in nats of each exit distribution: (..., loops) to (...), between 0 and log(loops)."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def mean_exit_loop(exit_pdf: torch.Tensor) -> torch.Tensor:
    """Expected exit loop, 1-based: (..., loops) to (...), between 1 and loops."""
    loops = torch.arange(1, exit_pdf.shape[-1] + 1, device=exit_pdf.device, dtype=exit_pdf.dtype)
    return (exit_pdf * loops).sum(dim=-1)
