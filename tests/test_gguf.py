"""Export to GGUF: what is in the file is the model, and what llama.cpp cannot express is refused by name."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf_models import TOKENIZER, gguf_model, patched
from torch import nn

from model_cards import gguf_tensors
from model_cards.checkpoint import Checkpoint
from model_cards.gguf import export_gguf
from model_cards.gguf_blocks import FORMATS
from model_cards.gguf_file import read_gguf
from model_cards.gguf_limits import config_obstacles
from model_cards.gguf_tensors import permute_rotary, restore_rotary
from modeling_nanochat.ternary_nanochat import quantize_weight
from trainers.data.tokenizer import train_tokenizer

ALL_TYPES = list(FORMATS)


def export(model, path, **options):
    return export_gguf(Checkpoint.of_model(model), TOKENIZER, path, **options)


@pytest.mark.parametrize("group_size", [32, 128, 256, -1])
@pytest.mark.parametrize("type", ALL_TYPES)
def test_every_weight_in_the_file_is_the_models_own_or_the_export_is_refused(tmp_path, type, group_size):
    model = gguf_model(ternary_group_size=group_size)
    path = tmp_path / "model.gguf"
    if group_size != -1 and group_size % FORMATS[type].block:
        with pytest.raises(ValueError, match="ternary_group_size must be a multiple of .* or -1, got"):
            export(model, path, type=type)
        assert list(tmp_path.iterdir()) == []
        return
    file = export(model, path, type=type)
    state = model.state_dict()
    for name, source, heads in (
        ("attn_q", "self_attn.q_proj", 4),
        ("attn_k", "self_attn.k_proj", 2),
        ("attn_v", "self_attn.v_proj", None),
        ("ffn_down", "mlp.down_proj", None),
    ):
        expected = quantize_weight(state[f"model.layers.1.{source}.weight"], group_size).numpy()
        if heads:
            expected = permute_rotary(expected, heads)
        assert np.array_equal(file.values(f"blk.1.{name}.weight"), expected), name
        assert file.tensors[f"blk.1.{name}.weight"].format.name == type
    assert file.metadata["general.file_type"] == FORMATS[type].file_type
    assert path.stat().st_size == file.nbytes and list(tmp_path.iterdir()) == [path]


def test_rows_of_a_head_are_interleaved_and_back():
    rows = np.arange(2 * 6)[:, None]
    assert permute_rotary(rows, 2)[:, 0].tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert np.array_equal(restore_rotary(permute_rotary(rows, 2), 2), rows)


def test_the_gguf_packages_reader_agrees(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf", type="tq2_0", embedding_type="q8_0", head_type="f32")
    reader = GGUFReader(file.path)
    assert [tensor.name for tensor in reader.tensors] == list(file.tensors)
    for tensor in reader.tensors:
        ours = file.tensors[tensor.name]
        assert (ours.format.type_id, ours.offset, ours.nbytes) == (
            tensor.tensor_type,
            tensor.data_offset,
            tensor.n_bytes,
        )
        assert ours.shape == tuple(reversed(tensor.shape.tolist()))
    for key, value in file.metadata.items():
        assert reader.get_field(key).contents() == value, key
    assert file.tensors["token_embd.weight"].format.name == "q8_0"
    assert file.tensors["output.weight"].format.name == "f32"


def test_a_tied_head_is_not_written_and_has_no_type(tmp_path):
    model = gguf_model(tie_word_embeddings=True)
    assert "output.weight" not in export(model, tmp_path / "model.gguf").tensors
    with pytest.raises(ValueError, match="head_type must be None when .*tie_word_embeddings=True, got 'f16'"):
        export(model, tmp_path / "model.gguf", head_type="f16")


def test_gate_thresholds_and_configuration_travel_as_metadata(tmp_path):
    model = gguf_model(exit_threshold=0.75, exit_temperature=2.0)
    metadata = export(model, tmp_path / "model.gguf").metadata
    weight = np.array(metadata["nanochat.exit_gate.weight"], dtype=np.float32)
    assert np.array_equal(weight, model.model.exit_gate.weight.detach().numpy()[0])
    assert (metadata["nanochat.exit_threshold"], metadata["nanochat.exit_temperature"]) == (0.75, 2.0)
    assert metadata["nanochat.ternary_group_size"] == 256
    assert json.loads(metadata["nanochat.config"])["ternary_group_size"] == 256


def test_a_fixed_exit_is_the_files_depth(tmp_path):
    file = export(gguf_model(num_loops=4, exit_at_loop=2), tmp_path / "model.gguf")
    assert file.metadata["nanbeige.num_loops"] == 2


def test_a_saved_folder_gives_the_same_file_as_the_model(tmp_path):
    model = gguf_model()
    export(model, tmp_path / "model.gguf")
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="500KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    for folder in ("one", "many"):
        export_gguf(Checkpoint.of_folder(tmp_path / folder), TOKENIZER, tmp_path / f"{folder}.gguf")
        written = read_gguf(tmp_path / f"{folder}.gguf")
        expected = read_gguf(tmp_path / "model.gguf")
        assert all(np.array_equal(written.raw(name), expected.raw(name)) for name in expected.tensors)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_pretrained wrote: it has no config.json"):
        Checkpoint.of_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="model_type must be 'nanochat_looplm', got 'llama'"):
        Checkpoint.of_folder(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "type", "message"),
    [
        ({"sandwich_norm": True}, "f32", "sandwich_norm must be False, got True: .*train with sandwich_norm=False"),
        ({"intermediate_size": 384, "ternary_group_size": -1}, "tq2_0", "multiple of 256, got 384: .*fits .*q2_0"),
        ({"ternary_group_size": 128}, "q2_k", "a multiple of 256 or -1, got 128: .* f32, f16, q8_0, q4_0, q2_0, whi"),
        ({"ternary": False}, "tq2_0", "ternary must be True for tq2_0, got False: .* f32, f16, q8_0"),
        ({"num_loops": 300}, "f32", "num_shared_layers=2 x num_loops is at most 512, got 300"),
        (
            {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}},
            "f32",
            'rope_parameters must be of rope_type "default"',
        ),
    ],
)
def test_what_llama_cpp_cannot_express_is_refused_with_the_setting_that_helps(tmp_path, overrides, type, message):
    with pytest.raises(ValueError, match=message):
        export(gguf_model(**overrides), tmp_path / "model.gguf", type=type)


def test_all_obstacles_are_listed_at_once():
    config = gguf_model(sandwich_norm=True, intermediate_size=384, ternary_group_size=64).config
    assert len(config_obstacles(config, "tq2_0")) == 3
    with pytest.raises(ValueError, match="type must be one of f32, .*, got 'tq3_0'"):
        config_obstacles(config, "tq3_0")


def test_streams_that_differ_are_refused_and_named(tmp_path):
    model = gguf_model(mhc_num_streams=2)
    with pytest.raises(
        ValueError, match=r"mhc_num_streams must be 1 .*layers.0.attention_residual reads .*0.731, 0.2"
    ):
        export(model, tmp_path / "model.gguf")
    equal_streams(model)
    with torch.no_grad():
        model.model.layers[1].mlp_residual.projection[0, 3, 5] = 0.1
    with pytest.raises(ValueError, match="layers.1.mlp_residual has coefficients that depend on the token"):
        export(model, tmp_path / "model.gguf")


def equal_streams(model, pre=0.0, post=0.0):
    """Make all streams read with sigmoid(pre) and write with 2 sigmoid(post)."""
    streams = model.config.mhc_num_streams
    for layer in model.model.layers:
        for residual in (layer.attention_residual, layer.mlp_residual):
            nn.init.constant_(residual.bias[:streams], pre)
            nn.init.constant_(residual.bias[streams : 2 * streams], post)


def test_equal_streams_fold_into_the_scales(tmp_path):
    model = gguf_model(mhc_num_streams=4)
    equal_streams(model, post=1.0)
    file = export(model, tmp_path / "model.gguf")
    weight = quantize_weight(model.model.layers[0].mlp.down_proj.weight.detach(), 256)
    folded = (weight * (2 * torch.tensor(1.0).sigmoid())).half().float().numpy()
    assert np.array_equal(file.values("blk.0.ffn_down.weight"), folded)


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0"])
def test_a_dense_model_is_exported_in_dense_types(tmp_path, type):
    model = gguf_model(ternary=False, intermediate_size=384)
    file = export(model, tmp_path / "model.gguf", type=type)
    expected = model.model.layers[0].mlp.up_proj.weight.detach().numpy()
    error = {"f32": 0, "f16": 2**-10, "q8_0": 1 / 64}[type]
    np.testing.assert_allclose(
        file.values("blk.0.ffn_up.weight"), expected, rtol=0, atol=error * np.abs(expected).max()
    )


def test_weights_that_no_file_can_hold_are_refused(tmp_path):
    model = gguf_model()
    with torch.no_grad():
        model.model.embed_tokens.weight[3, 3] = 1e5
    with pytest.raises(ValueError, match="embed_tokens.weight must be at most 65504 .* f16, got 100000: take f32"):
        export(model, tmp_path / "model.gguf")
    export(model, tmp_path / "model.gguf", embedding_type="f32")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="up_proj.weight must be finite"):
        export(model, tmp_path / "other.gguf", embedding_type="f32")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_tensors_that_the_file_would_lack_are_refused(tmp_path):
    checkpoint = Checkpoint.of_model(gguf_model())
    for names, message in (
        (checkpoint.names | {"model.layers.0.mlp.up_proj.lora_A.weight"}, "also has .*lora_A.* must be merged"),
        (checkpoint.names - {"lm_head.weight"}, "lacks .*lm_head"),
    ):
        with pytest.raises(ValueError, match=message):
            export_gguf(replace(checkpoint, names=names), TOKENIZER, tmp_path / "model.gguf")


def test_tokenizers_that_llama_cpp_would_read_differently_are_refused(tmp_path):
    model = gguf_model()
    digits = train_tokenizer(["fn main() {}"], 300, 64)
    state = json.loads(digits.backend_tokenizer.to_str())
    state["pre_tokenizer"]["add_prefix_space"] = True
    digits._tokenizer = type(digits.backend_tokenizer).from_str(json.dumps(state))
    with pytest.raises(ValueError, match="pre_tokenizer.add_prefix_space must be False, got True"):
        export_gguf(Checkpoint.of_model(model), digits, tmp_path / "model.gguf")
    with pytest.raises(ValueError, match="vocab_size must be above the tokenizer's largest id"):
        export(gguf_model(vocab_size=300), tmp_path / "model.gguf")
    for name in ("bos", "eos", "pad"):
        with pytest.raises(
            ValueError, match=f"{name}_token_id must agree, got [012] in the tokenizer and 5 in LoopLM"
        ):
            export(gguf_model(**{f"{name}_token_id": 5}), tmp_path / "model.gguf")


def test_a_second_end_and_unused_rows_are_in_the_vocabulary(tmp_path):
    metadata = export(gguf_model(eos_token_id=[2, 7]), tmp_path / "model.gguf").metadata
    assert (metadata["tokenizer.ggml.eos_token_id"], metadata["tokenizer.ggml.eot_token_id"]) == (2, 7)
    types = metadata["tokenizer.ggml.token_type"]
    assert len(types) == len(metadata["tokenizer.ggml.tokens"]) == 448
    assert types[:4] == [3, 3, 3, 1] and set(types[len(TOKENIZER) :]) == {5}
    with pytest.raises(ValueError, match="eos_token_id must be at most two tokens"):
        export(gguf_model(eos_token_id=[2, 7, 8]), tmp_path / "model.gguf")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda monkeypatch: monkeypatch.setattr(gguf_tensors, "permute_rotary", lambda rows, heads: rows),
            "attn_q.weight must",
        ),
        (
            lambda monkeypatch: monkeypatch.setattr(
                gguf_tensors, "block_scales", lambda *given: gguf_block_scales(*given)[:, ::-1]
            ),
            "attn_q.weight must hold the values of .*q_proj.weight, got [0-9]+ of",
        ),
    ],
)
def test_a_file_that_differs_from_the_checkpoint_is_never_left_behind(tmp_path, monkeypatch, break_it, message):
    break_it(monkeypatch)
    with pytest.raises(ValueError, match=message):
        export(gguf_model(ternary_group_size=32), tmp_path / "model.gguf", type="q8_0")
    assert list(tmp_path.iterdir()) == []


gguf_block_scales = gguf_tensors.block_scales


def test_foreign_truncated_and_overlong_files_are_told_apart(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf")
    content = file.path.read_bytes()
    broken = tmp_path / "broken.gguf"
    for bytes_, message in (
        (b"PK\x03\x04" + content[4:], "is not a GGUF file: it must begin with b'GGUF', got b'PK"),
        (b"GGUF", "is truncated"),
        (content[:4] + b"\x02" + content[5:], "must be a GGUF file of version 3, got version 2"),
        (content[:1000], "is truncated: its description reaches beyond byte 1000"),
        (content[:-32], f"is truncated: it must have {len(content)} bytes, got {len(content) - 32}"),
        (content + b"more", "has bytes after its last tensor"),
    ):
        broken.write_bytes(bytes_)
        with pytest.raises(ValueError, match=message):
            read_gguf(broken)
    broken.write_bytes(b"")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        read_gguf(broken)
    patched(file, broken, {file.tensors["blk.0.attn_q.weight"].offset: b"\0"})
    assert read_gguf(broken).nbytes == len(content)
