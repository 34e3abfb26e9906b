"""The loss by depth is the mean over all predicted tokens, and measuring it leaves the model as it was."""

import pytest
import torch
from datasets import Dataset
from tiny import random_tokens, tiny_model

from evaluation.suites.perplexity import loss_by_depth


@pytest.mark.parametrize("training", [False, True])
def test_batches_of_unequal_size_count_by_their_tokens(training):
    model = tiny_model(activation_bits=8).train(training)
    tokens = random_tokens(5, 9)
    losses = loss_by_depth(model, Dataset.from_dict({"input_ids": tokens.tolist()}), batch_size=2)
    assert model.training == training
    with torch.no_grad():
        expected = model.eval()(tokens, labels=tokens).loop_losses
    assert losses == pytest.approx(expected.tolist(), rel=1e-5)


def test_deeper_than_trained_can_be_measured():
    blocks = Dataset.from_dict({"input_ids": random_tokens(2, 9).tolist()})
    assert len(loss_by_depth(tiny_model(), blocks, num_loops=5)) == 5


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="blocks must hold at least one row"):
        loss_by_depth(tiny_model(), Dataset.from_dict({"input_ids": []}))
