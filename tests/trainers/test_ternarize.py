"""A float LoopLM becomes ternary with its latent weights; a rotation before changes no output and rounds better."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.ternary_nanochat import quantize_activation, quantize_weight
from nanochat_ternary.__main__ import main
from tests.helpers.tiny import random_tokens, tiny_config
from trainers.conversion.rotation import LOOP_SCALE, rotated
from trainers.conversion.source import Entry
from trainers.conversion.ternarizing import _read_float, ternarize_model
from trainers.data.tokenizer import train_tokenizer

TOKENS = random_tokens(2, 12)
FLOAT = dict(
    ternary=False, mhc_num_streams=1, num_loops=1, hidden_size=48, intermediate_size=80, head_dim=16, activation_bits=8
)


def save_float(folder, dtype=torch.float32, **settings):
    """A random float model, saved in a folder, whose norms, biases and gate are random, too."""
    torch.manual_seed(0)
    model = LoopLMForCausalLM(tiny_config(**(FLOAT | settings))).eval()
    for name, parameter in model.named_parameters():
        if "norm" in name or name.endswith("bias") or "exit_gate" in name:
            nn.init.normal_(parameter, 1.0 if "norm" in name else 0.0, 0.3)
    model.to(dtype).save_pretrained(folder)
    return model


def test_the_weights_stay_byte_for_byte_and_the_record_says_what_their_rounding_costs(tmp_path, capsys):
    folder, out, text = tmp_path / "float", tmp_path / "ternary", tmp_path / "text.rs"
    save_float(folder, torch.bfloat16, vocab_size=300)
    train_tokenizer(["fn main() {}"] * 8, 280, max_length=64).save_pretrained(folder)
    text.write_text("fn main() { let answer = 42; }\n" * 20)
    words = ["--model", str(folder), "--output-dir", str(out), "--group-size", "16", "--text", str(text)]
    assert main(["ternarize", *words]) == 0
    config = LoopLMForCausalLM.from_pretrained(out).config
    assert config.ternary and config.ternary_group_size == 16
    before, after = (load_file(path / "model.safetensors") for path in (folder, out))
    assert before.keys() == after.keys()
    assert all(value.dtype == after[name].dtype and torch.equal(value, after[name]) for name, value in before.items())
    record = json.loads((out / "ternarize.json").read_text())
    losses = record.pop("cross_entropy")
    assert record == {"model": str(folder), "group_size": 16, "rotated": False, "added_parameters": 0}
    assert losses["before"] != losses["after"]
    assert f"{losses['before']:.4f} before, {losses['after']:.4f} ternary" in capsys.readouterr().out


def test_what_cannot_become_ternary_is_refused_before_anything_is_written(tmp_path):
    save_float(tmp_path / "float")
    save_float(tmp_path / "done", ternary=True)
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "config.json").write_text('{"model_type": "llama"}')
    for model, rule in (
        ("done", "must be a float LoopLM, got ternary=True"),
        ("llama", "must be the folder of a LoopLM, got model_type='llama' .* nanochat-ternary convert"),
        ("absent", "must be the folder of a checkpoint"),
        ("float", "group_size must be -1 or divide all input widths 48, 64, 80, as 16 do, got 32"),
    ):
        with pytest.raises(ValueError, match=rule):
            ternarize_model(tmp_path / model, tmp_path / "out", 32)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [
        dict(attention_bias="qkvo", qk_norm=True, tie_word_embeddings=True),
        dict(attention_bias="qkv", num_key_value_heads=1, head_dim=12, num_shared_layers=3, dtype=torch.bfloat16),
    ],
    ids=["tied, biases, norms of heads", "bf16, one value head, widths that are no powers of two"],
)
@torch.no_grad()
def test_a_rotated_model_has_the_logits_and_the_gate_of_the_model_before(tmp_path, settings):
    save_float(tmp_path / "float", **settings)
    before = LoopLMForCausalLM.from_pretrained(tmp_path / "float", dtype=torch.float32)
    found = ternarize_model(tmp_path / "float", tmp_path / "rotated", group_size=-1, rotate=True)
    after = LoopLMForCausalLM.from_pretrained(tmp_path / "rotated", ternary=False)
    assert after.dtype == torch.float32
    assert found.added_parameters == (before.config.tie_word_embeddings and before.lm_head.weight.numel())
    size = sum(parameter.numel() for parameter in before.parameters())
    assert sum(parameter.numel() for parameter in after.parameters()) == size + found.added_parameters
    expected, outputs = before(TOKENS), after(TOKENS)
    torch.testing.assert_close(outputs.logits, expected.logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(outputs.gate_logits, expected.gate_logits, atol=1e-4, rtol=0)
    changed = [
        name
        for name, value in before.state_dict().items()
        if value.shape != after.state_dict()[name].shape or not torch.equal(value, after.state_dict()[name])
    ]
    parts = ("embed_tokens", "q_proj.weight", "v_proj.weight", "o_proj.weight", "up_proj", "down_proj", "v_proj.bias")
    assert all(any(part in name for name in changed) for part in parts)


@torch.no_grad()
def test_a_rotation_lowers_the_error_of_rounding_layers_with_outlier_channels(tmp_path):
    before = save_float(tmp_path / "float", hidden_size=64, intermediate_size=64)
    for block in before.model.layers:
        for layer in (block.self_attn.q_proj, block.self_attn.v_proj, block.mlp.gate_proj, block.mlp.up_proj):
            layer.weight[:, ::16] *= 10
        block.input_layernorm.weight[::16] *= 5
        block.post_attention_layernorm.weight[::16] *= 5
    before.save_pretrained(tmp_path / "float")
    means = []
    for rotate in (False, True):
        ternarize_model(tmp_path / "float", tmp_path / f"{rotate}", group_size=16, rotate=rotate)
        model = LoopLMForCausalLM.from_pretrained(tmp_path / f"{rotate}", ternary=False).eval()
        errors = []
        for layer in (module for module in model.model.layers.modules() if isinstance(module, nn.Linear)):
            layer.register_forward_hook(lambda *call, errors=errors: errors.append(relative_error(*call)))
        model(TOKENS)
        means.append(sum(errors) / len(errors))
    assert means[1] < 0.75 * means[0]


def relative_error(layer, inputs, output):
    rounded = F.linear(quantize_activation(inputs[0]), quantize_weight(layer.weight, 16), layer.bias)
    return ((rounded - output).norm() / output.norm()).item()


@pytest.mark.parametrize(
    "settings, rule",
    [
        (dict(mhc_num_streams=2), "mhc_num_streams must be 1 for a rotation, got 2"),
        (dict(sandwich_norm=True), "sandwich_norm must be False for a rotation"),
        (dict(num_loops=2), 'num_loops must be 1 for a rotation unless loop_update="scaled", got 2'),
    ],
)
def test_a_rotation_that_would_change_the_outputs_is_refused(tmp_path, settings, rule):
    save_float(tmp_path / "float", **settings)
    with pytest.raises(ValueError, match=rule):
        ternarize_model(tmp_path / "float", tmp_path / "out", 16, rotate=True)
    assert not (tmp_path / "out").exists()


def test_steps_of_the_loops_are_rotated_with_one_scale_for_all_dimensions_only(tmp_path):
    save_float(tmp_path / "float", num_loops=2)
    source = _read_float(tmp_path / "float", 16)
    for scale in (torch.full((48,), 0.5), torch.arange(48.0)):
        content = scale.numpy().tobytes()
        entry = Entry(LOOP_SCALE, "F32", (48,), lambda content=content: iter([content]))
        given = replace(source, files=[*source.files, [entry]])
        if scale[0] == scale[1]:
            assert rotated(given).files[-1] == [entry]
        else:
            with pytest.raises(ValueError, match="model.loop_scale must be the same in all dimensions"):
                rotated(given)
