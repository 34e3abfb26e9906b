"""Completions that may begin with some tokens only: the way through the trie, its weights, and clear errors."""

from collections import Counter
from typing import Any

import pytest
import torch

from runtime.engine import Engine
from runtime.settings import Constraint, SamplingSettings
from tests.helpers.tiny import random_tokens, tiny_model

PROMPTS = [random_tokens(1, length, seed=length)[0].tolist() for length in (3, 17)]
# Token 5 and then 7 or 8, or token 6.
TWO_WAYS = Constraint(
    starts=[0, 2, 4], tokens=[5, 6, 7, 8], additions=[-1.5, 0.5, 0.0, 1.0], following=[1, -1, -1, -1]
)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def engine(model):
    return Engine.from_model(model, threads=1)


def test_no_completion_leaves_the_trie_and_prompts_without_one_are_free(engine):
    settings = SamplingSettings(max_new_tokens=3, temperature=1.0, num_return_sequences=200)
    found = engine.generate([PROMPTS[0]] * 2, settings, constraints=[TWO_WAYS, None])
    begins = {tuple(each.token_ids[: 2 if each.token_ids[0] == 5 else 1]) for each in found[:200]}
    assert begins == {(5, 7), (5, 8), (6,)}
    assert len({each.token_ids[0] for each in found[200:]}) > 10
    assert found[200:] == engine.generate([PROMPTS[0]] * 2, settings)[200:]


@torch.no_grad()
def test_frequencies_are_those_of_the_allowed_logits_with_their_additions(model, engine):
    settings = SamplingSettings(max_new_tokens=2, temperature=1.0, num_return_sequences=4000)
    found = Counter(each.token_ids[0] for each in engine.generate(PROMPTS[:1], settings, constraints=[TWO_WAYS]))
    logits = model(torch.tensor(PROMPTS[:1])).logits[0, -1, [5, 6]] + torch.tensor([-1.5, 0.5])
    first = float(logits.softmax(0)[0])
    assert 0.05 < first < 0.95, "both ways are likely enough to be counted"
    assert found[5] / 4000 == pytest.approx(first, abs=0.03)


@torch.no_grad()
def test_log_probabilities_are_those_without_the_constraint(model, engine):
    settings = SamplingSettings(max_new_tokens=2, temperature=0.7, top_p=0.9)
    (found,) = engine.generate(PROMPTS[:1], settings, constraints=[TWO_WAYS])
    logits = model(torch.tensor([PROMPTS[0] + found.token_ids])).logits[0, len(PROMPTS[0]) - 1 : -1] / 0.7
    expected = logits.log_softmax(-1).gather(1, torch.tensor(found.token_ids)[:, None])[:, 0]
    assert torch.allclose(torch.tensor(found.log_probabilities), expected, atol=1e-4)


def test_batches_change_no_bit(engine):
    settings: dict[str, Any] = dict(max_new_tokens=6, temperature=0.9, num_return_sequences=3, exit_threshold=0.6)
    found = [
        engine.generate(PROMPTS, SamplingSettings(**settings, batch_size=size), constraints=[TWO_WAYS, TWO_WAYS])
        for size in (1, 4, 8)
    ]
    assert found[0] == found[1] == found[2]


def test_logits_of_the_last_token_are_the_last_of_all(engine):
    depths: list[dict[str, Any]] = [{}, dict(prompt_length=5, exit_threshold=0.7)]
    for depth in depths:
        logits, loops = engine.logits(PROMPTS[1], **depth)
        last, last_loops = engine.logits(PROMPTS[1], **depth, only_last=True)
        assert torch.equal(last, logits[-1:]) and torch.equal(last_loops, loops[-1:])


ONE: dict[str, Any] = dict(starts=[0, 1], tokens=[5], additions=[0.0], following=[-1])


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(starts=[]), "starts of a constraint must have at least 2 numbers, got 0"),
        (dict(starts=[0, 0], tokens=[], additions=[], following=[]), "must have at least one entry, got none"),
        (dict(tokens=[5, 6]), "must be equally many, got 2, 1 and 1"),
        (dict(starts=[0, 2]), "must begin with 0 and end with the number of entries 1, got 0 and 2"),
        (dict(starts=[0, 2**40, 1]), "must have at least one entry, got entries from 1099511627776"),
        (dict(starts=[-1, 1]), "must begin with 0"),
        (dict(starts=[0, 1, 1]), "at least one entry, got entries from 1 to before 1 in node 1"),
        (dict(tokens=[96]), r"must be below vocab_size=96, got 96 in entry 0 \(prompt 1\)"),
        (dict(tokens=[-1]), "must be below vocab_size=96"),
        (dict(tokens=[2**32 + 5]), "must be below vocab_size=96"),
        (dict(starts=[0, 2], tokens=[5, 5], additions=[0, 0], following=[-1, -1]), "must differ, got 5 twice"),
        (dict(additions=[float("nan")]), "additions of a constraint must be finite, got NaN in entry 0"),
        (dict(following=[1]), "must be -1 or a node after its own, 0, and below 1, got 1 in entry 0"),
        (dict(following=[-(2**62)]), "must be -1 or a node after its own"),
        (dict(following=[0]), "must be -1 or a node after its own, 0, and below 1, got 0"),
        (dict(starts=[0, 1, 2], tokens=[5, 5], additions=[0, 0], following=[1, 0]), "after its own, 1, and below 2"),
    ],
)
def test_wrong_constraints_get_one_clear_error_before_any_token(engine, wrong, message):
    def fail(completion, token):
        raise AssertionError("no token is chosen")

    with pytest.raises(ValueError, match=message):
        constraint = Constraint(**(ONE | wrong))
        engine.generate(PROMPTS, SamplingSettings(max_new_tokens=2), fail, constraints=[None, constraint])


def test_every_prompt_needs_its_constraint_or_none(engine):
    with pytest.raises(ValueError, match="constraints must be one for each of 2 prompts, got 1"):
        engine.generate(PROMPTS, SamplingSettings(max_new_tokens=2), constraints=[TWO_WAYS])
