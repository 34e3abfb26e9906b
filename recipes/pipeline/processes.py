"""The processes of a run: how many there are, what one of them does for all, and how all end when it cannot."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from evaluation.exit_status import USER_ERRORS
from trainers.hardware import has_no_accelerator

Result = TypeVar("Result")


def process_state() -> PartialState:
    """This process among those of the run; without a GPU they must be told to work together on the processor."""
    # The others wait while the first one prepares and measures.
    return PartialState(cpu=has_no_accelerator(), timeout=timedelta(hours=2))


def use_all_cores() -> None:
    """
    Let PyTorch use every physical core that this process may run on, divided among the processes of this machine:
    `accelerate launch` allows one thread unless it is told to run on the processor.
    """
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    cores = min(allowed or 1, psutil.cpu_count(logical=False) or allowed or 1)
    torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def on_main_process(action: Callable[[], Result]) -> Result:
    """Runs `action` in the main process and returns its result in all; a refusal that it raises, all raise."""
    state = process_state()
    outcome: list = [None, None]
    if state.is_main_process:
        try:
            outcome[0] = action()
        except USER_ERRORS as error:
            outcome[1] = error
    if state.num_processes > 1:
        broadcast_object_list(outcome)
    result, error = outcome
    if error is not None:
        raise error
    return result
