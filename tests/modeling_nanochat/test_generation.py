"""Every way of decoding gives what a plain forward pass over the whole text gives."""

import pytest
import torch
from transformers import ContinuousBatchingConfig, DynamicCache, GenerationConfig, StaticCache

from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.tiny import random_tokens, tiny_model

NEW_TOKENS = 12
EXACT = 1e-5
INT8 = 2e-2
SETTINGS = {
    "one_stream": dict(mhc_num_streams=1),
    "two_streams": dict(mhc_num_streams=2),
    "four_static_streams_sandwich": dict(mhc_num_streams=4, mhc_dynamic=False, sandwich_norm=True),
    "biases_and_norms_of_heads": dict(attention_bias="qkvo", qk_norm=True),
    "one_scale_per_tensor_tied": dict(ternary_group_size=-1, tie_word_embeddings=True),
}


@pytest.fixture(scope="module", params=SETTINGS, ids=list(SETTINGS))
def model(request):
    return tiny_model(**SETTINGS[request.param])


def greedy(model, tokens, **kwargs):
    kwargs = dict(max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False) | kwargs
    return model.generate(tokens, **kwargs)


def cached_logits(model, tokens, cache, num_prefill=5, **kwargs):
    """Prefill, then one token at a time."""
    pieces = [tokens[:, :num_prefill], *tokens[:, num_prefill:].split(1, dim=1)]
    with torch.no_grad():
        return torch.cat([model(piece, past_key_values=cache, use_cache=True, **kwargs).logits for piece in pieces], 1)


@torch.no_grad()
def test_the_dynamic_cache_gives_the_uncached_tokens_and_logits(model):
    tokens = random_tokens(2, 9)
    assert len(set(greedy(model, tokens)[0, 9:].tolist())) > 2, "a constant output would prove nothing"
    assert torch.equal(greedy(model, tokens), greedy(model, tokens, use_cache=False))
    logits = cached_logits(model, tokens, DynamicCache(config=model.config))
    torch.testing.assert_close(logits, model(tokens).logits, atol=EXACT, rtol=EXACT)


@torch.no_grad()
def test_the_static_cache_gives_the_uncached_tokens_and_logits(model):
    tokens = random_tokens(2, 9)
    assert torch.equal(greedy(model, tokens, cache_implementation="static"), greedy(model, tokens, use_cache=False))
    logits = cached_logits(model, tokens, StaticCache(config=model.config, max_cache_len=16))
    torch.testing.assert_close(logits, model(tokens).logits, atol=EXACT, rtol=EXACT)


@torch.no_grad()
@pytest.mark.parametrize("make_cache", [DynamicCache, lambda config: StaticCache(config, max_cache_len=16)])
def test_int8_activations_stay_within_their_rounding(make_cache):
    model = tiny_model(activation_bits=8)
    tokens = random_tokens(2, 9)
    logits = cached_logits(model, tokens, make_cache(config=model.config))
    assert (logits - model(tokens).logits).abs().max() < INT8


@torch.no_grad()
def test_a_left_padded_batch_equals_its_rows_alone(model):
    rows = [random_tokens(1, length, seed=length) for length in (4, 7, 9)]
    padded = torch.cat([torch.nn.functional.pad(row, (9 - row.shape[1], 0), value=0) for row in rows])
    mask = torch.cat([torch.nn.functional.pad(torch.ones_like(row), (9 - row.shape[1], 0)) for row in rows])
    batch = greedy(model, padded, attention_mask=mask)
    for row, generated in zip(rows, batch, strict=True):
        assert torch.equal(greedy(model, row)[0, row.shape[1] :], generated[9:])
    position_ids = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(padded, attention_mask=mask, position_ids=position_ids).logits
    for row, row_logits in zip(rows, logits, strict=True):
        torch.testing.assert_close(row_logits[-row.shape[1] :], model(row).logits[0], atol=EXACT, rtol=EXACT)


def test_beam_search_gives_the_same_with_and_without_cache(model):
    tokens = random_tokens(2, 6)
    with_cache = greedy(model, tokens, num_beams=3)
    assert torch.equal(with_cache, greedy(model, tokens, num_beams=3, use_cache=False))


def test_prompt_lookup_gives_the_greedy_tokens(model):
    tokens = random_tokens(1, 5).repeat(1, 3)
    assert torch.equal(greedy(model, tokens, prompt_lookup_num_tokens=3), greedy(model, tokens))


def test_continuous_batching_gives_the_greedy_tokens():
    model = tiny_model()
    prompts = [random_tokens(1, length, seed=length)[0].tolist() for length in (3, 8, 5)]
    settings = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    small = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=64)
    results = model.generate_batch(prompts, generation_config=settings, continuous_batching_config=small)
    generated = [output.generated_tokens for output in results.values()]
    assert generated == [greedy(model, torch.tensor([prompt]))[0, len(prompt) :].tolist() for prompt in prompts]


@torch.no_grad()
@pytest.mark.parametrize("attention", ["eager", pytest.param("flex_attention", marks=pytest.mark.slow)])
def test_attention_implementations_agree(attention):
    model, other = tiny_model(), tiny_model()
    other.set_attn_implementation(attention)
    tokens = random_tokens(2, 16)
    torch.testing.assert_close(other(tokens).logits, model(tokens).logits, atol=EXACT, rtol=EXACT)


@pytest.mark.parametrize("num_loops", [1, 2, 5])
@pytest.mark.parametrize("cache_implementation", ["dynamic", "static"])
def test_another_number_of_loops_at_run_time_decodes_with_its_own_cache(num_loops, cache_implementation):
    model = tiny_model()
    tokens = random_tokens(2, 6)
    generated = greedy(model, tokens, num_loops=num_loops, cache_implementation=cache_implementation)
    assert torch.equal(generated, greedy(model, tokens, num_loops=num_loops, use_cache=False))
    assert not torch.equal(generated, greedy(model, tokens))


def test_exit_at_loop_is_the_model_of_that_depth():
    model = tiny_model()
    tokens = random_tokens(2, 6)
    for loop in (1, 2, 3):
        assert torch.equal(greedy(model, tokens, exit_at_loop=loop), greedy(model, tokens, num_loops=loop))


@pytest.mark.parametrize("make_cache", [DynamicCache, lambda config: StaticCache(config, max_cache_len=16)])
def test_a_cache_filled_at_one_depth_is_refused_at_a_greater_one(make_cache):
    model = tiny_model()
    tokens = random_tokens(1, 4)
    cache = make_cache(config=model.config)
    model(tokens, past_key_values=cache, num_loops=2)
    for num_loops in (3, 5):
        with pytest.raises(ValueError, match="num_loops must not grow"):
            model(tokens, past_key_values=cache, num_loops=num_loops)
    cache.reset()
    model(tokens, past_key_values=cache, num_loops=3)


def test_a_generation_configuration_says_the_depth_and_a_call_overrides_it(tmp_path):
    model, tokens = tiny_model(), random_tokens(1, 5)
    settings = dict(max_new_tokens=3, do_sample=False, return_dict_in_generate=True)

    def loops(model, **depth):
        return model.generate(tokens, **settings, **depth).loops_used.unique().tolist()

    model.generation_config.num_loops = 1
    model.save_pretrained(tmp_path)
    saved = LoopLMForCausalLM.from_pretrained(tmp_path)
    assert loops(model) == loops(saved) == [1]
    assert loops(saved, num_loops=2) == [2]
    assert loops(saved, generation_config=GenerationConfig(num_loops=2, **settings)) == [2]
    saved.generation_config.num_loops, saved.generation_config.exit_threshold = None, 1e-6
    assert loops(saved) == [1, 3], "the prompt runs all loops"
    assert loops(saved, exit_at_loop=2) == [2], "one form of exit replaces the other"


def test_an_assistant_keeps_its_own_depth():
    model, assistant, tokens = tiny_model(), tiny_model(seed=1), random_tokens(1, 5)
    depths = []
    assistant.model.register_forward_hook(lambda module, inputs, output: depths.append(int(output.loops_used.max())))
    model.generation_config.num_loops = 1
    model.generate(tokens, max_new_tokens=3, do_sample=False, assistant_model=assistant)
    assert set(depths) == {3}


def test_continuous_batching_refuses_a_depth_of_the_generation_configuration():
    with pytest.raises(ValueError, match="runs at the depth of the model's configuration.*'num_loops': 1"):
        tiny_model().generate_batch([[3, 4]], generation_config=GenerationConfig(max_new_tokens=1, num_loops=1))
