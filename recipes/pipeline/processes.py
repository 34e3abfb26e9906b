"""The processes of a run, and work that the main process does for all of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from evaluation.exit_status import USER_ERRORS
from trainers.hardware import has_no_accelerator

Result = TypeVar("Result")


def process_state() -> PartialState:
    """State of this process among those of the run; without a GPU, processes communicate on the CPU."""
    # The others wait while the first one prepares and measures.
    return PartialState(cpu=has_no_accelerator(), timeout=timedelta(hours=2))


def on_main_process(action: Callable[[], Result]) -> Result:
    """Run `action` in the main process and return its result in all; an error of the user is raised in all."""
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
