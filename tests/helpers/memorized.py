"""
A small ternary model that knows four texts by heart: a function that compiles, one that does not, one that does every
other time, and a module that clears the screen for ever.
"""

import torch

from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.tiny import tiny_model

COMPILES = ("fn one() -> u32 {", "\n    1\n}")
FAILS = ("fn two() -> u32 {", "\n    true\n}")
EITHER = ("fn any() -> bool {", "\n    true\n}", "\n    1\n}")

ENDLESS = ("mod endless {", "\x1b[2J" * 12)


def memorized_model():
    """A model that continues each prompt as above, `EITHER` in both ways equally often; no text ends by itself."""
    model = tiny_model(
        vocab_size=448,
        hidden_size=64,
        intermediate_size=128,
        num_shared_layers=1,
        num_loops=2,
        max_position_embeddings=32768,
        ternary_group_size=32,
        activation_bits=8,
        mhc_num_streams=1,
        initializer_range=0.05,
    )
    known = [(prompt, answer + "\n") for prompt, *answers in (COMPILES, FAILS, EITHER) for answer in answers]
    texts = ["".join(pair) for pair in (*known, ENDLESS)]
    inputs = TOKENIZER(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    model.train()
    # Of a size for which more threads only wait for each other.
    torch.set_num_threads(1)
    for _ in range(100):
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()
