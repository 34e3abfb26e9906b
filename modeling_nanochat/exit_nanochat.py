"""Exit distribution over the loops (Ouro, arXiv 2510.25741, section 3), and the tokens that leave by it."""

import torch
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers.cache_utils import Cache

from .configuration_nanochat import FIELD_RULES, LoopLMConfig


class ExitGate(NonDynamicallyQuantizableLinear):
    """(..., hidden) to (..., 1), in its own type, which stays fp32 in a bf16 model."""

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, 1)

    def forward(self, loop_state: torch.Tensor) -> torch.Tensor:
        with torch.autocast(loop_state.device.type, enabled=False):
            return super().forward(loop_state.to(self.weight.dtype))


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


def exit_loops(exit_pdf: torch.Tensor, threshold: float) -> torch.Tensor:
    """
    The loop, 1-based, after which each token leaves: the first at which its exit distribution sums to at least
    `threshold`; the last loop takes all that are left. (..., loops) to (...).
    """
    # Rounding may leave the whole sum below 1, so the last loop is not asked.
    return (exit_pdf.cumsum(dim=-1)[..., :-1] < threshold).sum(dim=-1) + 1


def depth_to_run(
    config: LoopLMConfig,
    num_loops: int | None = None,
    exit_threshold: float | None = None,
    exit_at_loop: int | None = None,
) -> tuple[int, float]:
    """
    The loops to run and the exit threshold that the arguments ask for, with the configuration's where one is None. An
    argument for one form of exit replaces what the configuration says of the other.

    Raises:
        ValueError: One is impossible, or both forms of exit are asked for at once.
    """
    if exit_at_loop is not None and exit_threshold is not None and exit_threshold < 1:
        raise ValueError(
            "exit_threshold below 1 and exit_at_loop are two forms of exit, give one, got "
            f"exit_threshold={exit_threshold!r} and exit_at_loop={exit_at_loop!r}"
        )
    num_loops = config.num_loops if num_loops is None else num_loops
    if exit_threshold is None:
        exit_threshold = config.exit_threshold if exit_at_loop is None else 1.0
    for name, value in (("num_loops", num_loops), ("exit_threshold", exit_threshold)):
        rule = FIELD_RULES[name]
        if not rule.accepts(value):
            raise ValueError(f"{name} must be {rule.text}, got {value!r}")
    if exit_at_loop is None and exit_threshold >= 1:
        exit_at_loop = config.exit_at_loop
    if exit_at_loop is None:
        return num_loops, exit_threshold
    if not FIELD_RULES["exit_at_loop"].accepts(exit_at_loop) or exit_at_loop > num_loops:
        raise ValueError(f"exit_at_loop must be an integer from 1 to num_loops={num_loops}, got {exit_at_loop!r}")
    return exit_at_loop, 1.0


class EarlyExit:
    """
    The tokens of one pass: each leaves after its first loop at which its cumulative exit probability reaches the
    threshold, and keeps what it left with while others run on.

    Args:
        threshold: Below 1.
        staying: (batch, seq) or (1, seq), tokens that run all loops whatever the gate says; None for none.
        ignored: (batch, seq) or (batch, 1), tokens that leave after the first loop, because nobody reads them; None
            for none.
    """

    def __init__(
        self, threshold: float, staying: torch.BoolTensor | None = None, ignored: torch.BoolTensor | None = None
    ):
        self.threshold = threshold
        self.staying = staying
        self.ignored = ignored
        self.running: torch.BoolTensor | None = None
        """(batch, seq), the tokens that have not left; None before the first loop, which all run."""
        self.some_left = False
        self.state: torch.Tensor | None = None
        """(batch, seq, hidden), of each token what it left with, or what it has so far."""
        self.loops_used: torch.LongTensor | None = None
        """(batch, seq), loops of each token so far."""

    def after_loop(self, state: torch.Tensor, gate_logits: torch.Tensor) -> bool:
        """
        Takes the state (batch, seq, hidden) and the gate's logits (batch, seq) after a loop; returns whether all
        tokens have left.
        """
        gate_logits = gate_logits.float()
        if self.running is None:
            self.running = torch.ones_like(gate_logits, dtype=torch.bool)
            self.state = state
            self.loops_used = torch.ones_like(self.running, dtype=torch.long)
            self._log_stay = torch.zeros_like(gate_logits)
            self._reached = torch.zeros_like(gate_logits)
        else:
            self.state = torch.where(self.running[..., None], state, self.state) if self.some_left else state
            self.loops_used = self.loops_used + self.running
        # One more term of `exit_log_probabilities`, and of its sum.
        self._reached = self._reached + (F.logsigmoid(gate_logits) + self._log_stay).exp()
        self._log_stay = self._log_stay + F.logsigmoid(-gate_logits)
        leaving = self._reached >= self.threshold
        if self.staying is not None:
            leaving = leaving & ~self.staying
        if self.ignored is not None:
            leaving = leaving | self.ignored
        self.running = self.running & ~leaving
        still_running = int(self.running.sum())
        self.some_left = still_running < self.running.numel()
        return still_running == 0

    def distribution(self, gate_logits: torch.Tensor, num_loops: int) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            gate_logits: (batch, seq, loops that ran).
            num_loops: Loops of a token that stays to the end.

        Returns:
            The gate's logits and the exit distribution, (batch, seq, num_loops). Of loops that a token did not run,
            the logits are NaN and the probability is 0; the loop it left after has all that was left.
        """
        gate_logits = F.pad(gate_logits, (0, num_loops - gate_logits.shape[-1]), value=float("nan"))
        loop = torch.arange(1, num_loops + 1, device=gate_logits.device)
        used = self.loops_used[..., None]
        # A hazard of 1 takes all that is left.
        log_probabilities = exit_log_probabilities(gate_logits.masked_fill(loop >= used, float("inf")))
        return gate_logits.masked_fill(loop > used, float("nan")), log_probabilities.exp()


def early_exit_of_pass(
    threshold: float,
    inputs_embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    past_key_values: Cache,
    prompt_length: int | None,
    finished: torch.BoolTensor | None,
) -> EarlyExit | None:
    """
    How the tokens of one pass (batch, seq, hidden) may leave, before any layer has seen them; None if all of them are
    the prompt's. The arguments are those of [`LoopLMModel.forward`].

    Raises:
        ValueError: The pass is being compiled.
    """
    if torch.compiler.is_compiling():
        raise ValueError(
            "exit_threshold below 1 cannot be compiled: how many loops run is known only when they ran. Do not "
            "compile, or use exit_at_loop for a fixed depth."
        )
    seq, past = inputs_embeds.shape[1], int(past_key_values.get_seq_length())
    if prompt_length is None:
        prompt_length = seq if past == 0 else 0
    if prompt_length >= past + seq:
        return None
    position = torch.arange(past, past + seq, device=inputs_embeds.device)[None]
    staying = position < prompt_length if past < prompt_length else None
    ignored = None if finished is None else finished[:, None]
    if seq > 1 and attention_mask is not None and attention_mask.ndim == 2:
        padding = attention_mask[:, past : past + seq] == 0
        ignored = padding if ignored is None else ignored | padding
    return EarlyExit(threshold, staying, ignored)
