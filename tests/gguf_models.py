"""Models, a tokenizer and a way to break files, for the tests of GGUF."""

from pathlib import Path

import torch
from tiny import tiny_model

from trainers.data.tokenizer import train_tokenizer

RUST = Path(__file__).parent.parent / "trainers" / "data" / "builtin_rust" / "enums.rs"
TOKENIZER = train_tokenizer([RUST.read_text()], 400, 128)


def gguf_model(**overrides):
    """A random model that llama.cpp can express, with scales, norms and gate that all differ from each other."""
    settings = dict(
        vocab_size=448,
        hidden_size=256,
        intermediate_size=512,
        num_loops=2,
        ternary_group_size=256,
        activation_bits=8,
        mhc_num_streams=1,
        initializer_range=0.04,
    )
    model = tiny_model(**(settings | overrides))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.model.named_parameters():
            if "norm" in name:
                parameter.uniform_(0.5, 1.5, generator=generator)
            elif "_proj.weight" in name:
                columns = torch.rand(1, parameter.shape[1] // 32, generator=generator).repeat_interleave(32, dim=1)
                rows = torch.rand(parameter.shape[0], 1, generator=generator)
                parameter.mul_((1 + columns) * (0.5 + rows))
    return model


def patched(file, path, changes):
    """Write a file's bytes to `path` with others at the given offsets."""
    content = bytearray(file.path.read_bytes())
    for offset, replacement in changes.items():
        content[offset : offset + len(replacement)] = replacement
    path.write_bytes(content)
    return path
