"""Settings of a recipe for the machine: processors, data loading, memory, precision."""

import re
from typing import ClassVar, Literal

from recipes.pipeline.fields import Settings, check, setting, settings

RANGES = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")


@settings
class HardwareSettings(Settings):
    """
    How a run uses its machine. One that the machine cannot follow is a warning at the start, never an error.

    Attributes:
        shapes_training: Settings that change what is trained; a continued run keeps them, and may change the others.
    """

    section: ClassVar[str] = "hardware"
    shapes_training: ClassVar[frozenset[str]] = frozenset({"mixed_precision", "tf32"})

    dataloader_num_workers: int = setting(
        "Processes that load batches, for each training process; 0 loads them in the training process. The order of "
        "the data is the same.",
        default=0,
        ge=0,
    )
    dataloader_prefetch_factor: int = setting("Batches that each of these processes loads ahead.", default=2, ge=1)
    dataloader_pin_memory: bool = setting(
        "Copy batches to page-locked memory, from which a GPU reads faster.", default=True
    )
    preparation_workers: int | None = setting(
        "Processes that inspect and verify text in the preparation of the data; None for one per processor.",
        default=None,
        ge=1,
    )
    cpu_threads: int | None = setting(
        "Threads of PyTorch's operations on the CPU, divided among the processes of a machine; None for one per "
        "physical core. It replaces OMP_NUM_THREADS.",
        default=None,
        ge=1,
    )
    interop_threads: int | None = setting(
        "Threads on which PyTorch runs independent operations, divided likewise; None for PyTorch's own number.",
        default=None,
        ge=1,
    )
    cpu_affinity: str | None = setting(
        "Processors that the run may use, such as '0-111' or '0,2,4-7'; None for all that it is given.", default=None
    )
    numa: Literal["off", "bind", "interleave"] = setting(
        'Memory of several NUMA nodes: "bind" keeps each process on the processors next to its GPU, "interleave" '
        "spreads memory over all nodes, for which the run is started with `numactl --interleave=all`.",
        default="off",
    )
    numa_nodes: int | None = setting(
        "NUMA nodes that the machine should have, a setting of its BIOS; another number is a warning. None for any.",
        default=None,
        ge=1,
    )
    gpu_memory_fraction: float = setting(
        "Share of a GPU's memory that a process may allocate.", default=1.0, gt=0, le=1
    )
    mixed_precision: Literal["bf16", "no"] | None = setting(
        "Precision of the matrix products in training; None for bf16 where the machine computes it fast.", default=None
    )
    tf32: bool = setting("Multiply fp32 matrices in TF32 on GPUs that support it.", default=True)
    ddp_bucket_cap_mb: int | None = setting(
        "Size in MB of the buckets in which several processes add up their gradients; None for PyTorch's own.",
        default=None,
        ge=1,
    )

    def __post_init__(self) -> None:
        affinity = self.cpu_affinity
        rule = "numbers of processors such as '0-111' or '0,2,4-7'"
        check("hardware", "cpu_affinity", affinity, rule, affinity is None or bool(self.processors()))
        rule = "None with numa=bind, which chooses the processors"
        check("hardware", "cpu_affinity", affinity, rule, affinity is None or self.numa != "bind")

    def processors(self) -> frozenset[int]:
        """Return the numbers of the processors in `cpu_affinity`; none where it is None or malformed."""
        if self.cpu_affinity is None or not RANGES.fullmatch(self.cpu_affinity):
            return frozenset()
        found: set[int] = set()
        for part in self.cpu_affinity.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
        return frozenset(found)
