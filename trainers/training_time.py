"""Time, memory and machines of a training, over all calls that continued it."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers.trainer_callback import TrainerCallback

from evaluation.complete_files import complete_file
from evaluation.machine import Machine

TIMES = "training_time.json"


@dataclass(frozen=True)
class TimedSteps:
    """
    Steps between two checkpoints, or between the beginning of a call and its first checkpoint.

    Attributes:
        step: Step of the checkpoint after them.
        seconds: Wall-clock time, with evaluations and the writing of the checkpoint.
        machine: Where they were made.
        peak_bytes: Largest memory so far of the first process: of its tensors on the GPU, else all of it. None where
            an earlier version did not record it.
    """

    step: int
    seconds: float
    machine: Machine
    peak_bytes: int | None = None


@dataclass(frozen=True)
class TrainingTime:
    """
    Time of a training up to a step.

    Attributes:
        seconds: Of all steps; None when that of some was not recorded, as in runs that an earlier version began.
        machines: Where they were made, in order; each once.
    """

    seconds: float | None
    machines: tuple[Machine, ...]

    @classmethod
    def read(cls, folder: Path, step: int) -> "TrainingTime":
        """Read the time of the training in a folder up to a step."""
        kept = _kept(folder / TIMES, step)
        seconds = round(sum(each.seconds for each in kept), 3) if kept else None
        return cls(seconds, tuple(dict.fromkeys(each.machine for each in kept)))


class TrainingTimeCallback(TrainerCallback):
    """
    Keep the time of a training in `training_time.json`. Steps after the last checkpoint of an interrupted call are
    repeated by the next one, and count once.

    Args:
        folder: Of the training.
        machine: Where this call runs.
    """

    def __init__(self, folder: Path, machine: Machine):
        self.path = folder / TIMES
        self.machine = machine
        self.times: list[TimedSteps] = []
        self.since = 0.0
        self.is_known = True

    def on_train_begin(self, args, state, control, **kwargs):
        self.times = _kept(self.path, state.global_step)
        # A run that an earlier version began: without its first steps the sum would be wrong.
        self.is_known = state.global_step == 0 or bool(self.times)
        self.since = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        # Before the checkpoint is written: a kill behind it must not lose the time of its steps.
        if control.should_save:
            self._keep(state)

    def on_save(self, args, state, control, **kwargs):
        self._keep(state)

    def on_train_end(self, args, state, control, **kwargs):
        self._keep(state)

    def _keep(self, state) -> None:
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        peak = peak_bytes()
        if self.times and self.times[-1].step == state.global_step:
            former = self.times.pop()
            seconds, peak = seconds + former.seconds, max(peak, former.peak_bytes or 0)
        self.times.append(TimedSteps(state.global_step, round(seconds, 3), self.machine, peak))
        if state.is_world_process_zero and self.is_known:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _write(self.path, self.times)


def peak_bytes() -> int:
    """Largest memory of this process so far: of its tensors on the GPU, or where there is none, all of it."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # `getrusage` would begin with the peak of the program that started this one.
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) << 10


def _write(path: Path, times: Sequence[TimedSteps]) -> None:
    with complete_file(path) as partial:
        partial.write_text(json.dumps([asdict(each) for each in times], indent=1) + "\n")


def _kept(path: Path, step: int) -> list[TimedSteps]:
    """Times up to a step; none if those of the steps just before it are missing."""
    if not path.is_file():
        return []
    read = json.loads(path.read_text())
    times = [
        TimedSteps(each["step"], each["seconds"], Machine(**each["machine"]), each.get("peak_bytes")) for each in read
    ]
    kept = [each for each in times if each.step <= step]
    return kept if kept and kept[-1].step == step else []
