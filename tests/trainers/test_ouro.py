"""A converted Ouro checkpoint gives the reference's numbers, loop by loop; anything else is refused before work."""

import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.conversion import convert
from tests.helpers.ouro_reference import exit_distribution, ouro_config, ouro_outputs, ouro_weights
from trainers.data.tokenizer import train_tokenizer


def save_ouro(folder: Path, config: dict, weights: dict[str, torch.Tensor], shards: int = 1) -> Path:
    """A checkpoint as Ouro's are published."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    names = [f"model-{index + 1:05}-of-{shards:05}.safetensors" for index in range(shards)]
    weight_map = {name: names[index % shards] for index, name in enumerate(sorted(weights))}
    for file in names:
        save_file({name: weights[name] for name in weights if weight_map[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def assert_equal_outputs(output, expected: dict[str, torch.Tensor]) -> None:
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(output.logits, expected["logits"], **close)
    torch.testing.assert_close(torch.stack(output.loop_hidden_states), expected["loop_hidden"], **close)
    torch.testing.assert_close(output.gate_logits, expected["gate_logits"], **close)
    torch.testing.assert_close(output.exit_pdf, exit_distribution(expected["gate_logits"]), **close)


@pytest.mark.skipif(not os.environ.get("NANOCHAT_DATA"), reason="NANOCHAT_DATA is not set: Ouro's outputs are there")
@torch.no_grad()
def test_a_converted_checkpoint_equals_what_ouros_own_code_computed(tmp_path):
    folder = Path(os.environ["NANOCHAT_DATA"]) / "ouro_tiny"
    convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")])
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "converted", trust_remote_code=True)
    assert not model.config.ternary and model.config.sandwich_norm
    expected = load_file(folder / "expected.safetensors")
    expected["gate_logits"] = expected["gate_logits"].squeeze(-1).permute(1, 2, 0)
    assert_equal_outputs(model(expected["input_ids"], output_loop_states=True), expected)


@pytest.mark.parametrize("key_value_heads", [4, 2, 1])
@torch.no_grad()
def test_grouped_queries_and_other_loop_counts_equal_the_published_equations(tmp_path, key_value_heads):
    config = ouro_config(num_key_value_heads=key_value_heads, total_ut_steps=4)
    weights = ouro_weights(config)
    folder = save_ouro(tmp_path / "ouro", config, weights, shards=3)
    convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")])
    model = LoopLMForCausalLM.from_pretrained(tmp_path / "converted")
    tokens = torch.randint(0, config["vocab_size"], (2, 11), generator=torch.Generator().manual_seed(1))
    for loops in (None, 1, 2, 6):
        expected = ouro_outputs(config, weights, tokens, loops or 4)
        assert_equal_outputs(model(tokens, num_loops=loops, output_loop_states=True), expected)


def test_weights_keep_their_type_and_every_bit_and_come_with_code_and_tokenizer(tmp_path):
    config = ouro_config(torch_dtype="bfloat16")
    weights = ouro_weights(config, dtype=torch.bfloat16)
    folder = save_ouro(tmp_path / "ouro", config, weights, shards=2)
    train_tokenizer(["fn main() {}"], vocab_size=300, max_length=64).save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"max_new_tokens": 7, "eos_token_id": 2}))
    out = tmp_path / "new" / "converted"
    convert(["--model", str(folder), "--output-dir", str(out)])
    written = {name: value for file in out.glob("*.safetensors") for name, value in load_file(file).items()}
    assert {name.replace("early_exit_gate", "exit_gate") for name in weights} == set(written)
    for name, value in weights.items():
        name = name.replace("early_exit_gate", "exit_gate")
        assert written[name].dtype == torch.bfloat16 and torch.equal(written[name], value), name
    model = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=True)
    assert model.lm_head.weight.dtype == torch.bfloat16 and model.generation_config.max_new_tokens == 7
    assert AutoTokenizer.from_pretrained(out)("fn main")["input_ids"][0] == 1
    assert [path.name for path in out.parent.iterdir()] == ["converted"], "nothing else is left"


def test_the_memory_for_a_conversion_does_not_grow_with_the_checkpoint(tmp_path):
    config = ouro_config(vocab_size=160_000)
    folder = save_ouro(tmp_path / "ouro", config, ouro_weights(config))
    assert (folder / "model.safetensors").stat().st_size > 80e6
    tracemalloc.start()
    try:
        convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6


def test_a_ternary_conversion_keeps_latent_weights_and_prints_what_rounding_costs(tmp_path, capsys):
    config = ouro_config()
    weights = ouro_weights(config)
    folder = save_ouro(tmp_path / "ouro", config, weights)
    train_tokenizer(["fn main() {}"], vocab_size=300, max_length=64).save_pretrained(folder)
    text = tmp_path / "text.rs"
    text.write_text("fn add(a: i32, b: i32) -> i32 { a + b }\n" * 4)
    out = tmp_path / "converted"
    convert(["--model", str(folder), "--output-dir", str(out), "--ternary", "--group-size", "32", "--text", str(text)])
    model = LoopLMForCausalLM.from_pretrained(out)
    assert model.config.ternary and model.config.ternary_group_size == 32
    name = "model.layers.1.mlp.down_proj.weight"
    assert torch.equal(model.state_dict()[name], weights[name])

    tokens = torch.tensor([AutoTokenizer.from_pretrained(out)(text.read_text())["input_ids"]])
    losses = []
    for ternary in (False, True):
        model = LoopLMForCausalLM.from_pretrained(out, ternary=ternary)
        # Windows of 64 tokens, of which neighbors share one.
        pieces = [tokens[:, at : at + 64] for at in range(0, tokens.shape[1] - 1, 63)]
        sums = [model(piece, labels=piece).loop_losses[-1].item() * (piece.shape[1] - 1) for piece in pieces]
        losses.append(sum(sums) / (tokens.shape[1] - 1))
    printed = capsys.readouterr().out
    assert f"{losses[0]:.4f} before, {losses[1]:.4f} ternary ({losses[1] - losses[0]:+.4f})" in printed
    assert abs(losses[1] - losses[0]) > 1e-3


def spoil(folder: Path, what: str) -> str:
    """Damage a checkpoint; returns a word of the message."""
    weights = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    if what == "another model":
        config["model_type"] = "gemma"
    elif what == "sliding attention":
        config["use_sliding_window"] = True
    elif what == "no loops":
        del config["total_ut_steps"]
    elif what == "a tensor is missing":
        del weights["model.layers.1.input_layernorm_2.weight"]
    elif what == "a tensor too many":
        weights["model.layers.1.self_attn.q_norm.weight"] = torch.ones(16)
    elif what == "another shape":
        weights["model.layers.0.mlp.up_proj.weight"] = torch.ones(8, 64)
    elif what == "quantized":
        weights["model.layers.0.mlp.up_proj.weight"] = torch.ones(96, 64, dtype=torch.int8)
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
        return "model.safetensors"
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    if what == "cut off":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
    return {
        "another model": "model_type must be one of ouro, llama, mistral, qwen2, qwen3, got 'gemma'",
        "sliding attention": "use_sliding_window must be False",
        "no loops": "lacks total_ut_steps",
        "a tensor is missing": "lacks 1 tensors that config.json asks for: model.layers.1.input_layernorm_2.weight",
        "a tensor too many": "does not have: model.layers.1.self_attn.q_norm.weight",
        "another shape": "up_proj.weight is F32 [8, 64] and not float [96, 64]",
        "quantized": "up_proj.weight is I8 [96, 64] and not float",
        "cut off": "not a whole safetensors file",
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "another model",
        "sliding attention",
        "no loops",
        "a tensor is missing",
        "a tensor too many",
        "another shape",
        "quantized",
        "no weights",
        "cut off",
    ],
)
def test_what_is_no_ouro_checkpoint_is_refused_and_nothing_is_written(tmp_path, capsys, what):
    config = ouro_config()
    folder = save_ouro(tmp_path / "ouro", config, ouro_weights(config))
    message = spoil(folder, what)
    assert convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "converted").exists()


def test_a_missing_shard_and_an_output_that_exists_are_refused(tmp_path, capsys):
    config = ouro_config()
    folder = save_ouro(tmp_path / "ouro", config, ouro_weights(config), shards=2)
    assert convert(["--model", str(folder), "--output-dir", str(tmp_path)]) == 2
    assert f"output_dir must not exist yet, got {str(tmp_path)!r}" in capsys.readouterr().err
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")]) == 2
    assert "lacks model-00002-of-00002.safetensors" in capsys.readouterr().err


def test_a_group_size_that_does_not_divide_is_refused_by_name(tmp_path, capsys):
    config = ouro_config()
    folder = save_ouro(tmp_path / "ouro", config, ouro_weights(config))
    assert convert([str(folder), str(tmp_path / "converted"), "--ternary"]) == 2
    assert "group_size must be -1 or divide all input widths 64, 96, as 32, 16 do, got 128" in capsys.readouterr().err


def test_an_interrupted_conversion_leaves_nothing(tmp_path, monkeypatch):
    config = ouro_config()
    folder = save_ouro(tmp_path / "ouro", config, ouro_weights(config))
    monkeypatch.setattr(shutil, "copyfile", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["ouro"]
