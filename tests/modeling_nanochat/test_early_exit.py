"""Tokens leave after different loops: the work is really skipped, and nothing else sees that they left."""

import copy
from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional as F
from transformers import CompileConfig, ContinuousBatchingConfig, DynamicCache, StaticCache
from transformers.generation import GenerateDecoderOnlyOutput

from modeling_nanochat.exit_nanochat import EarlyExit, exit_log_probabilities, exit_loops
from tests.helpers.tiny import greedy, random_tokens, tiny_model

EXACT = 1e-5
LOOPS, LAYERS = 4, 2
THRESHOLDS = (0.5, 0.8, 0.95)


@pytest.fixture(scope="module", params=[1, 2], ids=["one_stream", "two_streams"])
def model(request):
    return tiny_model(num_loops=LOOPS, mhc_num_streams=request.param)


@contextmanager
def counted_layer_calls(model):
    calls = [0]

    def count(*_):
        calls[0] += 1

    hooks = [layer.register_forward_hook(count) for layer in model.model.layers]
    yield calls
    for hook in hooks:
        hook.remove()


def decode(model, tokens, num_prompt, step=1, **kwargs):
    """The prompt, then `step` tokens per pass: the logits, the loops used and the cache."""
    cache = DynamicCache(config=model.config)
    outputs = [
        model(piece, past_key_values=cache, **kwargs)
        for piece in (tokens[:, :num_prompt], *tokens[:, num_prompt:].split(step, dim=1))
    ]
    return torch.cat([each.logits for each in outputs], 1), torch.cat([each.loops_used for each in outputs], 1), cache


def decode_at_full_depth(model, tokens, num_prompt, threshold, kv_reuse="none"):
    """
    What `decode` is to give, without skipping anything: each token runs all loops, its prediction is read after the
    loop its whole exit distribution says, and the keys and values it left are put where they belong by hand.
    """
    plain = copy.deepcopy(model)
    plain.config.kv_reuse = "none"
    cache, logits, used = DynamicCache(config=plain.config), [], []
    for start, piece in ((0, tokens[:, :num_prompt]), *enumerate(tokens[:, num_prompt:].split(1, dim=1), num_prompt)):
        output = plain(piece, past_key_values=cache, output_loop_states=True)
        loops = torch.full_like(piece, LOOPS) if start == 0 else exit_loops(output.exit_pdf, threshold)
        states = torch.stack(output.loop_hidden_states, dim=2)
        index = (loops - 1)[..., None, None].expand(-1, -1, 1, states.shape[-1])
        logits.append(plain.lm_head(states.gather(2, index).squeeze(2)))
        used.append(loops)
        for layer in range(LAYERS):
            slots = [cache.layers[loop * LAYERS + layer] for loop in range(LOOPS)]
            written = [(slot.keys.clone(), slot.values.clone()) for slot in slots]
            for row, left_after in enumerate(loops[:, -1].tolist()):
                keys, values = written[left_after - 1]
                for slot in slots if kv_reuse == "last" else slots[left_after:]:
                    slot.keys[row, :, start:] = keys[row, :, start:]
                    slot.values[row, :, start:] = values[row, :, start:]
    return torch.cat(logits, 1), torch.cat(used, 1), cache


@torch.no_grad()
def test_a_threshold_of_one_is_full_depth_bit_for_bit(model):
    tokens = random_tokens(2, 9)
    for threshold in (1, 7.5):
        found, expected = greedy(model, tokens, exit_threshold=threshold), greedy(model, tokens)
        assert torch.equal(found.sequences, expected.sequences)
        assert (found.loops_used == LOOPS).all() and found.mean_loops.tolist() == [LOOPS, LOOPS]
        assert torch.equal(decode(model, tokens, 4, exit_threshold=threshold)[0], decode(model, tokens, 4)[0])


@torch.no_grad()
@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@pytest.mark.parametrize("threshold", [*THRESHOLDS, 1.0])
def test_it_is_full_depth_read_where_the_gate_says_with_the_keys_and_values_left_there(threshold, kv_reuse):
    model, tokens = tiny_model(num_loops=LOOPS, kv_reuse=kv_reuse), random_tokens(3, 24)
    logits, used, cache = decode(model, tokens, 6, exit_threshold=threshold)
    expected_logits, expected_used, expected_cache = decode_at_full_depth(model, tokens, 6, threshold, kv_reuse)
    assert torch.equal(used, expected_used)
    assert (len(used[:, 6:].unique()) > 1) == (threshold < 1), "one depth for all would prove nothing"
    torch.testing.assert_close(logits, expected_logits, atol=EXACT, rtol=EXACT)
    # No holes: every slot has an entry for every token, and the right one.
    slots = LOOPS * LAYERS if kv_reuse == "none" else LAYERS
    for found, expected in zip(cache.layers[:slots], expected_cache.layers, strict=False):
        torch.testing.assert_close(found.keys, expected.keys, atol=EXACT, rtol=EXACT)
        torch.testing.assert_close(found.values, expected.values, atol=EXACT, rtol=EXACT)


@torch.no_grad()
@pytest.mark.parametrize(
    "threshold", [each if each == 0.8 else pytest.param(each, marks=pytest.mark.slow) for each in THRESHOLDS]
)
def test_a_left_padded_row_equals_the_row_alone_over_64_tokens(threshold):
    model = tiny_model(num_loops=LOOPS)
    rows = [random_tokens(1, length, seed=length) for length in (4, 7, 9)]
    padded = torch.cat([F.pad(row, (9 - row.shape[1], 0), value=0) for row in rows])
    mask = torch.cat([F.pad(torch.ones_like(row), (9 - row.shape[1], 0)) for row in rows])
    batch = greedy(model, padded, 64, attention_mask=mask, exit_threshold=threshold)
    assert len(batch.loops_used.unique()) == LOOPS, "one depth for all would prove nothing"
    for index, row in enumerate(rows):
        alone = greedy(model, row, 64, exit_threshold=threshold)
        assert torch.equal(alone.sequences[0, row.shape[1] :], batch.sequences[index, 9:])
        assert torch.equal(alone.loops_used[0], batch.loops_used[index])


def test_loops_that_no_token_needs_are_not_run(model):
    all_calls = []
    for rows, threshold in ((3, 0.8), (1, 0.01), *((1, threshold) for threshold in THRESHOLDS), (1, 1.0)):
        with counted_layer_calls(model) as calls:
            loops = greedy(model, random_tokens(rows, 6), 16, exit_threshold=threshold).loops_used
        # A pass goes on for its slowest row, and not a layer longer.
        assert calls[0] == LAYERS * int(loops.amax(dim=0).sum())
        all_calls.append(calls[0])
    assert all_calls[1:] == sorted(set(all_calls[1:])), "fewer calls with every lower threshold"
    assert all_calls[-1] == LAYERS * LOOPS * 16


@torch.no_grad()
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_several_tokens_in_one_pass_leave_as_they_would_one_by_one(model, threshold):
    tokens = random_tokens(2, 26)
    one_by_one = decode(model, tokens, 6, exit_threshold=threshold)
    for step in (3, 20):
        together = decode(model, tokens, 6, step, exit_threshold=threshold)
        assert torch.equal(together[1], one_by_one[1])
        # Products over other numbers of rows round differently.
        torch.testing.assert_close(together[0], one_by_one[0], atol=1e-4, rtol=1e-4)
        for found, expected in zip(together[2].layers, one_by_one[2].layers, strict=True):
            torch.testing.assert_close(found.keys, expected.keys, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_padding_does_not_hold_a_pass_open(model):
    tokens = random_tokens(1, 12)
    shallow = decode(model, tokens, 6, 6, exit_threshold=0.01)[1]
    assert (shallow[:, 6:] == 1).all()
    model = copy.deepcopy(model)
    cache = DynamicCache(config=model.config)
    model(tokens[:, :6], past_key_values=cache)
    model.model.exit_gate.bias.fill_(-50.0)  # nobody wants to leave
    mask = torch.ones_like(tokens)
    mask[:, 6:] = 0
    with counted_layer_calls(model) as calls:
        model(tokens[:, 6:], attention_mask=mask, past_key_values=cache, exit_threshold=0.5)
    assert calls[0] == LAYERS


@torch.no_grad()
def test_a_row_that_has_ended_does_not_hold_the_others(model):
    tokens = random_tokens(2, 6)
    settings = dict(new_tokens=24, min_new_tokens=None, exit_threshold=0.8)
    free = greedy(model, tokens, **settings | dict(eos_token_id=-1))
    # The first row ends with its third token; the second goes on.
    eos = int(free.sequences[0, 8])
    second_ends = (free.sequences[1, 6:] == eos).nonzero()
    assert not len(second_ends) or int(second_ends[0]) > 5, "the second row must go on"
    with counted_layer_calls(model) as calls:
        ended = greedy(model, tokens, **settings | dict(eos_token_id=eos, pad_token_id=0))
    own = int((free.sequences[0, 6:] == eos).nonzero()[0]) + 1
    assert (ended.loops_used[0, own:] == 0).all() and (ended.loops_used[0, :own] > 0).all()
    assert float(ended.mean_loops[0]) == pytest.approx(float(free.loops_used[0, :own].float().mean()))
    length = ended.loops_used.shape[1]
    assert torch.equal(ended.loops_used[1], free.loops_used[1, :length])
    needed = ended.loops_used.amax(dim=0)
    needed[own] = max(int(needed[own]), int(free.loops_used[0, own]))  # its end is known one pass later
    assert calls[0] == LAYERS * int(needed.sum())


@torch.no_grad()
def test_the_first_token_and_a_prompt_in_chunks_are_of_full_depth(model):
    tokens = random_tokens(2, 12)
    whole = greedy(model, tokens, exit_threshold=0.5)
    assert (whole.loops_used[:, 0] == LOOPS).all() and (whole.loops_used[:, 1:] < LOOPS).any()
    chunks = greedy(model, tokens, exit_threshold=0.5, prefill_chunk_size=5)
    assert torch.equal(whole.sequences, chunks.sequences) and torch.equal(whole.loops_used, chunks.loops_used)


def test_a_prompt_behind_the_cache_of_an_earlier_turn_is_of_full_depth(model):
    first = greedy(model, random_tokens(1, 6), exit_threshold=0.5)
    passes = []
    hook = model.model.register_forward_hook(lambda module, inputs, output: passes.append(output.loops_used))
    second = torch.cat([first.sequences, random_tokens(1, 5, seed=1)], dim=1)
    greedy(model, second, exit_threshold=0.5, past_key_values=first.past_key_values)
    hook.remove()
    # The last token of the first turn has not been read yet.
    assert passes[0].shape[1] == 6 and (passes[0] == LOOPS).all()
    assert {each.shape[1] for each in passes[1:]} == {1} and min(int(each) for each in passes[1:]) < LOOPS


@pytest.mark.slow
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_prompt_lookup_gives_the_greedy_tokens(model, threshold):
    tokens = random_tokens(1, 5).repeat(1, 3)
    plain = greedy(model, tokens, 32, exit_threshold=threshold)
    with counted_layer_calls(model) as calls:
        looked_up = greedy(model, tokens, 32, exit_threshold=threshold, prompt_lookup_num_tokens=3)
    assert torch.equal(plain.sequences, looked_up.sequences)
    assert torch.equal(plain.loops_used, looked_up.loops_used)
    assert 0 < calls[0] < LAYERS * LOOPS * 32


@torch.no_grad()
@pytest.mark.parametrize("kv_reuse", ["none", "last"])
def test_beam_search_scores_its_sequences_as_decoding_them_alone_does(kv_reuse):
    model, tokens = tiny_model(num_loops=LOOPS, kv_reuse=kv_reuse), random_tokens(2, 6)
    found = greedy(
        model, tokens, num_beams=3, exit_threshold=0.8, output_scores=True, length_penalty=0.0, num_return_sequences=2
    )
    assert found.beam_indices.unique().numel() > 4, "the cache must have been reordered"
    for index, sequence in enumerate(found.sequences[:, None]):
        logits, used, _ = decode(model, sequence, 6, exit_threshold=0.8)
        scores = logits[0, 5:-1].log_softmax(-1).gather(1, sequence[0, 6:, None])
        torch.testing.assert_close(scores.sum(), found.sequences_scores[index], atol=1e-4, rtol=1e-4)
        assert torch.equal(found.loops_used[index], used[0, 5:-1])


@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@pytest.mark.parametrize("threshold", [0.8, 1.0])
def test_a_static_cache_gives_the_tokens_of_a_dynamic_one(threshold, kv_reuse):
    model, tokens = tiny_model(num_loops=LOOPS, kv_reuse=kv_reuse), random_tokens(2, 6)
    dynamic = greedy(model, tokens, exit_threshold=threshold)
    static = greedy(model, tokens, exit_threshold=threshold, cache_implementation="static")
    assert torch.equal(dynamic.sequences, static.sequences)
    assert torch.equal(dynamic.loops_used, static.loops_used)


@torch.no_grad()
def test_the_distribution_of_a_token_that_left_ends_where_it_left(model):
    tokens = random_tokens(2, 12)
    cache, full_cache = DynamicCache(config=model.config), DynamicCache(config=model.config)
    model(tokens[:, :-1], past_key_values=cache), model(tokens[:, :-1], past_key_values=full_cache)
    full = model(tokens[:, -1:], past_key_values=full_cache)
    for threshold in (0.01, 0.5, 0.7):
        own = copy.deepcopy(cache)
        found = model(tokens[:, -1:], past_key_values=own, exit_threshold=threshold, output_loop_states=True)
        assert found.exit_pdf.shape == full.exit_pdf.shape and len(found.loop_hidden_states) == LOOPS
        for row in range(2):
            loop = int(found.loops_used[row, 0])
            pdf, expected = found.exit_pdf[row, 0], full.exit_pdf[row, 0].clone()
            expected[loop - 1], expected[loop:] = expected[loop - 1 :].sum(), 0
            torch.testing.assert_close(pdf, expected, atol=EXACT, rtol=EXACT)
            assert found.gate_logits[row, 0, :loop].isfinite().all() and found.gate_logits[row, 0, loop:].isnan().all()
        assert torch.equal(model.lm_head(found.loop_hidden_states[-1]), found.logits)


def test_tokens_leave_where_the_depth_quality_curve_reads_them():
    logits = torch.randn(4, 50, 5, generator=torch.Generator().manual_seed(0)) * 3
    pdf, states = exit_log_probabilities(logits).exp(), torch.arange(5.0)
    for threshold in (1e-3, 0.3, 0.5, 0.9, 0.999):
        early_exit = EarlyExit(threshold)
        for loop in range(5):
            early_exit.after_loop(states[loop].expand(4, 50, 1), logits[..., loop])
        assert torch.equal(early_exit.loops_used, exit_loops(pdf, threshold))
        assert torch.equal(early_exit.state[..., 0] + 1, early_exit.loops_used.float())


@torch.no_grad()
def test_training_and_passes_without_a_cache_never_leave(model):
    tokens = random_tokens(2, 9)
    expected = model(tokens).logits
    assert torch.equal(model(tokens, exit_threshold=0.01).logits, expected)
    assert torch.equal(model(tokens, exit_threshold=0.01, use_cache=False).logits, expected)
    assert model(tokens, exit_threshold=0.01, labels=tokens).loss == model(tokens, labels=tokens).loss
    trained = copy.deepcopy(model).train()
    assert (greedy(trained, tokens, exit_threshold=0.01).loops_used == LOOPS).all()
    cache = DynamicCache(config=model.config)
    model(tokens, past_key_values=cache)
    with_labels = model(tokens[:, :3], past_key_values=cache, labels=tokens[:, :3], exit_threshold=0.01)
    assert (with_labels.loops_used == LOOPS).all() and with_labels.loss.isfinite()


def test_every_form_of_depth_is_an_argument_of_generate_and_tells_its_loops():
    model, tokens = tiny_model(num_loops=LOOPS), random_tokens(2, 6)
    for arguments, loops in ((dict(num_loops=2), 2), (dict(exit_at_loop=3), 3), (dict(num_loops=5), 5)):
        assert (greedy(model, tokens, **arguments).loops_used == loops).all()
    assert isinstance(greedy(model, tokens, exit_threshold=0.5, return_dict_in_generate=False), torch.Tensor)
    found = greedy(model, tokens, exit_threshold=0.5, num_loops=2)
    assert found.loops_used.shape == (2, 12) and found.loops_used.unique().tolist() == [1, 2]
    torch.testing.assert_close(found.mean_loops, found.loops_used.float().mean(dim=1))
    configured = copy.deepcopy(model)
    configured.config.exit_threshold = 0.5
    assert torch.equal(greedy(configured, tokens).loops_used, greedy(model, tokens, exit_threshold=0.5).loops_used)
    # An argument replaces the other form in the configuration.
    assert (greedy(configured, tokens, exit_at_loop=3).loops_used == 3).all()
    configured.config.exit_threshold, configured.config.exit_at_loop = 1.0, 1
    assert greedy(configured, tokens, exit_threshold=0.5).loops_used.max() == LOOPS


def test_another_models_assistant_has_its_own_depth():
    model, assistant = tiny_model(), tiny_model(num_shared_layers=1)
    tokens = random_tokens(1, 6)
    found = greedy(model, tokens, exit_threshold=0.8, assistant_model=assistant)
    assert torch.equal(found.sequences, greedy(model, tokens, exit_threshold=0.8).sequences)


def test_a_decoding_loop_of_the_users_own_is_not_counted():
    def own_loop(model, input_ids, **kwargs):
        return GenerateDecoderOnlyOutput(sequences=input_ids)

    tokens = random_tokens(1, 4)
    assert list(greedy(tiny_model(), tokens, custom_generate=own_loop)) == ["sequences"]


def test_what_cannot_be_is_refused_with_its_reason():
    model, tokens = tiny_model(), random_tokens(1, 4)
    with pytest.raises(ValueError, match="needs a cache.*use_cache=False"):
        greedy(model, tokens, exit_threshold=0.5, use_cache=False)
    with pytest.raises(ValueError, match="exclude each other"):
        greedy(model, tokens, exit_threshold=0.5, exit_at_loop=2)
    with pytest.raises(ValueError, match="exit_threshold must be a finite number > 0, got nan"):
        model(tokens, exit_threshold=float("nan"))
    everywhere = CompileConfig(backend="eager")
    everywhere._compile_all_devices = True
    with pytest.raises(ValueError, match="compiled static cache: the number of loops"):
        greedy(model, tokens, exit_threshold=0.5, cache_implementation="static", compile_config=everywhere)
    model.config.exit_threshold = 0.5
    small = ContinuousBatchingConfig(num_blocks=16, max_batch_tokens=64)
    with pytest.raises(ValueError, match="continuous batching cannot be used with exit_threshold=0.5: its paged"):
        model.generate_batch([[3, 4]], continuous_batching_config=small)


@torch.no_grad()
def test_a_compiled_pass_refuses_to_leave_early():
    model, tokens = tiny_model(num_shared_layers=1, num_loops=2, exit_threshold=0.5), random_tokens(1, 6)
    cache = StaticCache(config=model.config, max_cache_len=8)
    model(tokens, past_key_values=cache)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(Exception, match="exit_threshold below 1 cannot be compiled"):
        compiled(tokens[:, :1], past_key_values=cache)
