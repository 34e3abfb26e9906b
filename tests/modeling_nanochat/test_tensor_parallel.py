"""Two processes that share a model's weights compute what one computes with all of them."""

import json
import os
import subprocess
import sys

import pytest

from modeling_nanochat.parallel_nanochat import check_tensor_parallel
from tests.helpers.paths import HELPERS
from tests.helpers.tiny import tiny_config, tiny_model

MODELS = {
    "float_tied": dict(ternary=False, tie_word_embeddings=True, mhc_num_streams=1),
    "float_biases": dict(ternary=False, attention_bias="qkvo", qk_norm=True),
    "ternary_biases": dict(attention_bias="qkvo", qk_norm=True, mhc_num_streams=1),
    "int8_groups": dict(ternary_group_size=16, activation_bits=8),
    "int8_one_scale": dict(ternary_group_size=-1, activation_bits=8, sandwich_norm=True, kv_reuse="last"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """One launch for all models: starting it costs more than what it does."""
    folder = tmp_path_factory.mktemp("models")
    for name, settings in MODELS.items():
        tiny_model(**settings).save_pretrained(folder / name)
    script = HELPERS / "tensor_parallel_process.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
    finished = subprocess.run(
        [*command, str(folder)], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_logits_of_every_loop_and_generated_tokens_equal_those_of_one_process(found, name):
    assert found[name]["shares"] == 0.5, "each process holds half of a weight"
    for quantity in ("logits", "loop_states", "exit_pdf"):
        assert found[name][quantity] < 1e-5, quantity
    assert found[name]["generates_alike"] == {"dynamic": True, "static": True}
    assert found[name]["leaves_alike"] and len(found[name]["loops"]) > 1, "one depth for all would prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_gradients_equal_those_of_one_process(found, name):
    assert found[name]["loss"] < 1e-5
    assert found[name]["gradients"] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_shared_weight_is_quantized_once_per_pass_and_saved_whole(found, name):
    assert found[name]["same_quantizations"]
    assert found[name]["saves_whole_weights"]


@pytest.mark.slow
def test_a_shared_model_refuses_what_it_cannot_do(found):
    assert found["wide_group"] == (
        "LoopLMConfig.num_attention_heads x head_dim must be a multiple of tp_size=2 x ternary_group_size=32, got 32"
    )
    assert "compile_blocks is not available for a tensor-parallel model" in found["compile_blocks"]
    assert "pack is not available for a tensor-parallel model: pack the whole one" in found["pack"]


@pytest.mark.parametrize(
    "settings, size, message",
    [
        ({}, 4, "num_key_value_heads must be a multiple of tp_size=4, got 2"),
        (
            dict(num_key_value_heads=4, ternary_group_size=8, intermediate_size=40),
            2,
            "intermediate_size must be a multiple of tp_size=2 x ternary_group_size=8, got 40",
        ),
        (
            dict(ternary_group_size=-1, intermediate_size=63),
            2,
            "intermediate_size must be a multiple of tp_size=2, got 63",
        ),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(settings, size, message):
    with pytest.raises(ValueError, match=message):
        check_tensor_parallel(tiny_config(**settings), size)


def test_packed_weights_are_refused_until_they_can_be_divided():
    with pytest.raises(NotImplementedError, match='weight_format="packed" cannot be divided'):
        check_tensor_parallel(tiny_config(weight_format="packed"), 2)
