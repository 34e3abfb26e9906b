"""Description of the machine that a long work runs on, kept beside its results. The module imports no PyTorch."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Machine:
    """
    A machine, as far as speed and memory depend on it.

    Attributes:
        processor: Name of the CPU.
        threads: Threads that PyTorch uses in one process.
        memory_bytes: Memory of the machine; None where the system does not say.
        gpu: Name of the GPUs; None where the CPU does the work.
        gpus: Number of GPUs that are used.
        gpu_memory_bytes: Memory of one GPU.
        processes: Number of processes.
    """

    processor: str
    threads: int
    memory_bytes: int | None = None
    gpu: str | None = None
    gpus: int = 0
    gpu_memory_bytes: int | None = None
    processes: int = 1

    @classmethod
    def this(cls, processes: int = 1) -> Self:
        """Describe this machine; each of the processes uses one GPU where there are any."""
        import torch

        names = os.sysconf_names
        known = "SC_PHYS_PAGES" in names and "SC_PAGE_SIZE" in names
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else None
        found = cls(processor_name(), torch.get_num_threads(), memory, processes=processes)
        if not torch.cuda.is_available():
            return found
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return cls(
            found.processor, found.threads, memory, properties.name, processes, properties.total_memory, processes
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the machine that was kept as JSON."""
        return cls(**values)

    def __str__(self) -> str:
        processes = f", {self.processes} processes" if self.processes > 1 else ""
        memory = "" if self.memory_bytes is None else f", {_gigabytes(self.memory_bytes)} of memory"
        cpu = f"{self.processor}, {self.threads} thread{'' if self.threads == 1 else 's'}{processes}{memory}"
        if self.gpu is None:
            return cpu
        gpu_memory = "" if self.gpu_memory_bytes is None else f" with {_gigabytes(self.gpu_memory_bytes)}"
        return f"{self.gpus} x {self.gpu}{gpu_memory}; CPU: {cpu}"


@cache
def processor_name() -> str:
    """Return the name of the CPU, or the architecture where the system does not give one."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(errors="replace").splitlines() if information.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor()) or platform.machine()


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB"
