"""Ternary blocks of GGUF: the bytes that ggml's layouts ask for, and exactly code times scale when they are read."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import given
from hypothesis import strategies as st

from model_cards.gguf.blocks import FORMATS, block_scales, dequantize, pack_ternary

PACKED = [name for name, block_format in FORMATS.items() if block_format.pack is not None]


def random_blocks(name, rows, blocks, seed):
    """Codes (rows, columns), and scales (rows, blocks) that bf16 and fp16 hold."""
    generator = np.random.default_rng(seed)
    codes = generator.integers(-1, 2, (rows, blocks * FORMATS[name].block)).astype(np.int8)
    scales = generator.integers(128, 256, (rows, blocks)) * 2.0 ** generator.integers(-21, 8, (rows, blocks))
    return codes, scales.astype(np.float32)


def bytes_by_the_description(name, codes, scale):
    """One block's bytes, weight by weight, from the words of the format."""
    d = list(np.array([scale], dtype="<f2").tobytes())
    c = [int(code) + 1 for code in codes]

    def digits(start, stride, count):
        number = 0
        for place in range(5):
            number = 3 * number + (c[start + place * stride] if place < count else 0)
        return (256 * number + 242) // 243

    planes = (
        [
            sum(c[128 * half + 32 * place + m] << 2 * place for place in range(4))
            for half in range(2)
            for m in range(32)
        ]
        if (len(c) == 256)
        else []
    )
    if name == "tq2_0":
        return planes + d
    if name == "q2_k":
        return [0x11] * 16 + planes + d + d
    if name == "tq1_0":
        return (
            [digits(m, 32, 5) for m in range(32)]
            + [digits(160 + m, 16, 5) for m in range(16)]
            + [digits(240 + m, 4, 4) for m in range(4)]
            + d
        )
    if name == "q2_0":
        return d + [sum(c[4 * j + place] << 2 * place for place in range(4)) for j in range(16)]
    if name == "q4_0":
        return d + [(c[j] + 7) | (c[j + 16] + 7) << 4 for j in range(16)]
    assert name == "q8_0"
    return d + [int(code) % 256 for code in codes]


@pytest.mark.parametrize("name", PACKED)
@given(rows=st.integers(1, 3), blocks=st.integers(1, 3), seed=st.integers(0, 2**16))
def test_bytes_are_those_of_the_layout_and_read_as_code_times_scale(name, rows, blocks, seed):
    codes, scales = random_blocks(name, rows, blocks, seed)
    block = FORMATS[name].block
    raw = pack_ternary(codes, scales, FORMATS[name])
    assert raw.shape == (rows, FORMATS[name].nbytes(codes.shape[1]))
    pairs = zip(codes.reshape(-1, block), scales.reshape(-1), strict=True)
    assert raw.reshape(-1).tolist() == [byte for pair in pairs for byte in bytes_by_the_description(name, *pair)]
    assert np.array_equal(dequantize(raw, FORMATS[name]), codes * np.repeat(scales, block, axis=1))


@pytest.mark.parametrize("name", ["tq1_0", "tq2_0"])
def test_ggmls_own_quantizer_agrees_where_it_finds_the_scale(name):
    codes, scales = random_blocks(name, 4, 2, seed=0)
    dense = codes * np.repeat(scales, 256, axis=1)
    expected = quants.quantize(dense, GGMLQuantizationType(FORMATS[name].type_id))
    assert np.array_equal(pack_ternary(codes, scales, FORMATS[name]), expected)


@pytest.mark.parametrize("name", PACKED)
def test_a_block_of_zeros_keeps_its_scale_and_reads_as_zeros(name):
    codes = np.zeros((1, FORMATS[name].block), dtype=np.int8)
    raw = pack_ternary(codes, np.array([[0.5]], dtype=np.float32), FORMATS[name])
    assert not dequantize(raw, FORMATS[name]).any()
    assert raw.reshape(-1).tolist() == bytes_by_the_description(name, codes[0], 0.5)


def test_a_scale_is_repeated_for_the_blocks_of_its_group():
    scales = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert block_scales(scales, 128, 2, 256, 64).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert block_scales(np.array([[7.0]]), -1, 2, 512, 256).tolist() == [[7, 7], [7, 7]]
