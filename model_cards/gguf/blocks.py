"""
The tensor types of GGUF that store ternary weights exactly: packing codes and scales into bytes, and dequantizing.

The layouts are ggml's (ggml-org/llama.cpp: ggml/src/ggml-common.h, ggml-quants.c). A row is divided into blocks along
the input dimension; each block holds its codes and one fp16 scale, which is why a block must lie within one group of
the model's scales. No scale is estimated here: quantizing ternary values again from their mean magnitude would shrink
them by the fraction of zeros.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SMALLEST_TRIT = -1


class BlockFormat(NamedTuple):
    """A tensor type of ggml: weights and bytes of a block, and how ternary blocks are packed."""

    name: str
    type_id: int
    """Number of the type in the tensor table of a file."""
    file_type: int
    """Value of `general.file_type` for a file whose matrices have this type."""
    block: int
    """Number of weights in a block."""
    block_bytes: int
    pack: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    """
    Pack codes, int8 (num_blocks, block), and scales, fp16 (num_blocks, 1), into uint8 (num_blocks, block_bytes). None
    for the floating-point types.
    """

    def nbytes(self, weights: int) -> int:
        """Return the number of bytes of `weights` weights, a multiple of the block."""
        return weights // self.block * self.block_bytes


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """Little-endian bytes of numbers, (n, k) to (n, k * itemsize)."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8)


def _digits(codes: np.ndarray) -> np.ndarray:
    return (codes - SMALLEST_TRIT).astype(np.uint8)


def _two_bits(digits: np.ndarray, axis: int) -> np.ndarray:
    """Pack four 2-bit digits along `axis` into one byte, the first in the lowest bits."""
    first, second, third, fourth = (np.take(digits, index, axis) for index in range(4))
    return first | second << 2 | third << 4 | fourth << 6


def _planes(codes: np.ndarray) -> np.ndarray:
    """Pack 256 codes into 64 bytes: in each half, byte m holds the weights m, 32 + m, 64 + m and 96 + m."""
    return _two_bits(_digits(codes).reshape(-1, 2, 4, 32), axis=2).reshape(-1, 64)


def _pack_tq2_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.concatenate([_planes(codes), _as_bytes(scales)], axis=1)


def _pack_q2_k(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    # A value is d * scale * digit - dmin * minimum. With 4-bit scale and minimum 1, and dmin = d: d * (digit - 1).
    ones = np.full((len(codes), 16), 0x11, dtype=np.uint8)
    return np.concatenate([ones, _planes(codes), _as_bytes(scales), _as_bytes(scales)], axis=1)


def _base_three(digits: np.ndarray) -> np.ndarray:
    """Pack up to 5 ternary digits, (n, digits, k) with the most significant first, into bytes (n, k)."""
    number = np.zeros((digits.shape[0], digits.shape[2]), dtype=np.uint32)
    for index in range(5):
        number *= 3
        if index < digits.shape[1]:
            number += digits[:, index]
    # Rounded up, because ggml decodes digits by multiplying the byte by powers of 3.
    return ((256 * number + 242) // 243).astype(np.uint8)


def _pack_tq1_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    digits = _digits(codes)
    parts = [
        _base_three(digits[:, :160].reshape(-1, 5, 32)),
        _base_three(digits[:, 160:240].reshape(-1, 5, 16)),
        _base_three(digits[:, 240:].reshape(-1, 4, 4)),
    ]
    return np.concatenate([*parts, _as_bytes(scales)], axis=1)


def _pack_q2_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.concatenate([_as_bytes(scales), _two_bits(_digits(codes).reshape(-1, 16, 4), axis=2)], axis=1)


def _pack_q4_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    nibbles = (codes + 8).astype(np.uint8)
    return np.concatenate([_as_bytes(scales), nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1)


def _pack_q8_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.concatenate([_as_bytes(scales), _as_bytes(codes)], axis=1)


FORMATS = {
    block_format.name: block_format
    for block_format in (
        BlockFormat("f32", 0, 0, 1, 4, None),
        BlockFormat("f16", 1, 1, 1, 2, None),
        BlockFormat("q8_0", 8, 7, 32, 34, _pack_q8_0),
        BlockFormat("q4_0", 2, 2, 32, 18, _pack_q4_0),
        BlockFormat("q2_0", 42, 41, 64, 18, _pack_q2_0),
        BlockFormat("tq1_0", 34, 36, 256, 54, _pack_tq1_0),
        BlockFormat("tq2_0", 35, 37, 256, 66, _pack_tq2_0),
        BlockFormat("q2_k", 10, 10, 256, 84, _pack_q2_k),
    )
}
FLOAT_TYPES = ("f32", "f16", "q8_0")
"""Types that also store weights which are not ternary."""
UNQUANTIZED = ("f32", "f16")
FORMATS_BY_ID = {block_format.type_id: block_format for block_format in FORMATS.values()}


def block_scales(scales: np.ndarray, group_size: int, rows: int, columns: int, block: int) -> np.ndarray:
    """
    Repeat the scales of groups so that every block of a matrix has its own.

    Args:
        scales: (rows, columns / group_size), or (1, 1) for `group_size=-1`.
        group_size: Number of weights along the input that share a scale, a multiple of `block`; -1: the whole matrix.

    Returns:
        (rows, columns / block), dtype of `scales`.
    """
    if group_size == -1:
        return np.broadcast_to(scales, (rows, columns // block))
    assert group_size % block == 0, (group_size, block)
    return np.repeat(scales, group_size // block, axis=1)


def pack_ternary(codes: np.ndarray, scales: np.ndarray, block_format: BlockFormat) -> np.ndarray:
    """
    Pack a ternary matrix into bytes.

    Args:
        codes: int8 (rows, columns) in {-1, 0, 1}; `columns` is a multiple of the block.
        scales: fp16 (rows, columns / block), see [`block_scales`].

    Returns:
        uint8 (rows, bytes of a row).
    """
    assert block_format.pack is not None, block_format.name
    rows = len(codes)
    blocks = codes.reshape(-1, block_format.block)
    return block_format.pack(blocks, scales.astype(np.float16).reshape(-1, 1)).reshape(rows, -1)


def _unpack_q2_0(raw: np.ndarray) -> np.ndarray:
    blocks = raw.reshape(-1, FORMATS["q2_0"].block_bytes)
    scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
    digits = blocks[:, 2:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3
    values = (digits.reshape(len(blocks), -1).astype(np.float32) - 1) * scales
    return values.reshape(len(raw), -1)


def dequantize(raw: np.ndarray, block_format: BlockFormat) -> np.ndarray:
    """
    Dequantize the bytes of a matrix, with the `gguf` package where it knows the type: an implementation that is
    independent of the packing above.

    Args:
        raw: uint8 (rows, bytes of a row).

    Returns:
        fp32 (rows, columns).
    """
    if block_format.name == "q2_0":
        return _unpack_q2_0(raw)
    if block_format.pack is None:
        return raw.view("<f4" if block_format.name == "f32" else "<f2").astype(np.float32)
    from gguf import GGMLQuantizationType, quants

    return quants.dequantize(raw, GGMLQuantizationType(block_format.type_id))
