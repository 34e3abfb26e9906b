"""
The number formats of GGUF that carry ternary weights exactly: bytes from (codes, scales), and values from bytes.

The layouts are ggml's (ggml-org/llama.cpp: ggml/src/ggml-common.h, ggml-quants.c). A row is cut into blocks along the
input; each block holds its codes and one fp16 scale, which is why a block may not cross a group of the model's scales.
Nothing here chooses a scale: quantising ternary values anew from their mean magnitude would shrink them by the share
of zeros.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SMALLEST_TRIT = -1


class BlockFormat(NamedTuple):
    """One of ggml's types: how many weights a block holds, in how many bytes, and how ternary blocks are packed."""

    name: str
    type_id: int
    """Number of the type in a tensor's description."""
    file_type: int
    """Number under `general.file_type` of a file whose matrices have this type."""
    block: int
    """Weights of a block."""
    block_bytes: int
    pack: Callable[[np.ndarray, np.ndarray], np.ndarray] | None
    """(codes, scales) of blocks to bytes, int8 (n, block) and fp16 (n, 1) to uint8 (n, block_bytes); None for floats.
    """

    def nbytes(self, weights: int) -> int:
        """Bytes of so many weights, a multiple of the block."""
        return weights // self.block * self.block_bytes


def _as_bytes(values: np.ndarray) -> np.ndarray:
    """(n, k) numbers to their (n, k * itemsize) little-endian bytes."""
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return little.view(np.uint8)


def _digits(codes: np.ndarray) -> np.ndarray:
    return (codes - SMALLEST_TRIT).astype(np.uint8)


def _two_bits(digits: np.ndarray, axis: int) -> np.ndarray:
    """Four digits along `axis` to one byte, the first in the lowest bits."""
    first, second, third, fourth = (np.take(digits, index, axis) for index in range(4))
    return first | second << 2 | third << 4 | fourth << 6


def _planes(codes: np.ndarray) -> np.ndarray:
    """256 codes to 64 bytes: of each half, weights m, 32 + m, 64 + m and 96 + m share byte m."""
    return _two_bits(_digits(codes).reshape(-1, 2, 4, 32), axis=2).reshape(-1, 64)


def _pack_tq2_0(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    return np.concatenate([_planes(codes), _as_bytes(scales)], axis=1)


def _pack_q2_k(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    # A value is d * scale * code - dmin * minimum. With the 4-bit scale and minimum 1 and dmin = d: d * (code - 1).
    ones = np.full((len(codes), 16), 0x11, dtype=np.uint8)
    return np.concatenate([ones, _planes(codes), _as_bytes(scales), _as_bytes(scales)], axis=1)


def _base_three(digits: np.ndarray) -> np.ndarray:
    """(n, up to 5, k) digits, the first most significant, to (n, k) bytes that ggml decodes by multiplication."""
    number = np.zeros((digits.shape[0], digits.shape[2]), dtype=np.uint32)
    for index in range(5):
        number *= 3
        if index < digits.shape[1]:
            number += digits[:, index]
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
FORMAT_OF_ID = {block_format.type_id: block_format for block_format in FORMATS.values()}


def block_scales(scales: np.ndarray, group_size: int, rows: int, columns: int, block: int) -> np.ndarray:
    """
    One scale for every block of a matrix.

    Args:
        scales: (rows, columns / group_size), or (1, 1) for `group_size=-1`.
        group_size: Weights along the input that share a scale, a multiple of `block`; -1 is the whole matrix.

    Returns:
        (rows, columns / block), of the type of `scales`.
    """
    if group_size == -1:
        return np.broadcast_to(scales, (rows, columns // block))
    assert group_size % block == 0, (group_size, block)
    return np.repeat(scales, group_size // block, axis=1)


def pack_ternary(codes: np.ndarray, scales: np.ndarray, block_format: BlockFormat) -> np.ndarray:
    """
    The bytes of a ternary matrix.

    Args:
        codes: (rows, columns) int8 in {-1, 0, 1}; `columns` is a multiple of the block.
        scales: (rows, columns / block) fp16, see [`block_scales`].

    Returns:
        (rows, bytes of a row) uint8.
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
    Values of a matrix's bytes, by the `gguf` package where it knows the type, so that its reading checks our writing.

    Args:
        raw: (rows, bytes of a row) uint8.

    Returns:
        (rows, columns) fp32.
    """
    if block_format.name == "q2_0":
        return _unpack_q2_0(raw)
    if block_format.pack is None:
        return raw.view("<f4" if block_format.name == "f32" else "<f2").astype(np.float32)
    from gguf import GGMLQuantizationType, quants

    return quants.dequantize(raw, GGMLQuantizationType(block_format.type_id))
