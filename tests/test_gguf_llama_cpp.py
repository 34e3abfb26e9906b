"""Exported files in stock llama.cpp: they compute what the model computes, and broken ones are caught."""

import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from gguf_models import TOKENIZER, gguf_model, patched

from model_cards.checkpoint import Checkpoint
from model_cards.gguf import export_gguf
from model_cards.gguf_blocks import FORMATS
from model_cards.gguf_tensors import restore_rotary
from model_cards.gguf_verify import TEXTS, Agreement, LlamaCpp, verify_gguf

PROMPTS = ("fn main() {\n    let mut total = 0;\n    for i in 0..10 {", "pub struct Größe<'a>(&'a str); // 日本 🦀")


def export(model, path, **options):
    return export_gguf(Checkpoint.of_model(model), TOKENIZER, path, **options)


def verify(path, model, max_tokens=24):
    return verify_gguf(path, model, TOKENIZER, PROMPTS, max_tokens)


@pytest.mark.parametrize(
    "overrides",
    [
        dict(ternary_group_size=32, num_loops=1),
        dict(ternary_group_size=128, num_loops=4, tie_word_embeddings=True),
        dict(ternary_group_size=-1, num_key_value_heads=4),
        dict(num_key_value_heads=1, tie_word_embeddings=True, num_loops=4),
        dict(num_attention_heads=4, head_dim=128),
        dict(num_loops=4, exit_at_loop=2, exit_temperature=0.5),
        dict(ternary=False, rope_parameters={"rope_type": "default", "rope_theta": 5e5}, rms_norm_eps=1e-3),
    ],
    ids=lambda overrides: ",".join(f"{name}={value}" for name, value in overrides.items())[:60],
)
def test_an_fp32_file_computes_what_the_model_computes(tmp_path, overrides):
    model = gguf_model(**overrides)
    agreement = verify(export(model, tmp_path / "model.gguf", type="f32").path, model)
    assert agreement.problems == () and agreement.max_difference < 1e-4, agreement.table()
    assert agreement.positions > 40 and agreement.activation_bits is None


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("group_size", [32, 128, 256, -1])
def test_packed_files_agree_up_to_the_rounding_of_activations(tmp_path, group_size, tied):
    model = gguf_model(ternary_group_size=group_size, tie_word_embeddings=tied)
    for type, block_format in FORMATS.items():
        fits = group_size == -1 or group_size % block_format.block == 0
        if fits and block_format.pack is not None:
            agreement = verify(export(model, tmp_path / "model.gguf", type=type).path, model)
            # A random model's likeliest tokens are near ties.
            assert agreement.kl < 1e-3 and agreement.top1 > 0.85, agreement.table()
            assert (agreement.activation_bits, agreement.type) == (8, type)


def test_equal_streams_compute_what_one_stream_computes(tmp_path):
    model = gguf_model(mhc_num_streams=2)
    with torch.no_grad():
        for layer in model.model.layers:
            for residual in (layer.attention_residual, layer.mlp_residual):
                residual.bias[:4] = 0.0
    agreement = verify(export(model, tmp_path / "model.gguf", type="f32").path, model)
    assert agreement.problems == () and agreement.max_difference < 1e-4, agreement.table()


@pytest.mark.parametrize("loops", [1, 2, 4])
def test_the_files_depth_can_be_changed_in_its_metadata(tmp_path, loops):
    model = gguf_model(num_loops=3)
    file = export(model, tmp_path / "model.gguf", type="f32")
    offset = file.value_offsets["nanbeige.num_loops"]
    path = patched(file, tmp_path / "other.gguf", {offset: struct.pack("<I", loops)})
    agreement = verify(path, model)
    assert agreement.loops == loops and agreement.max_difference < 1e-4, agreement.table()


def test_embedding_and_head_may_have_types_of_their_own(tmp_path):
    model = gguf_model()
    for embedding_type in ("f32", "f16", "q8_0"):
        path = tmp_path / f"{embedding_type}.gguf"
        file = export(model, path, type="q4_0", embedding_type=embedding_type, head_type="q8_0")
        agreement = verify(file.path, model)
        assert agreement.kl < 1e-3 and agreement.top1 > 0.85, agreement.table()


def test_a_prompt_at_once_and_token_by_token_give_the_same(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf", type="f32")
    ids = TOKENIZER(PROMPTS[0])["input_ids"]
    with LlamaCpp(file.path) as engine:
        at_once = engine.log_probabilities(ids, 5, reuse=False)
        for length in range(1, len(ids)):
            engine.log_probabilities(ids[:length], 5)
        decoded = engine.log_probabilities(ids, 5)
    assert list(at_once) == list(decoded)
    assert list(at_once.values()) == pytest.approx(list(decoded.values()), abs=1e-4)


def without_permutation(file):
    """Query and key rows as the model has them."""
    changes = {}
    for name, tensor in file.tensors.items():
        heads = {"attn_q": 4, "attn_k": 2}.get(name.split(".")[-2])
        if heads:
            changes[tensor.offset] = restore_rotary(file.raw(name), heads).tobytes()
    return changes


def without_the_norm_between_loops(file):
    return {file.value_offsets["nanbeige.skip_loop_final_norm"]: b"\1"}


def with_other_rotary_base(file):
    return {file.value_offsets["nanbeige.rope.freq_base"]: struct.pack("<f", 500.0)}


def with_merges_backwards(file):
    offset = file.value_offsets["tokenizer.ggml.merges"] + 12  # Behind the type and the length of the array.
    strings = [merge.encode() for merge in reversed(file.metadata["tokenizer.ggml.merges"])]
    return {offset: b"".join(struct.pack("<Q", len(string)) + string for string in strings)}


def without_bos(file):
    return {file.value_offsets["tokenizer.ggml.add_bos_token"]: b"\0"}


def _with_scales(file, change):
    """The blocks of a q8_0 file, their scales (rows, blocks) changed."""
    changes = {}
    for name, tensor in file.tensors.items():
        if tensor.format.name == "q8_0":
            blocks = file.raw(name).reshape(tensor.shape[0], -1, 34).copy()
            codes = blocks[..., 2:].view(np.int8)
            scales = blocks[..., :2].copy().view("<f2")[..., 0].astype(np.float32)
            blocks[..., :2] = np.ascontiguousarray(change(codes, scales), dtype="<f2")[..., None].view(np.uint8)
            changes[tensor.offset] = blocks.tobytes()
    return changes


def with_scales_swapped(file):
    return _with_scales(file, lambda codes, scales: scales[:, ::-1])


def with_scales_of_ternary_weights(file):
    """What quantising the ternary weights anew by their mean magnitude gives."""
    return _with_scales(file, lambda codes, scales: scales * np.abs(codes).mean(axis=-1))


@pytest.mark.parametrize(
    ("type", "break_it", "problem"),
    [
        ("f32", without_permutation, "log-probabilities must differ by at most"),
        ("f32", without_the_norm_between_loops, "log-probabilities must differ by at most"),
        ("f32", with_other_rotary_base, "log-probabilities must differ by at most"),
        ("q8_0", without_permutation, "KL divergence must be below"),
        ("q8_0", without_the_norm_between_loops, "KL divergence must be below"),
        ("q8_0", with_scales_swapped, "KL divergence must be below"),
        ("q8_0", with_scales_of_ternary_weights, "KL divergence must be below"),
        ("f32", with_merges_backwards, "token ids must be the same, got others for"),
        ("f32", without_bos, "token ids must be the same"),
    ],
)
def test_a_broken_export_is_caught(tmp_path, type, break_it, problem):
    model = gguf_model(ternary_group_size=32)
    file = export(model, tmp_path / "model.gguf", type=type)
    intact, broken = (
        verify(patched(file, tmp_path / "other.gguf", changes), model) for changes in ({}, break_it(file))
    )
    assert problem not in " ".join(intact.problems), intact.table()
    assert problem in " ".join(broken.problems), broken.table()


def test_ids_are_equal_on_rust_and_unicode_and_special_tokens(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf", type="q8_0")
    with LlamaCpp(file.path) as engine:
        for text in (*TEXTS, "fn f() {}<|eos|>", "<|pad|>a<|bos|>"):
            assert engine.tokenize(text) == TOKENIZER(text)["input_ids"], text


def test_a_file_that_llama_cpp_cannot_load_is_a_clear_error(tmp_path):
    model = gguf_model()
    file = export(model, tmp_path / "model.gguf", type="f32")
    offset = file.path.read_bytes().index(b"nanbeige.num_loops")
    # A key of another name: the architecture's own is missing.
    path = patched(file, tmp_path / "broken.gguf", {offset: b"nanbeige.num_goods"})
    with pytest.raises(ValueError, match="must be a file of the architecture nanbeige: it has no nanbeige.num_loops"):
        verify(path, model)
    (tmp_path / "short.gguf").write_bytes(file.path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="llama.cpp must be able to load .*short.gguf, got: "):
        LlamaCpp(tmp_path / "short.gguf")
    with pytest.raises(ValueError, match="model must be loaded with dtype=torch.float32 .* got torch.bfloat16"):
        verify(file.path, model.bfloat16())


def test_tolerances_are_read_from_the_agreement(tmp_path):
    good = Agreement(tmp_path, "f32", 2, None, 10, 1e-6, 1e-7, 1.0, 3, ())
    assert good.problems == () and "3 of 3" in good.table()
    for change, problem in (
        ({"max_difference": float("nan")}, "log-probabilities"),
        ({"kl": float("nan")}, "KL"),
        ({"top1": 0.9}, "likeliest"),
        ({"wrong_texts": ("é",)}, "'é'"),
    ):
        (found,) = replace(good, **change).problems
        assert problem in found and found in replace(good, **change).table()
