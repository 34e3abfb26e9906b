"""The benchmark of a training step counts only what computes every gradient."""

import pytest
import torch

from benchmarks.training_step import NoGradient, Shape, measure, ours
from tests.helpers.tiny import random_tokens

SHAPE = Shape(hidden_size=128, intermediate_size=128, layers=2, loops=2, heads=4, vocab_size=96, seq_len=16, batch=1)


def row_of_a_contender(spoil):
    contender = ours(SHAPE, streams=2, compiled=False)
    spoil(contender.model.model.layers[1].mlp.up_proj.weight)
    return measure(contender, SHAPE, random_tokens(1, 16), torch.float32, rounds=1)


def test_a_contender_with_all_gradients_counts():
    row = row_of_a_contender(lambda weight: None)
    assert row["seconds"] > 0 and row["loss_heads"] == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda weight: weight.register_hook(torch.zeros_like),
        lambda weight: weight.register_hook(lambda gradient: gradient * float("nan")),
        lambda weight: weight.requires_grad_(False),
    ],
    ids=["zero", "not finite", "missing"],
)
def test_a_contender_without_a_gradient_does_not_count(spoil):
    with pytest.raises(NoGradient, match="1 parameters .* such as model.layers.1.mlp.up_proj.weight"):
        row_of_a_contender(spoil)
