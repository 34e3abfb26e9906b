"""With `sandwich_norm` and without ternary layers the model is Ouro's: the reference code's numbers, loop by loop."""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM

pytestmark = pytest.mark.skipif(
    not os.environ.get("NANOCHAT_DATA"), reason="NANOCHAT_DATA is not set: the reference's outputs are there"
)


@torch.no_grad()
def test_logits_gate_and_every_loop_equal_the_reference():
    folder = Path(os.environ["NANOCHAT_DATA"]) / "ouro_tiny"
    reference = json.loads((folder / "config.json").read_text())
    shared = ("vocab_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    config = LoopLMConfig(
        **{name: reference[name] for name in shared},
        num_shared_layers=reference["num_hidden_layers"],
        num_loops=reference["total_ut_steps"],
        max_position_embeddings=reference["max_position_embeddings"],
        rope_parameters={"rope_type": "default", "rope_theta": reference["rope_theta"]},
        tie_word_embeddings=False,
        sandwich_norm=True,
        ternary=False,
    )
    weights = load_file(folder / "model.safetensors")
    model = LoopLMForCausalLM(config).eval()
    model.load_state_dict({name.replace("early_exit_gate", "exit_gate"): value for name, value in weights.items()})

    expected = load_file(folder / "expected.safetensors")
    output = model(expected["input_ids"], output_loop_states=True)
    torch.testing.assert_close(output.logits, expected["logits"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.stack(output.loop_hidden_states), expected["loop_hidden"], atol=1e-5, rtol=1e-5)
    gate_logits = expected["gate_logits"].squeeze(-1).permute(1, 2, 0)
    torch.testing.assert_close(output.gate_logits, gate_logits, atol=1e-5, rtol=1e-5)
