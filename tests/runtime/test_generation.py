"""Generation by the native engine: batches, samples, stop rules, and clear errors."""

from typing import Any

import pytest
import torch

from runtime.engine import Engine
from runtime.settings import SamplingSettings
from tests.helpers.tiny import random_tokens, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model(activation_bits=8)


@pytest.fixture(scope="module")
def engine(model):
    return Engine.from_model(model, threads=1)


PROMPTS = [random_tokens(1, length, seed=length)[0].tolist() for length in (3, 17, 1, 40)]


@pytest.mark.parametrize("exit_threshold", [1.0, 0.6])
@pytest.mark.parametrize("outer", [{}, dict(num_prelude_layers=1, num_coda_layers=1, loop_update="scaled")])
def test_batches_samples_and_threads_change_no_bit(exit_threshold, outer):
    model = tiny_model(activation_bits=8, **outer)
    engine = Engine.from_model(model, threads=1)
    sampling: dict[str, Any] = dict(temperature=0.9, top_p=0.95, seed=5)
    length: dict[str, Any] = dict(max_new_tokens=20, num_return_sequences=3, eos_token_id=(7, 8, 9, 10))
    settings = sampling | length | dict(exit_threshold=exit_threshold)
    together = engine.generate(PROMPTS, SamplingSettings(**settings, batch_size=8))
    alone = engine.generate(PROMPTS, SamplingSettings(**settings, batch_size=1))
    threads = Engine.from_model(model, threads=3).generate(PROMPTS, SamplingSettings(**settings, batch_size=5))
    assert together == alone == threads
    assert len({tuple(each.token_ids) for each in together}) == 12, "samples differ"


@torch.no_grad()
def test_log_probabilities_are_those_of_the_whole_text(model, engine):
    exact = tiny_model(activation_bits=None)
    settings = SamplingSettings(max_new_tokens=15, temperature=0.7, top_k=5, num_return_sequences=2)
    for number, found in enumerate(Engine.from_model(exact, threads=1).generate(PROMPTS, settings)):
        prompt = PROMPTS[number // 2]
        logits = exact(torch.tensor([prompt + found.token_ids])).logits[0, len(prompt) - 1 : -1] / 0.7
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(found.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(found.log_probabilities), expected, atol=1e-4)


def test_completions_end_by_token_or_by_callback_and_the_others_go_on(engine):
    settings = SamplingSettings(max_new_tokens=12)
    whole = engine.generate(PROMPTS, settings)
    counts = [0] * 4

    def second_ends_after_three(completion, token):
        assert whole[completion].token_ids[counts[completion]] == token
        counts[completion] += 1
        return completion == 1 and counts[1] == 3

    found = engine.generate(PROMPTS, settings, second_ends_after_three)
    assert [len(each.token_ids) for each in found] == counts == [12, 3, 12, 12]
    end = whole[0].token_ids[4]
    (ended, *_) = engine.generate(PROMPTS, SamplingSettings(max_new_tokens=12, eos_token_id=(end,)))
    assert ended.token_ids == whole[0].token_ids[: whole[0].token_ids.index(end) + 1]


def test_an_error_of_the_callback_reaches_the_caller(engine):
    def fail(completion, token):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.generate(PROMPTS, SamplingSettings(max_new_tokens=12), fail)


@pytest.mark.parametrize(
    "prompts, settings, message",
    [
        ([[]], {}, "a prompt must have at least one token, got none in prompt 0"),
        ([[3, 96]], {}, "token ids must be below vocab_size=96, got 96"),
        ([[3, -1]], {}, "token ids must be below vocab_size=96"),
        ([[3]], dict(temperature=-1.0), "temperature must be finite and >= 0, got -1"),
        ([[3]], dict(top_p=0.0), "top_p must be above 0 and at most 1, got 0"),
        ([[3]], dict(exit_threshold=0.5, exit_at_loop=2), "exclude each other"),
        ([[3]], dict(exit_at_loop=4), "exit_at_loop must be an integer from 1 to num_loops=3, got 4"),
    ],
)
def test_wrong_arguments_get_one_clear_error(engine, prompts, settings, message):
    with pytest.raises(ValueError, match=message):
        engine.generate(prompts, SamplingSettings(max_new_tokens=2, **settings))


@torch.no_grad()
def test_weights_that_are_not_finite_are_refused():
    model = tiny_model(ternary=False)
    model.model.layers[1].mlp.up_proj.weight[3, 4] = torch.nan
    with pytest.raises(ValueError, match=r"layers.1.mlp.up_proj.weight must be finite, got NaN"):
        Engine.from_model(model, threads=1)
