"""Export to GGUF: what is in the file is the model, and what llama.cpp cannot express is refused by name."""

import copy
import json
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken
from torch import nn

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf import tensors as gguf_tensors
from model_cards.gguf.blocks import FORMATS
from model_cards.gguf.export import export_gguf
from model_cards.gguf.file import read_gguf
from model_cards.gguf.limits import config_obstacles
from model_cards.gguf.tensors import permute_rotary, restore_rotary
from modeling_nanochat.ternary_nanochat import quantize_weight
from tests.helpers.gguf_faults import patched
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from trainers.data.tokenizer import train_tokenizer

ALL_TYPES = list(FORMATS)


def export(model, path, **options):
    return export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, path, **options)


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
        export_gguf(LoopLMCheckpoint.from_folder(tmp_path / folder), TOKENIZER, tmp_path / f"{folder}.gguf")
        written = read_gguf(tmp_path / f"{folder}.gguf")
        expected = read_gguf(tmp_path / "model.gguf")
        assert all(np.array_equal(written.raw(name), expected.raw(name)) for name in expected.tensors)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_pretrained wrote: it has no config.json"):
        LoopLMCheckpoint.from_folder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="must hold a LoopLM, .* model_type 'nanochat_looplm', got 'llama'"):
        LoopLMCheckpoint.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("overrides", "type", "message"),
    [
        ({"attention_bias": "qkvo"}, "f32", 'attention_bias must be "none" or "qkv", got \'qkvo\': llama.cpp adds no'),
        ({"qk_norm": True}, "f32", "qk_norm must be False, got True: llama.cpp's nanbeige does not norm"),
        ({"sandwich_norm": True}, "f32", "sandwich_norm must be False, got True: .*train with sandwich_norm=False"),
        ({"intermediate_size": 384, "ternary_group_size": -1}, "tq2_0", "multiple of 256, got 384: .*fits .*q2_0"),
        ({"ternary_group_size": 128}, "q2_k", "a multiple of 256 or -1, got 128: .* f32, f16, q8_0, q4_0, q2_0, whi"),
        ({"ternary": False}, "tq2_0", "ternary must be True for tq2_0, got False: .* f32, f16, q8_0"),
        ({"loop_update": "scaled"}, "f32", "loop_update must be \"norm\" for . loops, got 'scaled': llama.cpp norms"),
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


def test_widths_of_a_dense_model_must_be_whole_blocks_as_well():
    config = gguf_model(ternary=False).config
    config.intermediate_size = 336
    (obstacle,) = config_obstacles(config, "q8_0")
    assert obstacle.startswith("LoopLMConfig.intermediate_size must be a multiple of 32, got 336: ")
    assert obstacle.endswith("fits f32, f16") and config_obstacles(config, "f16") == []


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
    with pytest.raises(ValueError, match="embed_tokens.weight must be at most 65504 .* q8_0, got 100000: use f32"):
        export(model, tmp_path / "model.gguf")
    export(model, tmp_path / "model.gguf", embedding_type="f32")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="up_proj.weight must be finite"):
        export(model, tmp_path / "other.gguf", embedding_type="f32")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_an_exit_gate_that_is_not_finite_is_refused(tmp_path):
    model = gguf_model()
    with torch.no_grad():
        model.model.exit_gate.bias[0] = float("inf")
    with pytest.raises(ValueError, match="model.exit_gate.bias must be finite, got NaN or infinity"):
        export(model, tmp_path / "model.gguf")


def test_a_factor_that_leads_scales_out_of_fp16_is_refused(tmp_path):
    model = gguf_model(mhc_num_streams=2)
    equal_streams(model, post=-12.0)
    with pytest.raises(
        ValueError, match="o_proj.weight: its scales must be from .* factor 1.23e-05 .*, got .*: use f32"
    ):
        export(model, tmp_path / "model.gguf")
    export(model, tmp_path / "model.gguf", type="f32")


def test_a_path_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    checkpoint = replace(LoopLMCheckpoint.from_model(gguf_model()), read=None)
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path, "which is a folder"),
        (tmp_path / "no" / "model.gguf", "no, which is not a folder"),
        (tmp_path / "pipe", "which is not a regular file"),
    ):
        with pytest.raises(FileNotFoundError, match=f"path must name a file in a folder that exists, got .*{message}"):
            export_gguf(checkpoint, TOKENIZER, path)


def test_exports_to_one_path_at_once_leave_one_whole_file(tmp_path):
    model = gguf_model()
    types = ["f32", "q4_0", "tq2_0", "f16"]
    with ThreadPoolExecutor(len(types)) as pool:
        list(pool.map(lambda type: export(model, tmp_path / "model.gguf", type=type), types))
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    left = read_gguf(tmp_path / "model.gguf")
    type = left.tensors["blk.0.attn_q.weight"].format.name
    assert (tmp_path / "model.gguf").read_bytes() == export(model, tmp_path / "alone", type=type).path.read_bytes()


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path):
    model = gguf_model()
    before = export(model, tmp_path / "model.gguf", type="q4_0").path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="must have room for model.gguf.* requested and"):
            export(model, tmp_path / "model.gguf", type="f32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    assert (tmp_path / "model.gguf").read_bytes() == before


def test_tensors_that_the_file_would_lack_are_refused(tmp_path):
    checkpoint = LoopLMCheckpoint.from_model(gguf_model())
    for names, message in (
        (checkpoint.names | {"model.layers.0.mlp.up_proj.lora_A.weight"}, "also has .*lora_A.* must be merged"),
        (checkpoint.names | {"model.layers.0.mlp_residual.bias"}, "also has .*mlp_residual"),
        (checkpoint.names - {"lm_head.weight"}, "lacks .*lm_head"),
        (checkpoint.names - {"model.exit_gate.weight"}, "lacks .*exit_gate"),
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
        export_gguf(LoopLMCheckpoint.from_model(model), digits, tmp_path / "model.gguf")
    with pytest.raises(ValueError, match="vocab_size must be above the tokenizer's largest id"):
        export(gguf_model(vocab_size=300), tmp_path / "model.gguf")
    for name in ("bos", "eos", "pad"):
        with pytest.raises(
            ValueError, match=f"{name}_token_id must agree, got [012] in the tokenizer and 5 in LoopLM"
        ):
            export(gguf_model(**{f"{name}_token_id": 5}), tmp_path / "model.gguf")


def changed_tokenizer(change):
    tokenizer = copy.deepcopy(TOKENIZER)
    change(tokenizer)
    return tokenizer


def test_without_an_end_llama_cpp_would_stop_at_another_token(tmp_path):
    tokenizer = changed_tokenizer(lambda tokenizer: setattr(tokenizer, "eos_token", None))
    with pytest.raises(ValueError, match="eos_token_id must be a token for GGUF, got None: .* token 11"):
        export_gguf(LoopLMCheckpoint.from_model(gguf_model(eos_token_id=None)), tokenizer, tmp_path / "model.gguf")


@pytest.mark.parametrize("flag", ["single_word", "lstrip", "rstrip"])
def test_added_tokens_that_look_around_are_refused(tmp_path, flag):
    tokenizer = changed_tokenizer(lambda tokenizer: tokenizer.add_tokens([AddedToken("fn", **{flag: True})]))
    with pytest.raises(ValueError, match=f"{flag} must be False for the added token 'fn'"):
        export_gguf(LoopLMCheckpoint.from_model(gguf_model()), tokenizer, tmp_path / "model.gguf")


def test_a_tokenizer_without_merges_is_refused(tmp_path):
    with pytest.raises(ValueError, match="it must have merges for llama.cpp to load it"):
        export_gguf(
            LoopLMCheckpoint.from_model(gguf_model()), train_tokenizer(["a"], 259, 64), tmp_path / "model.gguf"
        )


def test_chat_templates_travel_with_their_names(tmp_path):
    for template, expected in (
        ("{{ messages }}", {"": "{{ messages }}"}),
        ({"default": "A", "tools": "B"}, {"": "A", ".tools": "B", "s": ["tools"]}),
    ):
        tokenizer = changed_tokenizer(
            lambda tokenizer, template=template: setattr(tokenizer, "chat_template", template)
        )
        metadata = export_gguf(LoopLMCheckpoint.from_model(gguf_model()), tokenizer, tmp_path / "model.gguf").metadata
        key = "tokenizer.chat_template"
        assert {name.removeprefix(key): metadata[name] for name in metadata if name.startswith(key)} == expected


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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file, and its bytes."""
    file = export(gguf_model(), tmp_path_factory.mktemp("whole") / "model.gguf", type="tq1_0")
    return file, file.path.read_bytes()


@given(data=st.data())
def test_a_damaged_description_is_read_or_refused_by_name(whole, data):
    file, content = whole
    beginnings = [4, 8, 16, *file.value_offsets.values()]
    near = st.sampled_from(beginnings).flatmap(lambda start: st.integers(start - 12, start + 12))
    anywhere = st.integers(4, min(tensor.offset for tensor in file.tensors.values()) - 8)
    place, other = data.draw(near | anywhere), data.draw(st.binary(min_size=1, max_size=8))
    path = patched(file, file.path.with_name("damaged.gguf"), {max(place, 4): other})
    try:
        assert read_gguf(path).nbytes == len(content)
    except ValueError as error:
        assert str(path) in str(error)


def test_a_damaged_checkpoint_is_named(tmp_path):
    gguf_model().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ValueError, match="model.safetensors is damaged or belongs to another checkpoint: .* Copy it"):
        LoopLMCheckpoint.from_folder(tmp_path)


def test_foreign_truncated_and_overlong_files_are_told_apart(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf")
    content = file.path.read_bytes()
    broken = tmp_path / "broken.gguf"
    for bytes_, message in (
        (b"PK\x03\x04" + content[4:], "is not a GGUF file: it must begin with b'GGUF', got b'PK"),
        (b"GGUF", "is truncated"),
        (content[:4] + b"\x02" + content[5:], "must be a GGUF file of version 3, got version 2"),
        (content[:1000], "is truncated: its metadata and tensor table go beyond byte 1000"),
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
