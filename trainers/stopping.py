"""The end of a training at a checkpoint when its time is over."""

import time
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import distributed as dist
from transformers import PreTrainedModel, TrainerCallback


class OutOfTime(Exception):
    """The time of a run is over; a call that resumes it goes on from its last checkpoint."""


@dataclass(frozen=True)
class TimeLimit:
    """
    A maximum time, which begins when the object is made.

    Attributes:
        seconds: The time.
        started: Value of `time.monotonic` at the beginning.

    Raises:
        ValueError: The time is not above 0 and finite.
    """

    seconds: float
    started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if not 0 < self.seconds < float("inf"):
            raise ValueError(f"--stop-after must be a number of seconds above 0, got {self.seconds:g}")

    def is_over(self) -> bool:
        """Whether the time is over for the main process, which decides for all. Every process must call this."""
        over = time.monotonic() - self.started >= self.seconds
        if not dist.is_available() or not dist.is_initialized():
            return over
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        decision = torch.tensor(over, dtype=torch.int32, device=device)
        dist.broadcast(decision, src=0)
        return bool(decision.item())


class TimeLimitCallback(TrainerCallback):
    """
    Save a checkpoint and end the training when its time is over, after the next step that is logged: the means in the
    logs of a resumed training are then those of an uninterrupted one. It must come before callbacks that look whether
    a checkpoint will be saved.

    Args:
        limit: The maximum time.

    Attributes:
        stopped: Whether it ended the training before its last step.
    """

    def __init__(self, limit: TimeLimit):
        self.limit = limit
        self.stopped = False

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step >= state.max_steps or state.global_step % int(state.logging_steps):
            return
        if self.limit.is_over():
            self.stopped = control.should_save = control.should_training_stop = True


def time_limit_callbacks(limit: TimeLimit | None) -> list[TrainerCallback]:
    """The callback of a limit, if there is one; it comes first in the list of a trainer's callbacks."""
    return [] if limit is None else [TimeLimitCallback(limit)]


def save_in_shards(model: PreTrainedModel, max_shard_size: str) -> None:
    """
    Let a model write its weights, also those of checkpoints, in files of a maximum size.

    Args:
        model: The model.
        max_shard_size: Such as "14MB". A single larger tensor has a file of its own.
    """
    # The Trainer calls this method without the argument.
    model.save_pretrained = partial(model.save_pretrained, max_shard_size=max_shard_size)
