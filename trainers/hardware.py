"""Properties of the hardware: accelerators, precisions and peak throughput."""

import torch
from transformers.utils import is_torch_tf32_available

from evaluation.machine import processor_name

# Peak dense bf16 throughput in FLOP/s by part of the CUDA device name, from the manufacturers' data sheets.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "RTX 4090": 165.2e12, "RTX PRO 6000": 504e12, "A100": 312e12}


def has_no_accelerator() -> bool:
    """Whether this machine trains on its CPU, having neither a CUDA nor an Apple GPU."""
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def has_fast_bf16() -> bool:
    """
    Whether bf16 is faster than fp32 on this machine: on every GPU that supports it, on CPUs with AMX, and on AMD's
    with AVX-512 BF16. On an Intel Xeon whose AMX a virtual machine hid, the latter was slower than fp32. On other
    CPUs PyTorch's bf16 matrix product is many times slower than fp32.
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.cpu._is_amx_tile_supported():
        return True
    return torch.cpu._is_avx512_bf16_supported() and processor_name().startswith("AMD")


def use_tf32() -> None:
    """
    Let this process multiply fp32 matrices in TF32 on GPUs that support it: many times as fast, with 10 bits of
    mantissa instead of 23. That is enough for the few products that training computes in fp32 beside bf16 autocast.
    """
    if is_torch_tf32_available():
        # Not by `TrainingArguments.tf32`, after which `get_float32_matmul_precision` raises; torch.compile calls it.
        torch.set_float32_matmul_precision("high")


def fp32_precision() -> str:
    """Precision of fp32 matrix products, in words, for a log."""
    if not torch.cuda.is_available():
        return "fp32 products in full precision"
    return f"fp32 products in {'TF32' if torch.backends.cuda.matmul.fp32_precision == 'tf32' else 'full precision'}"


def peak_flops() -> float | None:
    """Peak bf16 throughput of this process's GPU in FLOP/s; None without a GPU or when its peak is not known."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((flops for known, flops in PEAK_FLOPS.items() if known in name), None)
