"""`kv_reuse="last"`: the cache of one loop instead of all, after a prompt that is read as ever."""

import pytest
import torch
from transformers import CompileConfig, ContinuousBatchingConfig, DynamicCache

from tests.helpers.tiny import greedy, random_tokens, tiny_model

LOOPS, LAYERS = 4, 2


def cache_bytes(cache) -> int:
    tensors = [t for layer in cache.layers if layer.is_initialized for t in (layer.keys, layer.values)]
    return sum(tensor.untyped_storage().nbytes() for tensor in {id(tensor): tensor for tensor in tensors}.values())


@torch.no_grad()
@pytest.mark.parametrize("cache_implementation", ["dynamic", "static"])
@pytest.mark.parametrize("threshold", [0.8, 1.0])
def test_the_cache_takes_one_loops_bytes(cache_implementation, threshold):
    sizes = {}
    for kv_reuse in ("none", "last"):
        model = tiny_model(num_loops=LOOPS, kv_reuse=kv_reuse)
        settings = dict(cache_implementation=cache_implementation, exit_threshold=threshold)
        sizes[kv_reuse] = cache_bytes(greedy(model, random_tokens(2, 6), **settings).past_key_values)
    assert sizes["none"] == LOOPS * sizes["last"] > 0
    # Two rows, 17 tokens, keys and values of two heads of 8 numbers in 4 bytes, per layer.
    assert sizes["last"] == LAYERS * 2 * 17 * 2 * 2 * 8 * 4


@torch.no_grad()
def test_the_prompt_and_the_first_token_are_those_of_all_loops():
    shared, plain, tokens = tiny_model(kv_reuse="last"), tiny_model(), random_tokens(2, 9)
    assert torch.equal(shared(tokens).logits, plain(tokens).logits)
    assert torch.equal(greedy(shared, tokens, 1).sequences, greedy(plain, tokens, 1).sequences)
    for model in (shared.train(), plain.train()):
        with torch.enable_grad():
            model(tokens, labels=tokens).loss.backward()
    for found, expected in zip(shared.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad)


@torch.no_grad()
def test_later_tokens_differ_because_the_policy_does():
    tokens = random_tokens(2, 12)
    logits = {}
    for kv_reuse in ("none", "last"):
        model = tiny_model(kv_reuse=kv_reuse)
        cache = DynamicCache(config=model.config)
        logits[kv_reuse] = [model(piece, past_key_values=cache).logits for piece in (tokens[:, :-1], tokens[:, -1:])]
    assert torch.equal(logits["none"][0], logits["last"][0])
    assert not torch.allclose(logits["none"][1], logits["last"][1], atol=1e-3)


@torch.no_grad()
def test_depth_may_change_from_pass_to_pass():
    model, tokens = tiny_model(kv_reuse="last"), random_tokens(1, 8)
    cache = DynamicCache(config=model.config)
    for piece, num_loops in zip(tokens.split(2, dim=1), (3, 1, 5, 2), strict=True):
        assert model(piece, past_key_values=cache, num_loops=num_loops).logits.isfinite().all()
    assert cache.get_seq_length() == 8


@pytest.mark.slow
def test_a_compiled_static_cache_gives_the_tokens_of_a_dynamic_one():
    model, tokens = tiny_model(num_shared_layers=1, num_loops=2, kv_reuse="last"), random_tokens(2, 6)
    everywhere = CompileConfig(backend="eager", fullgraph=True)
    everywhere._compile_all_devices = True
    settings = dict(cache_implementation="static", compile_config=everywhere)
    assert torch.equal(greedy(model, tokens, **settings).sequences, greedy(model, tokens).sequences)


def test_what_would_read_other_keys_is_refused_with_its_reason():
    model, tokens = tiny_model(kv_reuse="last"), random_tokens(1, 6)
    with pytest.raises(ValueError, match='kv_reuse="last" cannot be used with assisted decoding or prompt lookup'):
        greedy(model, tokens, prompt_lookup_num_tokens=3)
    with pytest.raises(ValueError, match='kv_reuse="last" cannot be used with prefill_chunk_size'):
        greedy(model, tokens, prefill_chunk_size=3)
    with pytest.raises(ValueError, match='kv_reuse="last" needs a dynamic or static cache that is not offloaded'):
        model(tokens, past_key_values=DynamicCache(config=model.config, offloading=True))
    small = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=64)
    with pytest.raises(ValueError, match='continuous batching cannot be used with kv_reuse="last"'):
        model.generate_batch([[3, 4]], continuous_batching_config=small)
    cache = DynamicCache(config=model.config)
    model(tokens, past_key_values=cache)
    with pytest.raises(ValueError, match='kv_reuse must not change .* computed with kv_reuse="last", got "none"'):
        tiny_model()(tokens, past_key_values=cache)
