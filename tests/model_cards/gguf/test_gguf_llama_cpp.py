"""Exported files in stock llama.cpp: they compute what the model computes, and broken ones are caught."""

import copy
import struct
from dataclasses import replace
from functools import cache

import pytest
import torch
from tokenizers import pre_tokenizers

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.blocks import FORMATS
from model_cards.gguf.export import export_gguf
from model_cards.gguf.verify import LISTED_TOKENS, TEXTS, Agreement, LlamaCpp, divergence, verify_gguf
from tests.helpers.gguf_faults import FAULTS, RUST, patched, trained_model
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from trainers.data.tokenizer import train_tokenizer

PROMPTS = ("fn main() {\n    let mut total = 0;\n    for i in 0..10 {", "pub struct Größe<'a>(&'a str); // 日本 🦀")


def export(model, path, **options):
    return export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, path, **options)


def verify(path, model, max_tokens=12):
    return verify_gguf(path, model, TOKENIZER, PROMPTS, max_tokens)


@pytest.mark.parametrize(
    "overrides",
    [
        dict(ternary_group_size=32, num_loops=1),
        dict(ternary_group_size=128, num_loops=4, tie_word_embeddings=True),
        dict(ternary_group_size=-1, num_key_value_heads=4),
        dict(num_key_value_heads=1, tie_word_embeddings=True, num_loops=4),
        dict(num_attention_heads=4, head_dim=128),
        dict(attention_bias="qkv"),
        dict(num_loops=4, exit_at_loop=2, exit_temperature=0.5),
        dict(ternary=False, rope_parameters={"rope_type": "default", "rope_theta": 5e5}, rms_norm_eps=1e-3),
    ],
    ids=lambda overrides: ",".join(f"{name}={value}" for name, value in overrides.items())[:60],
)
def test_an_fp32_file_computes_what_the_model_computes(tmp_path, overrides):
    model = gguf_model(**overrides)
    agreement = verify(export(model, tmp_path / "model.gguf", type="f32").path, model)
    assert agreement.problems == () and agreement.max_difference < 1e-4, agreement.table()
    assert agreement.positions == 24 and agreement.activation_bits is None


@pytest.mark.slow
@pytest.mark.parametrize(("group_size", "tied"), [(32, True), (128, False), (256, True), (-1, False)])
def test_packed_files_agree_up_to_the_rounding_of_activations(tmp_path, group_size, tied):
    model = gguf_model(ternary_group_size=group_size, tie_word_embeddings=tied)
    for type, block_format in FORMATS.items():
        fits = group_size == -1 or group_size % block_format.block == 0
        if fits and block_format.pack is not None:
            agreement = verify(export(model, tmp_path / "model.gguf", type=type).path, model)
            # The most likely tokens of a random model have nearly equal probabilities.
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


@pytest.mark.parametrize(
    "overrides",
    [
        dict(num_loops=1),
        dict(num_loops=1, attention_bias="qkv"),
        dict(num_loops=3, exit_at_loop=1, tie_word_embeddings=True),
    ],
)
def test_one_loop_is_a_plain_llama_and_computes_the_same(tmp_path, overrides):
    model = gguf_model(**overrides)
    file = export(model, tmp_path / "model.gguf", type="f32", unrolled=True)
    assert file.metadata["general.architecture"] == "llama" and "llama.num_loops" not in file.metadata
    agreement = verify(file.path, model)
    assert agreement.problems == () and agreement.max_difference < 1e-4, agreement.table()


def test_several_loops_are_no_plain_llama_because_of_the_norm_between_them(tmp_path):
    with pytest.raises(ValueError, match="exit_at_loop must be 1 for the architecture llama, got 2 loops: the norm"):
        export(gguf_model(num_loops=2), tmp_path / "model.gguf", unrolled=True)
    assert list(tmp_path.iterdir()) == []


def test_the_larger_the_rounding_of_a_model_the_larger_is_the_tolerance(tmp_path):
    far = Agreement(tmp_path, "q4_0", 2, 2, 8, 10, 0.5, 1.5e-3, 0.0, 1.0, 3, ())
    assert "KL divergence must be below 0.001 nats" in far.problems[0]
    assert replace(far, rounding_kl=1.3e-3).problems == ()
    assert "must be below 0.0026 nats" in replace(far, rounding_kl=1.3e-3, kl=3e-3).problems[0]


@pytest.mark.parametrize("loops", [1, 2, 4])
def test_the_files_depth_can_be_changed_in_its_metadata(tmp_path, loops):
    model = gguf_model(num_loops=3)
    file = export(model, tmp_path / "model.gguf", type="f32")
    offset = file.value_offsets["nanbeige.num_loops"]
    path = patched(file, tmp_path / "other.gguf", {offset: struct.pack("<I", loops)})
    agreement = verify_gguf(path, model, TOKENIZER, PROMPTS, 12, num_loops=loops)
    assert agreement.problems == () and agreement.loops == loops and agreement.max_difference < 1e-4, agreement.table()
    (problem,) = replace(agreement, wanted_loops=3).problems
    assert problem == f"the file must loop 3 times, got {loops}"


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


@pytest.fixture(scope="module")
def trained():
    """A trained model and its tokenizer."""
    return trained_model()


@pytest.fixture(scope="module")
def trained_file(trained, tmp_path_factory):
    """Files of the trained model by type, each written once."""
    folder = tmp_path_factory.mktemp("trained")
    return cache(
        lambda type: export_gguf(LoopLMCheckpoint.from_model(trained[0]), trained[1], folder / type, type=type)
    )


@pytest.mark.slow
@pytest.mark.parametrize("type", ["f32", "q8_0", "q4_0", "q2_0", "tq1_0", "tq2_0", "q2_k"])
def test_a_trained_models_files_are_within_all_tolerances(trained, trained_file, type):
    agreement = verify_gguf(trained_file(type).path, *trained, max_tokens=26)
    assert agreement.problems == () and agreement.positions > 100, agreement.table()


@pytest.mark.parametrize(
    ("fault", "type"),
    [
        pytest.param(fault, type, id=f"{fault.title}-{type}")
        for fault in FAULTS
        for type in ("f32", "q4_0", "tq2_0")
        if type in fault.types
    ],
)
def test_a_broken_export_is_caught(tmp_path, trained, trained_file, fault, type):
    path = patched(trained_file(type), tmp_path / "broken.gguf", fault.changes(trained_file(type)))
    agreement = verify_gguf(path, *trained, PROMPTS, max_tokens=12)
    others = {"one loop more": "must loop", "merges in the wrong order": "ids", "no bos token in front": "ids"}
    problem = others.get(fault.title, "nats")
    assert problem in " ".join(agreement.problems), agreement.table()


def test_ids_are_equal_on_rust_and_unicode_and_special_tokens(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf", type="q8_0")
    with LlamaCpp(file.path) as engine:
        for text in (*TEXTS, "fn f() {}<|eos|>", "<|pad|>a<|bos|>"):
            assert engine.tokenize(text) == TOKENIZER(text)["input_ids"], text


def test_ids_are_equal_where_each_digit_is_a_word_as_in_smollm2(tmp_path):
    tokenizer = train_tokenizer([RUST.read_text()], len(TOKENIZER), 64)
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), words])
    file = export_gguf(LoopLMCheckpoint.from_model(gguf_model()), tokenizer, tmp_path / "model.gguf", type="q8_0")
    differing = 0
    with LlamaCpp(file.path) as engine:
        for text in (*TEXTS, RUST.read_text(), "for i in 10..=255 {\n    3\n}", "x = 1.5e10; // 64  bits", "½ ٣ ²1"):
            ids = tokenizer(text)["input_ids"]
            assert engine.tokenize(text) == ids, text
            differing += ids != TOKENIZER(text)["input_ids"]
    assert differing


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


def test_a_file_of_another_vocabulary_is_refused_before_anything_runs(tmp_path):
    file = export(gguf_model(), tmp_path / "model.gguf", type="q8_0")
    with pytest.raises(ValueError, match="its vocabulary has 448 tokens, LoopLMConfig.vocab_size is 512"):
        verify(file.path, gguf_model(vocab_size=512))


def test_a_model_in_training_and_prompts_beyond_the_context_are_compared_as_well(tmp_path):
    model = gguf_model(max_position_embeddings=64).train()
    file = export(model, tmp_path / "model.gguf", type="f32")
    agreement = verify_gguf(file.path, model, TOKENIZER, (RUST.read_text(),), max_tokens=1000)
    assert agreement.positions == 63 and agreement.max_difference < 1e-4, agreement.table()
    assert model.training


def test_a_dense_model_has_no_rounding_of_activations_to_compare_with(tmp_path):
    model = gguf_model(ternary=False)
    agreement = verify(export(model, tmp_path / "model.gguf", type="q8_0").path, model)
    assert agreement.activation_bits is None and agreement.kl < 1e-3, agreement.table()


def test_the_divergence_of_listed_tokens_is_that_of_all_others_taken_as_one():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = (torch.randn(3000, generator=generator, dtype=torch.float64) * 2 for _ in range(2))
    ours, theirs = ours.log_softmax(0), (ours + 0.3 * theirs).log_softmax(0)
    whole = (ours.exp() * (ours - theirs)).sum().item()
    listed = theirs.topk(LISTED_TOKENS).indices
    rest = torch.ones(3000, dtype=torch.bool).index_fill(0, listed, False)
    coarse = [torch.cat([part[listed], part[rest].logsumexp(0, keepdim=True)]) for part in (ours, theirs)]
    expected = (coarse[0].exp() * (coarse[0] - coarse[1])).sum().item()
    found = divergence(ours, {token: theirs[token].item() for token in listed.tolist()})
    assert found == pytest.approx(expected, rel=1e-6) and 0.5 * whole < found < whole
    every = {token: theirs[token].item() for token in theirs.argsort(descending=True).tolist()}
    assert divergence(ours, every) == pytest.approx(whole, rel=1e-6)


def test_added_tokens_are_found_as_the_tokenizer_finds_them(tmp_path):
    tokenizer = copy.deepcopy(TOKENIZER)
    tokenizer.add_tokens(["unwrap_or_else", "größe 日本"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>"]})
    file = export_gguf(LoopLMCheckpoint.from_model(gguf_model()), tokenizer, tmp_path / "model.gguf")
    with LlamaCpp(file.path) as engine:
        for text in ("x.unwrap_or_else(|| 3)", "a größe 日本!", "<|user|>fn"):
            ids = tokenizer(text)["input_ids"]
            assert engine.tokenize(text) == ids and max(ids) >= len(TOKENIZER), text


def test_tolerances_are_read_from_the_agreement(tmp_path):
    good = Agreement(tmp_path, "f32", 2, 2, None, 10, 1e-6, 1e-7, 0.0, 1.0, 3, ())
    assert good.problems == () and "3 of 3" in good.table()
    for change, problem in (
        ({"max_difference": float("nan")}, "log-probabilities"),
        ({"kl": float("nan")}, "KL"),
        ({"top1": 0.9}, "most likely token"),
        ({"wrong_texts": ("é",)}, "'é'"),
    ):
        (found,) = replace(good, **change).problems
        assert problem in found and found in replace(good, **change).table()
