"""Ways to break a GGUF file, each a mistake that an exporter can make, and a small trained model to export."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from model_cards.gguf.file import GgufFile
from model_cards.gguf.tensors import restore_rotary
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from tests.helpers.paths import BUILTIN
from trainers.data.tokenizer import train_tokenizer

RUST = BUILTIN / "enums.rs"
TYPES = ("f32", "q8_0", "q4_0", "tq2_0", "q2_k")
# Where a block has its scales, as fp16 numbers counted from its start or its end.
SCALES_IN_BLOCK = {"q8_0": (0,), "q4_0": (0,), "q2_0": (0,), "tq1_0": (-1,), "tq2_0": (-1,), "q2_k": (-1, -2)}

Changes = dict[int, bytes]
"""Replacement bytes, by their offset in the file."""


def vary_scales(model: LoopLMForCausalLM, generator: torch.Generator) -> None:
    """Make norms, rows and runs of 32 columns differ in size, so that no two can be mistaken for each other."""
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5, generator=generator)
            elif "_proj.weight" in name:
                columns = torch.rand(1, parameter.shape[1] // 32, generator=generator).repeat_interleave(32, dim=1)
                rows = torch.rand(parameter.shape[0], 1, generator=generator)
                parameter.mul_((1 + columns) * (0.5 + rows))


def trained_model(steps: int = 40) -> tuple[LoopLMForCausalLM, PreTrainedTokenizerFast]:
    """A small model trained on one file of Rust, and its tokenizer."""
    text = RUST.read_text()
    tokenizer = train_tokenizer([text], 400, 2048)
    tokens = torch.tensor(tokenizer(text)["input_ids"])
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = LoopLMForCausalLM(
        LoopLMConfig(
            vocab_size=448,
            hidden_size=256,
            intermediate_size=512,
            num_shared_layers=2,
            num_loops=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            ternary_group_size=256,
            tie_word_embeddings=False,
            initializer_range=0.04,
        )
    )
    vary_scales(model, generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        starts = torch.randint(0, len(tokens) - 48, (5,), generator=generator).tolist()
        batch = torch.stack([tokens[start : start + 48] for start in starts])
        model(input_ids=batch, labels=batch, use_cache=False).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model.eval(), tokenizer


def without_permutation(file: GgufFile) -> Changes:
    """Rows of queries and keys in the model's order instead of llama.cpp's."""
    heads = {
        "attn_q": file.metadata["nanbeige.attention.head_count"],
        "attn_k": file.metadata["nanbeige.attention.head_count_kv"],
    }
    return {
        tensor.offset: restore_rotary(file.raw(name), heads[name.split(".")[2]]).tobytes()
        for name, tensor in file.tensors.items()
        if name.split(".")[-2] in heads
    }


def without_the_norm_between_loops(file: GgufFile) -> Changes:
    """No norm between the loops."""
    return {file.value_offsets["nanbeige.skip_loop_final_norm"]: b"\1"}


def with_other_rotary_base(file: GgufFile) -> Changes:
    """A rotary base of 500 instead of the model's."""
    return {file.value_offsets["nanbeige.rope.freq_base"]: struct.pack("<f", 500.0)}


def with_one_loop_more(file: GgufFile) -> Changes:
    """A loop more than the model has."""
    loops = file.metadata["nanbeige.num_loops"]
    return {file.value_offsets["nanbeige.num_loops"]: struct.pack("<I", loops + 1)}


def with_merges_backwards(file: GgufFile) -> Changes:
    """Merges in reversed order."""
    offset = file.value_offsets["tokenizer.ggml.merges"] + 12  # Behind the type and the length of the array.
    strings = [merge.encode() for merge in reversed(file.metadata["tokenizer.ggml.merges"])]
    return {offset: b"".join(struct.pack("<Q", len(string)) + string for string in strings)}


def without_bos(file: GgufFile) -> Changes:
    """No bos token at the start of a text."""
    return {file.value_offsets["tokenizer.ggml.add_bos_token"]: b"\0"}


def _with_scales(file: GgufFile, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Changes:
    """Change the scales (rows, blocks) of ternary matrices, given the codes (rows, blocks, weights per block)."""
    changes = {}
    for name, tensor in file.tensors.items():
        if name.startswith("blk.") and tensor.format.name in SCALES_IN_BLOCK:
            codes = np.sign(file.values(name)).reshape(tensor.shape[0], -1, tensor.format.block)
            halves = file.raw(name).reshape(*codes.shape[:2], tensor.format.block_bytes).copy().view("<f2")
            places = SCALES_IN_BLOCK[tensor.format.name]
            scales = change(codes, halves[..., places[0]].astype(np.float32))
            for place in places:
                halves[..., place] = scales
            changes[tensor.offset] = halves.tobytes()
    return changes


def with_scales_swapped(file: GgufFile) -> Changes:
    """Every row with its neighbor's scales."""
    return _with_scales(file, lambda codes, scales: np.roll(scales, 1, axis=0))


def with_scales_of_ternary_weights(file: GgufFile) -> Changes:
    """Ternary weights quantized again by their mean magnitude, which the zeros lower."""
    return _with_scales(file, lambda codes, scales: scales * np.abs(codes).mean(axis=-1))


@dataclass(frozen=True)
class Fault:
    """A way to break a file, and the types of files that it applies to."""

    title: str
    changes: Callable[[GgufFile], Changes]
    types: tuple[str, ...]


PACKED = tuple(type for type in TYPES if type != "f32")

FAULTS = (
    Fault("rows of queries and keys not reordered", without_permutation, TYPES),
    Fault("no norm between the loops", without_the_norm_between_loops, TYPES),
    Fault("another rotary base", with_other_rotary_base, TYPES),
    Fault("one loop more", with_one_loop_more, ("f32",)),
    Fault("scales swapped between rows", with_scales_swapped, PACKED),
    Fault("ternary weights quantized again", with_scales_of_ternary_weights, PACKED),
    Fault("merges in the wrong order", with_merges_backwards, ("f32",)),
    Fault("no bos token in front", without_bos, ("f32",)),
)


def patched(file: GgufFile, path: Path, changes: Changes) -> Path:
    """Write the file to `path` with replaced bytes at the given offsets."""
    content = bytearray(file.path.read_bytes())
    for offset, replacement in changes.items():
        content[offset : offset + len(replacement)] = replacement
    path.write_bytes(content)
    return path
