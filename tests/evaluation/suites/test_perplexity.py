"""The loss by depth is the mean over all predicted tokens, and measuring it leaves the model as it was."""

import gzip
import math

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from evaluation.loss_by_depth import best_mixture_of_depths, decoded_losses, depth_quality, loss_by_depth
from evaluation.suites.perplexity import read_texts, score_texts
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.data.tokenizer import train_tokenizer


@pytest.mark.parametrize("training", [False, True])
def test_batches_of_unequal_size_count_by_their_tokens(training):
    model = tiny_model(activation_bits=8).train(training)
    tokens = random_tokens(5, 9)
    losses = loss_by_depth(model, Dataset.from_dict({"input_ids": tokens.tolist()}), batch_size=2)
    assert model.training == training
    with torch.no_grad():
        expected = model.eval()(tokens, labels=tokens).loop_losses
    assert losses == pytest.approx(expected.tolist(), rel=1e-5)


def test_deeper_than_trained_can_be_measured():
    blocks = Dataset.from_dict({"input_ids": random_tokens(2, 9).tolist()})
    assert len(loss_by_depth(tiny_model(), blocks, num_loops=5)) == 5


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="blocks must hold at least one row"):
        loss_by_depth(tiny_model(), Dataset.from_dict({"input_ids": []}))


def test_a_token_leaves_at_the_first_loop_that_reaches_the_threshold():
    model, tokens = tiny_model(), random_tokens(3, 9)
    blocks = Dataset.from_dict({"input_ids": tokens.tolist()})
    by_depth, thresholds = loss_by_depth(model, blocks), (0.0, 0.3, 0.6, 1.0)
    found = depth_quality(model, blocks, thresholds, batch_size=2)
    assert (found[0].mean_loops, found[-1].mean_loops) == (1, 3)
    assert (found[0].loss, found[-1].loss) == pytest.approx((by_depth[0], by_depth[-1]))
    with torch.no_grad():
        outputs = model(tokens, output_loop_states=True)
        logits = torch.stack([model.lm_head(state) for state in outputs.loop_hidden_states])
    for point in found:
        loops, total = 0, 0.0
        for row in range(3):
            for position in range(8):
                reached, loop = 0.0, 0
                while loop < 3:
                    reached += float(outputs.exit_pdf[row, position, loop])
                    loop += 1
                    if reached >= point.threshold:
                        break
                loops += loop
                scores = logits[loop - 1, row, position]
                total -= float(scores.log_softmax(-1)[tokens[row, position + 1]])
        assert (point.mean_loops, point.loss) == pytest.approx((loops / 24, total / 24), rel=1e-5)


@given(st.lists(st.floats(0, 9), min_size=1, max_size=5), st.floats(0, 1))
def test_no_choice_between_two_depths_is_better_than_the_best_mixture(losses, where):
    mean_loops = 1 + where * (len(losses) - 1)
    best = best_mixture_of_depths(losses, mean_loops)
    below, above = int(mean_loops), min(int(mean_loops) + 1, len(losses))
    neighbors = losses[below - 1] + (mean_loops - below) * (losses[above - 1] - losses[below - 1])
    assert min(losses) - 1e-9 <= best <= neighbors + 1e-9


def test_a_mean_depth_that_no_loop_has_is_refused():
    with pytest.raises(ValueError, match="mean_loops must be from 1 to 2, got 2.5"):
        best_mixture_of_depths([2.0, 1.0], 2.5)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([path.read_text() for path in sorted(BUILTIN.glob("*.rs"))], 300, 256)


@pytest.mark.parametrize("window", [7, 64, 1000])
def test_every_token_of_a_text_counts_once_whatever_the_batch(tokenizer, window):
    """A model that knows nothing: every token costs log(vocabulary), in windows and paddings of any kind."""
    model = tiny_model(vocab_size=300, max_position_embeddings=1024)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    texts = {"long": "fn main() { let ä = 1; }\n" * 20, "short": "x", "special": "<|eos|><|pad|>"}
    counts = {
        name: len(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        for name, text in texts.items()
    }
    results = score_texts(model, tokenizer, texts, window, batch_size=2, progress=False)
    for loop in (1, 2, 3):
        for name, text in texts.items():
            expected = counts[name] * math.log2(300) / len(text.encode())
            assert results.per_problem[f"bits_per_byte_loop_{loop}"][name] == pytest.approx(expected, rel=1e-5)
    assert results.details["tokens"] == sum(counts.values())
    assert results.details["perplexity_by_loop"] == pytest.approx([300] * 3, rel=1e-4)
    assert results.details["depth_quality"][-1]["mean_loops"] == 3


def test_padding_and_neighbors_change_nothing(tokenizer):
    model = tiny_model(vocab_size=300)
    texts = {"a": "fn a() {}\n" * 9, "b": "struct B;", "c": "let c = 3;\n" * 4}
    together = score_texts(model, tokenizer, texts, 32, batch_size=8, progress=False).per_problem["bits_per_byte"]
    for name, text in texts.items():
        alone = score_texts(model, tokenizer, {name: text}, 32, batch_size=1, progress=False)
        assert together[name] == pytest.approx(alone.per_problem["bits_per_byte"][name], rel=1e-5)


@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@torch.no_grad()
def test_the_loss_of_decoding_is_that_of_tokens_fed_one_by_one(kv_reuse):
    model, tokens = tiny_model(kv_reuse=kv_reuse), random_tokens(2, 20)
    labels = torch.nn.functional.pad(tokens[:, 1:], (0, 1), value=-100)
    losses, loops = decoded_losses(model, tokens, labels, exit_threshold=0.8)
    cache, expected, used = DynamicCache(config=model.config), [], []
    for piece in tokens.split(1, dim=1):
        output = model(piece, past_key_values=cache, exit_threshold=0.8)
        expected.append(output.logits)
        used.append(output.loops_used)
    scores = torch.cat(expected, 1)[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])
    torch.testing.assert_close(losses, -scores.flatten(), atol=1e-4, rtol=1e-4)
    assert torch.equal(loops, torch.cat(used, 1)[:, :-1].flatten()) and loops.unique().tolist() == [1, 2, 3]


@pytest.mark.slow
def test_with_a_threshold_the_bits_are_those_of_decoding(tokenizer):
    model, texts = tiny_model(vocab_size=300), {"a": "fn a() {}\n" * 9, "b": "struct B;"}
    full = score_texts(model, tokenizer, texts, 32, progress=False)
    found = score_texts(model, tokenizer, texts, 32, progress=False, exit_threshold=0.6)
    decoded = found.details["decoded"]
    assert 1 < decoded["mean_loops"] < 3 and decoded["threshold"] == 0.6
    bits = sum(value * len(texts[name]) for name, value in found.per_problem["bits_per_byte"].items())
    assert bits == pytest.approx(decoded["loss"] / math.log(2) * found.details["tokens"])
    assert found.per_problem["bits_per_byte"] != full.per_problem["bits_per_byte"]
    for loop in (1, 2, 3):
        name = f"bits_per_byte_loop_{loop}"
        assert found.per_problem[name] == full.per_problem[name]
    model.config.exit_threshold = 0.6
    assert score_texts(model, tokenizer, texts, 32, progress=False).details["decoded"] == decoded
    shallow = score_texts(model, tokenizer, texts, 32, progress=False, exit_at_loop=2)
    assert shallow.per_problem["bits_per_byte"] == pytest.approx(full.per_problem["bits_per_byte_loop_2"])
    assert "decoded" not in shallow.details


def test_with_the_last_loops_keys_alone_the_bits_are_those_of_decoding(tokenizer):
    texts = {"a": "fn a() {}\n" * 9}
    every, last = (tiny_model(vocab_size=300, kv_reuse=kv_reuse) for kv_reuse in ("none", "last"))
    for depth in ({}, {"num_loops": 4}, {"exit_at_loop": 2}):
        full, found = (score_texts(model, tokenizer, texts, 32, progress=False, **depth) for model in (every, last))
        assert found.details["perplexity_by_loop"] == full.details["perplexity_by_loop"]
        assert found.metrics["bits_per_byte"] != full.metrics["bits_per_byte"]
        assert found.details["decoded"]["mean_loops"] == max(depth.values(), default=3)


def test_other_models_are_measured_the_same_way(tokenizer):
    torch.manual_seed(0)
    shape = dict(vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = LlamaForCausalLM(LlamaConfig(**shape))
    results = score_texts(model, tokenizer, {"a": "fn a() {}"}, 64, progress=False)
    tokens = torch.tensor([[1, *tokenizer("fn a() {}", add_special_tokens=False)["input_ids"]]])
    with torch.no_grad():
        expected = model(tokens, labels=tokens).loss.item() * (tokens.shape[1] - 1) / math.log(2) / 9
    assert results.per_problem["bits_per_byte"]["a"] == pytest.approx(expected, rel=1e-5)
    assert "depth_quality" not in results.details
    # A model without loops has no value for one.
    assert list(results.metrics) == ["bits_per_byte"] and results.unit == "texts"
    with pytest.raises(ValueError, match="num_loops needs a LoopLM, got a model of type llama"):
        score_texts(model, tokenizer, {"a": "fn a() {}"}, 64, num_loops=2)


def test_texts_are_files_or_rows_or_refused(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.rs").write_text("fn a() {}")
    (tmp_path / "empty.rs").write_text(" \n")
    (tmp_path / "rows.jsonl").write_text('{"id": "x", "code": "fn x() {}"}\n')
    assert read_texts(tmp_path) == {"deep/a.rs": "fn a() {}"}
    assert read_texts(tmp_path / "rows.jsonl") == {"x 0": "fn x() {}"}
    (tmp_path / "numbers.jsonl").write_text('{"code": "fn x() {}"}\n{"code": 5}\n')
    with pytest.raises(ValueError, match=r"numbers.jsonl, line 2: the column code must be a text, got int"):
        read_texts(tmp_path / "numbers.jsonl")
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"code": "fn x() {}"}\n' * 50))
    assert len(read_texts(packed)) == 50
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(ValueError, match="rows.jsonl.gz must be a whole gzip file"):
        read_texts(packed)
    (tmp_path / "deep" / "latin_1.rs").write_bytes("// Übung".encode("latin-1"))
    with pytest.raises(ValueError, match="latin_1.rs must be text in UTF-8, got .* at byte 3"):
        read_texts(tmp_path)
    for bad in ("none", "empty.rs"):
        with pytest.raises(ValueError, match="text must be .rs files or JSON lines with a column code, got"):
            read_texts(tmp_path / bad)
