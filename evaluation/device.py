"""Device and precision of models that are not in training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def inference_device() -> torch.device:
    """
    Return the CUDA GPU that this process uses, or the CPU without one. Apple's GPUs are not used, because evaluation
    sums in float64, which they lack.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply fp32 matrices in fp32 within this context, even if training has enabled TF32."""
    in_tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("high" if in_tf32 else "highest")
