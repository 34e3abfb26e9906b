"""The device and the precision of models that are not in training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def inference_device() -> torch.device:
    """
    The CUDA GPU that this process uses, or the processor where there is none. Not Apple's: evaluation sums in float64,
    which they lack.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Within this context the products of fp32 matrices on a GPU are fp32, also after a training that chose TF32."""
    in_tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("high" if in_tf32 else "highest")
