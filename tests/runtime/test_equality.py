"""The native engine computes what PyTorch computes, for everything a LoopLM can be."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from runtime.engine import Engine
from runtime.settings import SamplingSettings
from tests.helpers.tiny import greedy, random_tokens, tiny_model

# Log-probabilities in nats; all tiny models are computed in single precision.
TOLERANCE = 2e-4
LONGROPE = dict(short_factor=[1.0 + 0.1 * i for i in range(4)], long_factor=[2.0 + i for i in range(4)])
ROPE_TYPES = [
    dict(rope_type="linear", rope_theta=1e4, factor=2.0),
    dict(rope_type="dynamic", rope_theta=1e4, factor=2.0),
    dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16),
    dict(rope_type="llama3", rope_theta=1e4, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0)
    | dict(original_max_position_embeddings=16),
    dict(rope_type="longrope", rope_theta=1e4, factor=2.0, original_max_position_embeddings=16) | LONGROPE,
]
OUTER: dict[str, Any] = dict(num_prelude_layers=1, num_coda_layers=2, loop_update="scaled")
MODELS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "one scale per matrix": dict(ternary_group_size=-1),
    "groups of 4": dict(ternary_group_size=4),
    "float weights": dict(ternary=False),
    "one stream": dict(mhc_num_streams=1),
    "four streams": dict(mhc_num_streams=4),
    "static streams": dict(mhc_num_streams=4, mhc_dynamic=False),
    "a key head per query head": dict(num_key_value_heads=4),
    "one wide key head": dict(num_key_value_heads=1, head_dim=12),
    "Ouro's block": dict(ternary=False, sandwich_norm=True, mhc_num_streams=1, head_dim=8, num_key_value_heads=4),
    "biases of queries, keys and values": dict(attention_bias="qkv", ternary=False, mhc_num_streams=1),
    "all biases of the attention": dict(attention_bias="qkvo"),
    "norms of queries and keys": dict(qk_norm=True, attention_bias="qkvo", num_loops=2),
    "tied": dict(tie_word_embeddings=True),
    "one loop": dict(num_loops=1),
    "keys of the last loop": dict(kv_reuse="last"),
    "exit at a loop": dict(exit_at_loop=2),
    "prelude and coda": OUTER | dict(mhc_num_streams=1),
    "prelude and coda, two streams": OUTER,
    "prelude, coda and keys of the last loop": OUTER | dict(kv_reuse="last"),
    "a scaled core alone": dict(loop_update="scaled", ternary=False),
} | {f"rope {rope['rope_type']}": dict(rope_parameters=rope, max_position_embeddings=24) for rope in ROPE_TYPES}


def in_two_passes(model, tokens, prompt_length, **depth):
    """Logits and loops of a prompt, and of further tokens, each in a pass of its own."""
    outputs = [model(tokens[:, :prompt_length], use_cache=True, **depth)]
    for place in range(prompt_length, tokens.shape[1]):
        cache = outputs[-1].get("cache", outputs[-1].get("past_key_values"))
        step = {"cache" if "cache" in outputs[-1] else "past_key_values": cache}
        outputs.append(model(tokens[:, place : place + 1], **step, **depth))
    return torch.cat([o.logits[0] for o in outputs]), torch.cat([o.loops_used[0] for o in outputs])


def gap(logits, others):
    return (logits.log_softmax(-1) - others.log_softmax(-1)).abs().max().item()


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_prompt_and_decoding_have_the_logits_of_pytorch(name):
    model, tokens = tiny_model(**MODELS[name]), random_tokens(1, 30)
    engine = Engine.from_model(model, threads=1)
    logits, _ = engine.logits(tokens[0])
    assert gap(logits, model(tokens).logits[0]) < TOLERANCE
    logits, loops = engine.logits(tokens[0], prompt_length=21)
    expected, expected_loops = in_two_passes(model, tokens, 21)
    assert gap(logits, expected) < TOLERANCE
    assert loops.tolist() == expected_loops.tolist()


@torch.no_grad()
@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@pytest.mark.parametrize(("streams", "outer"), [(1, {}), (2, {}), (2, OUTER)])
def test_tokens_leave_at_the_same_loop_and_later_tokens_attend_to_their_last_keys(kv_reuse, streams, outer):
    model = tiny_model(num_loops=4, kv_reuse=kv_reuse, mhc_num_streams=streams, **outer)
    tokens = random_tokens(1, 40)
    model.model.exit_gate.weight.mul_(3)
    logits, loops = Engine.from_model(model, threads=1).logits(tokens[0], prompt_length=8, exit_threshold=0.7)
    # In double precision: tokens that leave early pass a small difference on, and PyTorch's own is the larger one.
    expected, expected_loops = in_two_passes(model.double(), tokens, 8, exit_threshold=0.7)
    assert len(set(loops[8:].tolist())) >= 3, "the test needs tokens of different depths"
    assert loops.tolist() == expected_loops.tolist()
    assert gap(logits, expected) < TOLERANCE


@torch.no_grad()
def test_int8_activations_differ_only_by_roundings_that_go_the_other_way():
    # A value close to the middle between two levels is rounded by its last bits, in which any two orders of summation
    # differ. Most tokens are equal up to 1e-5; the others differ as two passes of PyTorch do.
    model, tokens = tiny_model(activation_bits=8), random_tokens(1, 64)
    logits, _ = Engine.from_model(model, threads=1).logits(tokens[0])
    gaps = (logits.log_softmax(-1) - model(tokens).logits[0].log_softmax(-1)).abs().amax(-1)
    assert gaps.median() < 1e-4 and gaps.max() < 0.5


@torch.no_grad()
def test_greedy_tokens_are_those_of_generate_over_200_tokens():
    model, tokens = tiny_model(max_position_embeddings=256), random_tokens(1, 5)
    expected = greedy(model, tokens, 200, eos_token_id=None).sequences[0, 5:]
    (found,) = Engine.from_model(model, threads=1).generate([tokens[0]], SamplingSettings(max_new_tokens=200))
    assert found.token_ids == expected.tolist()


@torch.no_grad()
@pytest.mark.parametrize("outer", [{}, OUTER])
def test_packed_folders_are_read_as_pytorch_reads_them(tmp_path, outer):
    model = tiny_model(activation_bits=None, **outer).pack()
    model.save_pretrained(tmp_path)
    assert any(name.endswith("weight_codes") for name in load_file(tmp_path / "model.safetensors"))
    tokens = random_tokens(1, 20)
    logits, _ = Engine.from_pretrained(tmp_path, threads=1).logits(tokens[0])
    assert gap(logits, model(tokens).logits[0]) < TOLERANCE


@torch.no_grad()
def test_bf16_models_keep_their_weights_and_the_head_may_be_rounded():
    model, reference = tiny_model(ternary=False).bfloat16(), tiny_model(ternary=False)
    # Converted back instead of with `float()`: the frequencies of the rotary embeddings were rounded, too.
    reference.load_state_dict(model.state_dict())
    tokens = random_tokens(1, 20)
    exact = reference(tokens).logits[0]
    logits, _ = Engine.from_model(model, threads=1).logits(tokens[0])
    assert gap(logits, exact) < TOLERANCE
    # The weights of the head are bf16 numbers.
    rounded, _ = Engine.from_model(reference, threads=1, head="bf16").logits(tokens[0])
    assert gap(rounded, exact) < TOLERANCE
    rounded, _ = Engine.from_model(model, threads=1, head="int8").logits(tokens[0])
    assert TOLERANCE < gap(rounded, exact) < 0.5
