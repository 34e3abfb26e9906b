"""Result of `verify_gguf` for files that are broken on purpose: how far outside of its tolerances they are.

    python benchmarks/gguf_faults.py --report docs/gguf_faults.md

A small model is trained on built-in Rust for a few seconds and exported. The file is then broken in one way at a time
(each is a mistake that an exporter can make) and compared with the model in stock llama.cpp. The tests break files by
the same functions.
"""

import argparse
import json
import struct
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40, help="training steps")
    parser.add_argument("--output", type=Path, default=Path("results/gguf_faults.json"), help="JSON file to write")
    parser.add_argument("--report", type=Path, help="Markdown file to write")
    options = parser.parse_args()

import torch
from transformers import PreTrainedTokenizerFast

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.gguf.file import GgufFile
from model_cards.gguf.tensors import restore_rotary
from model_cards.gguf.verify import Agreement, verify_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.data.tokenizer import train_tokenizer

RUST = Path(__file__).resolve().parent.parent / "trainers" / "data" / "builtin_rust" / "enums.rs"
TYPES = ("f32", "q8_0", "q4_0", "tq2_0", "q2_k")
# Positions of the scales in a block, as fp16 numbers counted from its start or its end.
SCALES_IN_BLOCK = {"q8_0": (0,), "q4_0": (0,), "q2_0": (0,), "tq1_0": (-1,), "tq2_0": (-1,), "q2_k": (-1, -2)}

Changes = dict[int, bytes]
"""New bytes by the offset in the file where they are written."""


def vary_scales(model: LoopLMForCausalLM, generator: torch.Generator) -> None:
    """Give norms, rows and groups of 32 columns different scales, so that a mix-up of any two changes the output."""
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5, generator=generator)
            elif "_proj.weight" in name:
                columns = torch.rand(1, parameter.shape[1] // 32, generator=generator).repeat_interleave(32, dim=1)
                rows = torch.rand(parameter.shape[0], 1, generator=generator)
                parameter.mul_((1 + columns) * (0.5 + rows))


def trained_model(steps: int = 40) -> tuple[LoopLMForCausalLM, PreTrainedTokenizerFast]:
    """Train a small model on one file of Rust; returns it with its tokenizer."""
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
    """Leave the rows of queries and keys, with their scales, in the order of transformers."""
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
    """Skip the norm between the loops."""
    return {file.value_offsets["nanbeige.skip_loop_final_norm"]: b"\1"}


def with_other_rotary_base(file: GgufFile) -> Changes:
    """Use the rotary base 500 instead of the model's."""
    return {file.value_offsets["nanbeige.rope.freq_base"]: struct.pack("<f", 500.0)}


def with_one_loop_more(file: GgufFile) -> Changes:
    """Run the blocks once too often."""
    loops = file.metadata["nanbeige.num_loops"]
    return {file.value_offsets["nanbeige.num_loops"]: struct.pack("<I", loops + 1)}


def with_merges_backwards(file: GgufFile) -> Changes:
    """Reverse the order of the merges."""
    offset = file.value_offsets["tokenizer.ggml.merges"] + 12  # after the type and the length of the array
    strings = [merge.encode() for merge in reversed(file.metadata["tokenizer.ggml.merges"])]
    return {offset: b"".join(struct.pack("<Q", len(string)) + string for string in strings)}


def without_bos(file: GgufFile) -> Changes:
    """Add no bos token to a text."""
    return {file.value_offsets["tokenizer.ggml.add_bos_token"]: b"\0"}


def _with_scales(file: GgufFile, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Changes:
    """Change the scales of ternary matrices, (rows, blocks), from codes (rows, blocks, block) and scales."""
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
    """Give every row the scales of the row before it."""
    return _with_scales(file, lambda codes, scales: np.roll(scales, 1, axis=0))


def with_scales_of_ternary_weights(file: GgufFile) -> Changes:
    """Quantize the ternary weights again by their mean magnitude, which zeros make too small."""
    return _with_scales(file, lambda codes, scales: scales * np.abs(codes).mean(axis=-1))


@dataclass(frozen=True)
class Fault:
    """A way to break a file, and the types of files that can be broken so."""

    title: str
    changes: Callable[[GgufFile], Changes]
    types: tuple[str, ...]


PACKED = tuple(type for type in TYPES if type != "f32")
FAULTS = (
    Fault("rows of queries and keys not reordered", without_permutation, TYPES),
    Fault("no norm between the loops", without_the_norm_between_loops, TYPES),
    Fault("wrong rotary base", with_other_rotary_base, TYPES),
    Fault("one extra loop", with_one_loop_more, ("f32",)),
    Fault("scales exchanged between rows", with_scales_swapped, PACKED),
    Fault("ternary weights quantized again", with_scales_of_ternary_weights, PACKED),
    Fault("merges in the wrong order", with_merges_backwards, ("f32",)),
    Fault("no bos token", without_bos, ("f32",)),
)


def patched(file: GgufFile, path: Path, changes: Changes) -> Path:
    """Write a copy of a file to `path`, with other bytes at the given offsets."""
    content = bytearray(file.path.read_bytes())
    for offset, replacement in changes.items():
        content[offset : offset + len(replacement)] = replacement
    path.write_bytes(content)
    return path


def row(title: str, agreement: Agreement) -> str:
    """Return a row of the table."""
    return (
        f"| {title} | `{agreement.type}` | {agreement.max_difference:.2g} | {agreement.kl:.1g} "
        f"| {agreement.top1:.0%} | {agreement.texts - len(agreement.wrong_texts)} of {agreement.texts} | "
        f"{'refused' if agreement.problems else 'accepted'} |"
    )


def main(options: argparse.Namespace) -> None:
    """Run the benchmark and write its results."""
    torch.set_num_threads(1)
    model, tokenizer = trained_model(options.steps)
    found: list[tuple[str, Agreement]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {
            type: export_gguf(LoopLMCheckpoint.from_model(model), tokenizer, Path(folder) / f"{type}.gguf", type=type)
            for type in TYPES
        }
        found += [("none", verify_gguf(file.path, model, tokenizer)) for file in files.values()]
        for fault in FAULTS:
            for type in fault.types:
                path = patched(files[type], Path(folder) / "broken.gguf", fault.changes(files[type]))
                found.append((fault.title, verify_gguf(path, model, tokenizer)))
    lines = [
        "| fault | type | largest difference, nats | KL, nats | same most likely token | equal ids | result |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row(title, agreement) for title, agreement in found),
    ]
    print("\n".join(lines))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    summary = [
        {
            "fault": title,
            "type": each.type,
            "max_difference": each.max_difference,
            "kl": each.kl,
            "top1": each.top1,
            "wrong_texts": each.wrong_texts,
            "problems": each.problems,
        }
        for title, each in found
    ]
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    if options.report:
        options.report.write_text(f"""# What a broken GGUF file looks like

Written by

```bash
python benchmarks/gguf_faults.py --steps {options.steps} --report docs/{options.report.name}
```

A small model is trained for {options.steps} steps on one file of built-in Rust and exported. The files are then
broken in ways that exporters can err, and compared with the model by `verify_gguf`
([gguf.md](gguf.md) describes the comparison). `f32` files are compared with the model without
rounding of activations. A file with another number of loops computes what the model computes with
that number; it is refused because of the number.

{chr(10).join(lines)}
""")


if __name__ == "__main__":
    main(options)
