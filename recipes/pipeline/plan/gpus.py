"""GPUs that a plan can be made for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from trainers.hardware import PEAK_FLOPS

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe

GIB = 2**30
MEMORY_GIB = {"H100": 79.2, "H200": 139.8, "RTX 4090": 23.5, "RTX PRO 6000": 94.9, "A100": 79.2}
"""Memory that CUDA reports, by part of the device name; less than the data sheet says. The H100 and A100 of 80 GB."""
DEFAULT = "RTX 4090"


@dataclass(frozen=True)
class Gpu:
    """
    A kind of GPU.

    Attributes:
        name: Part of its CUDA device name.
        memory: Bytes.
        peak_flops: Dense bf16 throughput in FLOP/s.
    """

    name: str
    memory: int
    peak_flops: float


def find_gpu(name: str) -> Gpu:
    """
    Return the GPU of this name.

    Raises:
        ValueError: No such GPU is known.
    """
    for known in PEAK_FLOPS:
        if known.casefold() == name.casefold():
            return Gpu(known, int(MEMORY_GIB[known] * GIB), PEAK_FLOPS[known])
    raise ValueError(f"--gpu must be one of {', '.join(PEAK_FLOPS)}, got {name!r}")


def local_gpu() -> Gpu | None:
    """Return the GPU of this machine; None without one whose peak is known."""
    if not torch.cuda.is_available():
        return None
    properties = torch.cuda.get_device_properties(0)
    known = next((known for known in PEAK_FLOPS if known in properties.name), None)
    return None if known is None else Gpu(known, properties.total_memory, PEAK_FLOPS[known])


def gpu_of(recipe: "Recipe", name: str | None = None) -> Gpu:
    """
    Return the GPU to plan for: the named one, else the recipe's, else this machine's, else an RTX 4090.

    Raises:
        ValueError: No such GPU is known.
    """
    name = recipe.gpu if name is None else name
    return find_gpu(name) if name is not None else local_gpu() or find_gpu(DEFAULT)
