"""
The machine of a run, as its recipe wants it.

Each function does what the machine can do, and returns a sentence for each setting that it cannot follow.
"""

import os
import shlex
from pathlib import Path
from shutil import which
from typing import Any

import psutil
import torch
from accelerate.utils import set_numa_affinity
from transformers import TrainingArguments

from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.processes import process_state
from trainers.hardware import has_fast_bf16

NODES = Path("/sys/devices/system/node")
MEMORY_POLICY = Path("/proc/self/numa_maps")


def use_processors(hardware: HardwareSettings) -> list[str]:
    """
    Choose the processors and threads of this process. Threads begin with the first parallel work, so this comes first.

    Returns:
        Sentences about what the machine lacks.
    """
    faults = _use_affinity(hardware)
    allowed, local = num_processors(), _local_processes()
    threads = hardware.cpu_threads or psutil.cpu_count(logical=False) or allowed
    torch.set_num_threads(max(1, min(threads, allowed) // local))
    faults += _reductions(hardware) + _memory_faults(hardware)
    if hardware.interop_threads is not None:
        faults += _use_interop_threads(max(1, min(hardware.interop_threads, allowed) // local))
    return faults


def use_gpu(hardware: HardwareSettings) -> list[str]:
    """
    Set how much memory of its GPU this process may allocate, and keep it on the processors next to the GPU.

    Returns:
        Sentences about what the machine or the launch lacks.
    """
    faults = []
    state = process_state()
    if torch.cuda.is_available():
        if hardware.gpu_memory_fraction < 1:
            torch.cuda.set_per_process_memory_fraction(hardware.gpu_memory_fraction, state.device)
        if hardware.numa == "bind":
            faults += _bind(state.local_process_index)
    else:
        wanted = {
            f"gpu_memory_fraction={hardware.gpu_memory_fraction:g}": hardware.gpu_memory_fraction < 1,
            "numa=bind": hardware.numa == "bind",
        }
        names = [name for name, is_wanted in wanted.items() if is_wanted]
        if names:
            faults.append(f"hardware: {', '.join(names)} and pinned memory have no effect without a CUDA GPU")
    if hardware.mixed_precision == "bf16" and not has_fast_bf16():
        faults.append("hardware.mixed_precision=bf16 is slow on this machine: it trains in fp32")
    if hardware.ddp_bucket_cap_mb is not None and state.num_processes == 1:
        faults.append(
            f"hardware.ddp_bucket_cap_mb={hardware.ddp_bucket_cap_mb} has no effect: the run has one process "
            "(recipes/launch/ddp_2.yaml starts two)"
        )
    return faults


def usable_gpu_memory(hardware: HardwareSettings) -> int | None:
    """Return the bytes of its GPU that this process may use; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    total = torch.cuda.get_device_properties(process_state().device).total_memory
    return int(total * hardware.gpu_memory_fraction)


def trainer_arguments(hardware: HardwareSettings) -> dict[str, Any]:
    """Return the arguments of Transformers' and TRL's Trainers, as far as the machine can follow them."""
    workers = min(hardware.dataloader_num_workers, max_loaders())
    return {
        "dataloader_num_workers": workers,
        "dataloader_prefetch_factor": hardware.dataloader_prefetch_factor if workers else None,
        "dataloader_pin_memory": hardware.dataloader_pin_memory and torch.cuda.is_available(),
        "bf16": hardware.mixed_precision != "no" and has_fast_bf16(),
        "ddp_bucket_cap_mb": hardware.ddp_bucket_cap_mb,
    }


def use_precision(arguments: TrainingArguments, hardware: HardwareSettings) -> None:
    """Let `hardware.mixed_precision` hold against the launcher's, which the Trainer takes where `bf16` is false."""
    if hardware.mixed_precision is not None:
        arguments.mixed_precision = "bf16" if arguments.bf16 else "no"


def preparation_workers(hardware: HardwareSettings) -> int | None:
    """Return the number of processes that prepare data; None for one per processor."""
    wanted = hardware.preparation_workers
    return None if wanted is None else min(wanted, num_processors())


def num_processors() -> int:
    """Number of processors on which this process may run."""
    allowed = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    return allowed or 1


def max_loaders() -> int:
    """Return the largest useful number of processes that load data for this one."""
    return max(1, num_processors() // _local_processes())


def _local_processes() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _reductions(hardware: HardwareSettings) -> list[str]:
    """Return a sentence for each number that is above that of the processors."""
    allowed, loaders = num_processors(), max_loaders()
    wanted = (
        ("dataloader_num_workers", hardware.dataloader_num_workers, loaders),
        ("preparation_workers", hardware.preparation_workers, allowed),
        ("cpu_threads", hardware.cpu_threads, allowed),
        ("interop_threads", hardware.interop_threads, allowed),
    )
    return [
        f"hardware.{name}={number} is reduced to {most}, the number of processors"
        for name, number, most in wanted
        if number is not None and number > most
    ]


def _use_affinity(hardware: HardwareSettings) -> list[str]:
    wanted = hardware.processors()
    if not wanted:
        return []
    name = f"hardware.cpu_affinity={hardware.cpu_affinity}"
    if not hasattr(os, "sched_setaffinity"):
        return [f"{name} has no effect: this operating system does not bind processes to processors"]
    given = os.sched_getaffinity(0)
    common = wanted & given
    if not common:
        return [f"{name} has no effect: the run has none of these processors"]
    os.sched_setaffinity(0, common)
    return [] if common == wanted else [f"{name}: the run has only {len(common)} of these {len(wanted)} processors"]


def _use_interop_threads(number: int) -> list[str]:
    if torch.get_num_interop_threads() == number:
        return []
    try:
        torch.set_num_interop_threads(number)
    except RuntimeError:
        # PyTorch takes the number once.
        return [
            f"hardware.interop_threads stays {torch.get_num_interop_threads()}: this process has used such threads"
        ]
    return []


def num_numa_nodes() -> int:
    """Number of NUMA nodes of this machine."""
    return max(1, len(list(NODES.glob("node[0-9]*"))))


def _memory_faults(hardware: HardwareSettings) -> list[str]:
    found = num_numa_nodes()
    plural = "node" if found == 1 else "nodes"
    if hardware.numa != "off" and found == 1:
        return [f"hardware.numa={hardware.numa} has no effect: the machine has 1 NUMA node"]
    faults = []
    if hardware.numa_nodes not in (None, found):
        expected = f"hardware.numa_nodes={hardware.numa_nodes}"
        faults.append(f"{expected}, but the machine has {found} NUMA {plural} (a setting of its BIOS)")
    if hardware.numa == "interleave" and not _is_interleaved():
        start = f"start the run with `numactl --interleave=all {_command()}`"
        missing = "" if which("numactl") else ", from the package numactl of the operating system"
        faults.append(f"hardware.numa=interleave: the memory of this process is not interleaved; {start}{missing}")
    return faults


def _is_interleaved() -> bool:
    """Whether this process was started with interleaved memory; numactl's choice is inherited."""
    if not MEMORY_POLICY.exists():
        return False
    return any(line.split()[1].startswith("interleave") for line in MEMORY_POLICY.read_text().splitlines()[:1])


def _command() -> str:
    """The command that started this run: that of the launcher, or of this process."""
    process = psutil.Process()
    parent = process.parent()
    launcher = [] if parent is None else parent.cmdline()
    return shlex.join(launcher if "launch" in launcher else process.cmdline())


def _bind(local_process_index: int) -> list[str]:
    """Keep this process on the processors next to its GPU."""
    try:
        set_numa_affinity(local_process_index)
    except (ImportError, OSError) as error:
        # Without nvidia-ml-py, or where the run is not given the processors next to the GPU.
        return [f"hardware.numa=bind has no effect: {error}"]
    # The threads were chosen for all processors of the run.
    torch.set_num_threads(min(torch.get_num_threads(), num_processors()))
    return []
