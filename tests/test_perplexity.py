"""The loss by depth is the mean over all predicted tokens, and measuring it leaves the model as it was."""

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny import random_tokens, tiny_model

from evaluation.suites.perplexity import best_mixture_of_depths, depth_quality, loss_by_depth


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


def test_a_token_leaves_at_the_first_loop_that_reaches_the_threshold():
    model, tokens = tiny_model(), random_tokens(3, 9)
    blocks = Dataset.from_dict({"input_ids": tokens.tolist()})
    by_depth, thresholds = loss_by_depth(model, blocks), (0.0, 0.3, 0.6, 1.0)
    found = depth_quality(model, blocks, thresholds, batch_size=2)
    assert (found[0].mean_loops, found[-1].mean_loops) == (1, 3)
    assert (found[0].loss, found[-1].loss) == pytest.approx((by_depth[0], by_depth[-1]))
    with torch.no_grad():
        outputs = model(tokens, output_loop_states=True)
        logits = torch.stack([model.lm_head(state) for state in outputs.loop_hidden_states])
    for point in found:
        loops, total = 0, 0.0
        for row in range(3):
            for position in range(8):
                reached, loop = 0.0, 0
                while loop < 3:
                    reached += float(outputs.exit_pdf[row, position, loop])
                    loop += 1
                    if reached >= point.threshold:
                        break
                loops += loop
                scores = logits[loop - 1, row, position]
                total -= float(scores.log_softmax(-1)[tokens[row, position + 1]])
        assert (point.mean_loops, point.loss) == pytest.approx((loops / 24, total / 24), rel=1e-5)


@given(st.lists(st.floats(0, 9), min_size=1, max_size=5), st.floats(0, 1))
def test_no_choice_between_two_depths_is_better_than_the_best_mixture(losses, where):
    mean_loops = 1 + where * (len(losses) - 1)
    best = best_mixture_of_depths(losses, mean_loops)
    below, above = int(mean_loops), min(int(mean_loops) + 1, len(losses))
    neighbours = losses[below - 1] + (mean_loops - below) * (losses[above - 1] - losses[below - 1])
    assert min(losses) - 1e-9 <= best <= neighbours + 1e-9


def test_a_mean_depth_that_no_loop_has_is_refused():
    with pytest.raises(ValueError, match="mean_loops must be from 1 to 2, got 2.5"):
        best_mixture_of_depths([2.0, 1.0], 2.5)
