"""The likelihood of a text is the sum over its tokens, whatever is in its batch, after every loop and with exits."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation import likelihood
from evaluation.likelihood import log_likelihoods
from evaluation.loss_by_depth import decoded_losses
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_model
from trainers.data.tokenizer import train_tokenizer

TEXTS = ["struct B;", "fn main() { let total = 1 + 2; }\n" * 3, "x", "// <|eos|>\nlet y = 3;"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([path.read_text() for path in sorted(BUILTIN.glob("*.rs"))], 300, 256)


def llama(positions=2048):
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=300,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
    )
    return LlamaForCausalLM(sizes).eval()


@pytest.mark.parametrize("model", [llama(), tiny_model(vocab_size=300)], ids=["Llama", "LoopLM"])
@torch.no_grad()
def test_a_text_has_the_sum_of_the_log_probabilities_of_its_tokens(model, tokenizer):
    found = log_likelihoods(model, tokenizer, TEXTS)
    for text, each in zip(TEXTS, found, strict=True):
        tokens = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        row = torch.tensor([[tokenizer.bos_token_id or tokenizer.eos_token_id, *tokens]])
        scores = model(row).logits.double().log_softmax(-1)[0, :-1]
        expected = scores.gather(1, row[0, 1:, None]).sum()
        assert each.tokens == len(tokens)
        assert (each.nats, each.by_loop[-1]) == pytest.approx((float(expected), float(expected)), rel=1e-5)


@torch.no_grad()
def test_one_pass_gives_the_likelihood_after_every_loop(tokenizer):
    model = tiny_model(vocab_size=300)
    for each, loops in ((log_likelihoods(model, tokenizer, TEXTS, exit_at_loop=loop), loop) for loop in (1, 2, 3)):
        for found, whole in zip(each, log_likelihoods(model, tokenizer, TEXTS), strict=True):
            assert found.by_loop == pytest.approx(whole.by_loop[:loops], rel=1e-5)
            assert (found.nats, found.loops) == (found.by_loop[-1], loops)


@pytest.mark.parametrize("model", [llama(), tiny_model(vocab_size=300)], ids=["Llama", "LoopLM"])
def test_neighbors_order_and_size_of_the_batch_change_nothing(model, tokenizer, monkeypatch):
    together = log_likelihoods(model, tokenizer, TEXTS)
    backwards = log_likelihoods(model, tokenizer, TEXTS[::-1], batch_size=3)[::-1]
    monkeypatch.setattr(likelihood, "MAX_LOGITS", 1)
    alone = log_likelihoods(model, tokenizer, TEXTS)
    for first, second, third in zip(together, backwards, alone, strict=True):
        assert first.by_loop == pytest.approx(second.by_loop, rel=1e-5)
        assert first.by_loop == pytest.approx(third.by_loop, rel=1e-5)


def test_a_batch_has_few_enough_logits(tokenizer, monkeypatch):
    model, shapes = llama(), []
    monkeypatch.setattr(likelihood, "MAX_LOGITS", 300 * 100)
    model.register_forward_pre_hook(lambda _, given: shapes.append(given[0].shape))
    log_likelihoods(model, tokenizer, ["a" * length for length in (3, 90, 30, 30, 30)])
    assert [tuple(shape) for shape in shapes] == [(1, 91), (3, 31), (1, 4)]


@pytest.mark.parametrize("settings", [{"exit_threshold": 0.6}, {}], ids=["early exit", "cache of the last loop"])
def test_early_exit_and_a_shared_cache_are_measured_as_in_decoding(settings, tokenizer):
    model, texts = tiny_model(vocab_size=300, kv_reuse="none" if settings else "last"), ["struct B;", "y = 3;"]
    found = log_likelihoods(model, tokenizer, texts, **settings)
    full = log_likelihoods(tiny_model(vocab_size=300), tokenizer, texts)
    for text, each, whole in zip(texts, found, full, strict=True):
        batch = likelihood.padded([likelihood.text_tokens(tokenizer, text)], 0, model.device)
        losses, loops = decoded_losses(model, *batch, **settings)
        assert each.nats == pytest.approx(-float(losses.sum()), rel=1e-5)
        assert each.loops == pytest.approx(float(loops.float().mean()))
        assert each.by_loop == pytest.approx(whole.by_loop, rel=1e-5) and each.nats != each.by_loop[-1]


def test_the_mode_is_restored_and_no_text_is_no_likelihood(tokenizer):
    model = tiny_model(vocab_size=300).train()
    assert log_likelihoods(model, tokenizer, []) == [] and model.training


@pytest.mark.parametrize(
    ("texts", "depth", "message"),
    [
        (["a", ""], {}, "texts must have at least one token, got none in text 1"),
        (["a" * 40], {}, "texts must have at most 31 tokens, got 40 in text 0"),
        (["a"], {"exit_at_loop": 2}, "exit_at_loop needs a LoopLM, got a model of type llama"),
    ],
)
def test_what_cannot_be_measured_is_refused(texts, depth, message, tokenizer):
    with pytest.raises(ValueError, match=message):
        log_likelihoods(llama(32), tokenizer, texts, **depth)


def test_a_tokenizer_without_a_first_token_is_refused(tokenizer):
    without = copy.deepcopy(tokenizer)
    without.bos_token = without.eos_token = None
    with pytest.raises(ValueError, match="tokenizer must have a start or an end token"):
        log_likelihoods(llama(), without, ["a"])
