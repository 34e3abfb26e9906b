"""What this machine computes with, and how well."""

import torch
from transformers.utils import is_torch_tf32_available

# Peak bf16 throughput in FLOP/s, dense, by what CUDA calls the device; from the makers' data sheets.
PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "RTX 4090": 165.2e12, "RTX PRO 6000": 504e12, "A100": 312e12}


def has_no_accelerator() -> bool:
    """Whether this machine trains on its processor: there is neither a CUDA nor an Apple GPU."""
    return not torch.cuda.is_available() and not torch.backends.mps.is_available()


def has_fast_bf16() -> bool:
    """
    Whether bf16 arithmetic is worth using on this machine: any GPU that supports it, but only those processors with
    instructions for it (on others PyTorch's bf16 matrix product is many times slower than fp32).
    """
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def use_tf32() -> None:
    """
    Let this process multiply fp32 matrices in TF32 on a GPU that can: with 10 bits of mantissa instead of 23, many
    times as fast. What training computes in fp32 beside bf16 autocast needs no more.
    """
    if is_torch_tf32_available():
        # Not by `TrainingArguments.tf32`: what compilers ask, `get_float32_matmul_precision`, raises after that.
        torch.set_float32_matmul_precision("high")


def fp32_precision() -> str:
    """The precision of fp32 matrix products, in words, for a log."""
    if not torch.cuda.is_available():
        return "fp32 products in full precision"
    return f"fp32 products in {'TF32' if torch.backends.cuda.matmul.fp32_precision == 'tf32' else 'full precision'}"


def peak_flops() -> float | None:
    """Of this process's GPU in bf16; None when there is none or its peak is not known here."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    return next((flops for known, flops in PEAK_FLOPS.items() if known in name), None)
