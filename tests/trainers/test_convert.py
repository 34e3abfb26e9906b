"""Converted models of the Llama family compute what transformers' own classes compute; all else is refused."""

import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from modeling_nanochat import LoopLMForCausalLM
from runtime.engine import Engine
from tests.helpers.conversion import convert, family_model, save_family
from trainers.conversion.llama import LLAMAS
from trainers.data.tokenizer import train_tokenizer

LLAMA3 = dict(rope_type="llama3", rope_theta=1e4, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0) | dict(
    original_max_position_embeddings=16
)
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16)
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, tied": ("llama", dict(tie_word_embeddings=True, rms_norm_eps=1e-3)),
    "llama, all biases": ("llama", dict(attention_bias=True)),
    "llama, a key head per query head": ("llama", dict(num_key_value_heads=4)),
    "llama, wide heads": ("llama", dict(head_dim=16)),
    "llama, rope llama3": ("llama", dict(rope_parameters=LLAMA3)),
    "llama, rope yarn": ("llama", dict(rope_parameters=YARN)),
    "llama, rope linear": ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4, factor=2.0))),
    "mistral": ("mistral", {}),
    "mistral, a window as long as the context": ("mistral", dict(sliding_window=64)),
    "qwen2": ("qwen2", dict(rope_parameters=dict(rope_type="default", rope_theta=1e6))),
    "qwen2, tied": ("qwen2", dict(tie_word_embeddings=True, sliding_window=8, use_sliding_window=False)),
    "qwen3": ("qwen3", dict(head_dim=16)),
    "qwen3, all biases, tied": ("qwen3", dict(head_dim=8, attention_bias=True, tie_word_embeddings=True)),
}
TOKENS = torch.randint(3, 96, (2, 40), generator=torch.Generator().manual_seed(1))


def converted(tmp_path: Path, **options: Any) -> LoopLMForCausalLM:
    """Convert tmp_path/source and load the result."""
    assert convert(["--model", str(tmp_path / "source"), "--output-dir", str(tmp_path / "out")]) == 0
    return LoopLMForCausalLM.from_pretrained(tmp_path / "out", **options).eval()


def assert_equal_models(model: LoopLMForCausalLM, source: Any) -> None:
    """Logits of a text at once, and greedy tokens with a cache."""
    torch.testing.assert_close(model(TOKENS).logits, source(TOKENS).logits, atol=1e-4, rtol=1e-4)
    greedy: dict[str, Any] = dict(max_new_tokens=12, min_new_tokens=12, do_sample=False, pad_token_id=0)
    assert torch.equal(model.generate(TOKENS[:, :9], **greedy), source.generate(TOKENS[:, :9], **greedy))


@torch.no_grad()
@pytest.mark.parametrize("name", CASES)
def test_logits_and_greedy_tokens_are_those_of_transformers_own_class(tmp_path, name):
    family, settings = CASES[name]
    source = save_family(tmp_path / "source", family, **settings)
    model = converted(tmp_path)
    config = model.config
    assert (config.num_loops, config.mhc_num_streams, config.ternary) == (1, 1, False)
    assert_equal_models(model, source)


@torch.no_grad()
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_the_native_engine_computes_the_same(tmp_path, family):
    source = save_family(tmp_path / "source", family)
    converted(tmp_path)
    logits, _ = Engine.from_pretrained(tmp_path / "out", threads=1).logits(TOKENS[0], prompt_length=20)
    expected = source(TOKENS[:1]).logits[0].log_softmax(-1)
    torch.testing.assert_close(logits.log_softmax(-1), expected, atol=2e-4, rtol=0)


@torch.no_grad()
def test_merged_lora_with_biases_computes_what_it_computes_unmerged(tmp_path):
    save_family(tmp_path / "source", "qwen2")
    model = converted(tmp_path)
    assert model.config.attention_bias == "qkv" and model.model.layers[0].self_attn.q_proj.bias.abs().max() > 0
    before = model(TOKENS).logits
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "k_proj", "v_proj"], bias="lora_only"))
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and "lora_A" not in name:
            parameter.normal_(0, 0.3)
    unmerged = adapted(TOKENS).logits
    assert (unmerged - before).abs().max() > 0.1
    merged = adapted.merge_and_unload()
    torch.testing.assert_close(merged(TOKENS).logits, unmerged, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_shards_stay_shards_and_bf16_keeps_every_bit(tmp_path):
    source = family_model("qwen2").bfloat16()
    source.save_pretrained(tmp_path / "source", max_shard_size="20KB")
    assert len(list((tmp_path / "source").glob("*.safetensors"))) > 2
    model = converted(tmp_path)
    before, after = source.state_dict(), model.state_dict()
    assert after.keys() - before.keys() == {"model.exit_gate.weight", "model.exit_gate.bias"}
    assert all(torch.equal(after[name], value) and after[name].dtype == value.dtype for name, value in before.items())
    names = [path.name for path in (tmp_path / "source").glob("*.safetensors")]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    # Loaded again: `float()` would keep the frequencies of the rotary embeddings rounded to bf16.
    source = type(source).from_pretrained(tmp_path / "source", dtype=torch.float32).eval()
    assert_equal_models(LoopLMForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32).eval(), source)


def test_tokenizer_chat_template_and_generation_settings_come_along(tmp_path):
    source = save_family(tmp_path / "source", "llama", vocab_size=300)
    tokenizer = train_tokenizer(["fn main() {}"], vocab_size=300, max_length=64)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "source")
    GenerationConfig(max_new_tokens=7, eos_token_id=[2, 5]).save_pretrained(tmp_path / "source")
    model = converted(tmp_path)
    assert model.generation_config.max_new_tokens == 7 and model.generation_config.eos_token_id == [2, 5]
    found: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert found("fn main() {}")["input_ids"] == tokenizer("fn main() {}")["input_ids"]
    assert found.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"
    remote = AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert remote.config.vocab_size == source.config.vocab_size


@torch.no_grad()
def test_old_checkpoints_with_rotary_buffers_and_a_copied_tied_head_are_read(tmp_path):
    source = save_family(tmp_path / "source", "llama", tie_word_embeddings=True)
    path = tmp_path / "source" / "model.safetensors"
    weights = load_file(path)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(weights, path)
    settings = json.loads((tmp_path / "source" / "config.json").read_text())
    settings |= {"rope_theta": 500.0, "rope_scaling": None, "pad_token_id": -1}
    del settings["rope_parameters"]
    (tmp_path / "source" / "config.json").write_text(json.dumps(settings))
    model = converted(tmp_path)
    assert model.config.rope_parameters["rope_theta"] == 500.0 and model.config.pad_token_id is None
    source = type(source).from_pretrained(tmp_path / "source").eval()
    torch.testing.assert_close(model(TOKENS).logits, source(TOKENS).logits, atol=1e-4, rtol=1e-4)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another family": (dict(model_type="gpt2"), "model_type must be one of ouro, llama, mistral, qwen2, qwen3, got"),
    "a looplm": (dict(model_type="nanochat_looplm"), "is that of a LoopLM, which needs no conversion"),
    "no width": (dict(hidden_size=None), "config.json lacks hidden_size"),
    "a word for a number": (dict(hidden_size="wide"), "config.json is not one of model_type llama"),
    "another rope": (dict(rope_parameters=dict(rope_type="mrope")), "rope_type must be one of default, linear"),
    "a rope without its factor": (dict(rope_parameters=dict(rope_type="linear", rope_theta=1e4)), "Missing required"),
    "a part of the rope": (
        dict(rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5)),
        "partial_rotary_factor must be 1: LoopLM rotates whole heads, got 0.5",
    ),
    "a sliding window": (
        dict(model_type="mistral", sliding_window=16),
        "sliding_window must be None or at least max_position_embeddings=64: LoopLM has none, got 16",
    ),
    "sliding layers": (
        dict(model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=1),
        "sliding_window must be None or at least max_position_embeddings=64",
    ),
    "an MLP with biases": (dict(mlp_bias=True), "mlp_bias must be False: LoopLM's MLP has no bias, got True"),
    "another activation": (dict(hidden_act="gelu"), "hidden_act must be 'silu'"),
    "quantized": (dict(quantization_config=dict(quant_method="awq")), "quantization_config must be left out"),
    "a tensor is missing": (dict(num_hidden_layers=3), "lacks 9 tensors that config.json asks for: model.layers.2"),
    "a surplus tensor": (dict(num_hidden_layers=1), "has 9 tensors that LoopLM does not have: model.layers.1."),
    "another shape": (dict(intermediate_size=64), "mlp.down_proj.weight is F32 [32, 48] and not float [32, 64]"),
    "no biases": (dict(model_type="qwen2"), "lacks 6 tensors that config.json asks for"),
    "another head": (dict(tie_word_embeddings=True), "tie_word_embeddings must be False: lm_head.weight and"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_converted_is_refused_in_a_sentence_before_anything_is_written(tmp_path, capsys, what):
    changes, message = REFUSED[what]
    save_family(tmp_path / "source", "llama")
    path = tmp_path / "source" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    assert convert(["--model", str(tmp_path / "source"), "--output-dir", str(tmp_path / "new" / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert [each.name for each in tmp_path.iterdir()] == ["source"]


def test_a_full_disk_an_existing_output_and_an_unknown_model_are_refused(tmp_path, capsys, monkeypatch):
    save_family(tmp_path / "source", "llama")
    words = ["--model", str(tmp_path / "source"), "--output-dir"]
    assert convert([*words, str(tmp_path)]) == 2
    assert "output_dir must not exist yet" in capsys.readouterr().err
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1000, 900, 100))
    assert convert([*words, str(tmp_path / "new" / "out")]) == 2
    assert "bytes of disk" in capsys.readouterr().err
    assert convert(["--model", str(tmp_path / "nothing"), "--output-dir", str(tmp_path / "out")]) == 2
    assert "model must be the folder of a checkpoint with config.json" in capsys.readouterr().err
    assert convert(["--model", str(tmp_path / "no.gguf"), "--output-dir", str(tmp_path / "out")]) == 2
    assert "model must be a GGUF file that exists" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["source"]


def test_every_family_has_a_test_of_its_logits():
    assert {family.model_type for family in LLAMAS} == {family for family, _ in CASES.values()}


@torch.no_grad()
def test_a_converted_model_may_become_ternary_and_run_more_loops(tmp_path):
    save_family(tmp_path / "source", "qwen3", head_dim=8)
    words = ["--model", str(tmp_path / "source"), "--output-dir", str(tmp_path / "out"), "--ternary"]
    assert convert([*words, "--group-size", "16"]) == 0
    model = LoopLMForCausalLM.from_pretrained(tmp_path / "out")
    assert model.config.ternary and model.model.layers[0].self_attn.q_norm is not None
    assert model(TOKENS, num_loops=3).exit_pdf[0, 0].tolist() == pytest.approx([0.5, 0.25, 0.25])


@torch.no_grad()
def test_a_name_on_the_hub_is_downloaded_and_what_cannot_be_converted_only_in_part(tmp_path, hub, monkeypatch, capsys):
    files = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    source = save_family(tmp_path / "source", "qwen2")
    stored = {path.name: path.read_bytes() for path in (tmp_path / "source").iterdir()}
    other = stored | {"config.json": stored["config.json"].replace(b'"qwen2"', b'"gpt2"')}
    hub.repositories |= {"tester/small": stored, "tester/other": other}
    hub.private |= dict.fromkeys(hub.repositories, False)
    hub.commits |= {name: [] for name in hub.repositories}
    assert convert(["--model", "tester/small", "--output-dir", str(tmp_path / "out")]) == 0
    assert_equal_models(LoopLMForCausalLM.from_pretrained(tmp_path / "out").eval(), source)
    messages = {"tester/other": "model_type must be one of", "tester/none": "or a name on the Hub, got 'tester/none'"}
    for name, message in messages.items():
        assert convert(["--model", name, "--output-dir", str(tmp_path / "second")]) == 2
        assert message in capsys.readouterr().err
    assert not [request for request in hub.requests if "other" in request and "safetensors" in request]
