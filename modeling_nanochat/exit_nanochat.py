"""Exit distribution over the loops (Ouro, arXiv 2510.25741, section 3) and early exit of tokens."""

import torch
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers.cache_utils import Cache

from .configuration_nanochat import FIELD_RULES, LoopLMConfig


class ExitGate(NonDynamicallyQuantizableLinear):
    """Linear layer from `(..., hidden)` to `(..., 1)`, computed in its own dtype, which stays fp32 in a bf16 model."""

    def __init__(self, hidden_size: int):
        super().__init__(hidden_size, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return super().forward(input.to(self.weight.dtype))


def exit_log_probabilities(gate_logits: torch.Tensor) -> torch.Tensor:
    """
    Compute the logarithm of the exit distribution, in log space and fp32.

    The gate gives a hazard `lambda_t = sigmoid(z_t)`. A token exits after loop t with probability
    `p_t = lambda_t * prod_{j<t} (1 - lambda_j)`; the last loop has the remaining probability, whatever its hazard.

    Args:
        gate_logits: Logits z of the gate, of shape `(..., num_loops)`.

    Returns:
        log p, of shape `(..., num_loops)`. The probabilities sum to 1 over the loops.
    """
    gate_logits = gate_logits.float()
    stay = F.logsigmoid(-gate_logits[..., :-1]).cumsum(dim=-1)
    stay_before = F.pad(stay, (1, 0))
    exit_here = F.pad(F.logsigmoid(gate_logits[..., :-1]), (0, 1))
    return exit_here + stay_before


def exit_entropy(log_probabilities: torch.Tensor) -> torch.Tensor:
    """Compute the entropy in nats of log probabilities `(..., num_loops)`: `(...)`, between 0 and log(num_loops)."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)


def mean_exit_loop(exit_pdf: torch.Tensor) -> torch.Tensor:
    """Compute the mean exit loop, counted from 1, of exit distributions `(..., num_loops)`: `(...)`."""
    loops = torch.arange(1, exit_pdf.shape[-1] + 1, device=exit_pdf.device, dtype=exit_pdf.dtype)
    return (exit_pdf * loops).sum(dim=-1)


def exit_loops(exit_pdf: torch.Tensor, threshold: float) -> torch.Tensor:
    """
    Return the loop after which each token exits, counted from 1.

    Args:
        exit_pdf: Exit distributions, of shape `(..., num_loops)`.
        threshold: A token exits after the first loop at which its cumulative probability reaches this value, at the
            latest after the last loop.

    Returns:
        Loops, of shape `(...)`.
    """
    # With rounding the whole sum may be below 1, so the last loop is not compared.
    return (exit_pdf.cumsum(dim=-1)[..., :-1] < threshold).sum(dim=-1) + 1


def depth_to_run(
    config: LoopLMConfig,
    num_loops: int | None = None,
    exit_threshold: float | None = None,
    exit_at_loop: int | None = None,
) -> tuple[int, float]:
    """
    Return the number of loops to run and the exit threshold.

    Arguments that are None are taken from the configuration. If one of `exit_threshold` and `exit_at_loop` is given,
    the configuration's value of the other one is not used.

    Raises:
        ValueError: A value is out of range, or both forms of exit are given.
    """
    if exit_at_loop is not None and exit_threshold is not None and exit_threshold < 1:
        raise ValueError(
            "exit_threshold below 1 and exit_at_loop exclude each other, got "
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
    Early exit of the tokens of one forward pass.

    Each token exits after the first loop at which its cumulative exit probability reaches the threshold, and keeps its
    hidden state of that loop while other tokens continue.

    Args:
        threshold: Exit threshold, below 1.
        staying (`torch.BoolTensor` of shape `(batch, seq)` or `(1, seq)`): Tokens that run all loops; None for none.
        ignored (`torch.BoolTensor` of shape `(batch, seq)` or `(batch, 1)`): Tokens whose output is not used, which
            exit after the first loop; None for none.

    Attributes:
        running (`torch.BoolTensor` of shape `(batch, seq)`): Tokens that have not exited; None before the first loop.
        some_exited: Whether at least one token has exited.
        state (`torch.FloatTensor` of shape `(..., batch, seq, hidden)`): Hidden states, of each token those of the
            last loop that it ran.
        loops_used (`torch.LongTensor` of shape `(batch, seq)`): Number of loops that each token has run.
    """

    def __init__(self, threshold: float, staying: torch.Tensor | None = None, ignored: torch.Tensor | None = None):
        self.threshold = threshold
        self.staying = staying
        self.ignored = ignored
        self.running: torch.Tensor | None = None
        self.some_exited = False
        self.state: torch.Tensor | None = None
        self.loops_used: torch.Tensor | None = None

    def after_loop(self, state: torch.Tensor, gate_logits: torch.Tensor) -> bool:
        """
        Update the tokens after a loop.

        Args:
            state: Hidden states after the loop, of shape `(..., batch, seq, hidden)`.
            gate_logits: Logits of the gate after the loop, of shape `(batch, seq)`.

        Returns:
            Whether all tokens have exited.
        """
        gate_logits = gate_logits.float()
        if self.running is None or self.state is None or self.loops_used is None:
            self.running = torch.ones_like(gate_logits, dtype=torch.bool)
            self.state = state
            self.loops_used = torch.ones_like(self.running, dtype=torch.long)
            self._log_stay = torch.zeros_like(gate_logits)
            self._reached = torch.zeros_like(gate_logits)
        else:
            self.state = torch.where(self.running[..., None], state, self.state) if self.some_exited else state
            self.loops_used = self.loops_used + self.running
        # The next term of `exit_log_probabilities`, and the sum of the terms.
        self._reached = self._reached + (F.logsigmoid(gate_logits) + self._log_stay).exp()
        self._log_stay = self._log_stay + F.logsigmoid(-gate_logits)
        exiting = self._reached >= self.threshold
        if self.staying is not None:
            exiting = exiting & ~self.staying
        if self.ignored is not None:
            exiting = exiting | self.ignored
        self.running = self.running & ~exiting
        still_running = int(self.running.sum())
        self.some_exited = still_running < self.running.numel()
        return still_running == 0

    def distribution(self, gate_logits: torch.Tensor, num_loops: int) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return the gate's logits and the exit distribution of all loops.

        Args:
            gate_logits: Logits of the gate, of shape `(batch, seq, loops that were run)`.
            num_loops: Number of loops of a token that does not exit early.

        Returns:
            Logits and probabilities, of shape `(batch, seq, num_loops)`. For loops that a token did not run, the
            logits are NaN and the probabilities 0; the last loop that it ran has the remaining probability.
        """
        assert self.loops_used is not None, "at least one loop was run"
        gate_logits = F.pad(gate_logits, (0, num_loops - gate_logits.shape[-1]), value=float("nan"))
        loop = torch.arange(1, num_loops + 1, device=gate_logits.device)
        used = self.loops_used[..., None]
        # A hazard of 1 takes the remaining probability.
        log_probabilities = exit_log_probabilities(gate_logits.masked_fill(loop >= used, float("inf")))
        return gate_logits.masked_fill(loop > used, float("nan")), log_probabilities.exp()


def early_exit_of_pass(
    threshold: float,
    inputs_embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    past_key_values: Cache,
    prompt_length: int | None,
    finished: torch.Tensor | None,
) -> EarlyExit | None:
    """
    Prepare the early exit of a forward pass, before any layer is applied.

    Args:
        threshold: Exit threshold, below 1.
        inputs_embeds: Embeddings, of shape `(batch, seq, hidden)`.
        attention_mask, past_key_values, prompt_length, finished: See [`LoopLMModel.forward`].

    Returns:
        The early exit, or None if all tokens belong to the prompt.

    Raises:
        ValueError: The pass is being compiled.
    """
    if torch.compiler.is_compiling():
        raise ValueError(
            "exit_threshold below 1 cannot be compiled: the number of loops is known only after they were run. Do not "
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
