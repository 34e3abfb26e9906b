"""A model and a tokenizer for the tests of GGUF."""

import torch

from tests.helpers.gguf_faults import RUST, vary_scales
from tests.helpers.tiny import tiny_model
from trainers.data.tokenizer import train_tokenizer

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
    vary_scales(model, torch.Generator().manual_seed(1))
    return model
