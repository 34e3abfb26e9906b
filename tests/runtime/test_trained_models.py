"""The native engine computes trained models as PyTorch does: with four streams, with int8 activations, and Ouro's."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from modeling_nanochat import LoopLMForCausalLM
from runtime.engine import Engine
from runtime.settings import SamplingSettings
from tests.helpers.conversion import convert
from tests.helpers.tiny import greedy, random_tokens, tiny_model

DATA = os.environ.get("NANOCHAT_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="NANOCHAT_DATA is not set: the models are there")


def trained(**overrides) -> LoopLMForCausalLM:
    """A tiny model that has learned to repeat a text."""
    model = tiny_model(initializer_range=0.05, **overrides).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens = random_tokens(1, 24).repeat(2, 2)
    for _ in range(40):
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss < 2.5, "the model learns"
    return model.eval()


def of_next_tokens(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the tokens that follow, in nats."""
    return logits[:-1].log_softmax(-1).gather(1, tokens[1:, None]).squeeze(1)


@torch.no_grad()
def token_by_token(model: LoopLMForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    """Logits of a text that PyTorch computes with a cache, token by token."""
    generated = model.generate(
        tokens[:, :1],
        max_new_tokens=tokens.shape[1],
        do_sample=False,
        prefix_allowed_tokens_fn=lambda _, begun: [int(tokens[0, min(len(begun), tokens.shape[1] - 1)])],
        output_logits=True,
        return_dict_in_generate=True,
        eos_token_id=None,
    )
    return torch.cat(generated.logits)


def check_gap(model: LoopLMForCausalLM, tokens: torch.Tensor) -> None:
    """
    Check that the engine is as close to PyTorch as PyTorch is to itself when it computes a text token by token: with
    int8 activations both round some values the other way.
    """
    with torch.no_grad():
        whole = of_next_tokens(model(tokens).logits[0], tokens[0])
    own = of_next_tokens(token_by_token(model, tokens), tokens[0])
    logits, _ = Engine.from_model(model, threads=1).logits(tokens[0], prompt_length=1)
    engine = of_next_tokens(logits, tokens[0])
    gap, own_gap = (engine - whole).abs().mean().item(), (own - whole).abs().mean().item()
    assert gap < 2 * own_gap + 1e-4, f"{gap} nats, PyTorch's own difference is {own_gap}"


@pytest.mark.slow
def test_greedy_texts_of_a_trained_model_with_four_streams_are_equal_over_200_tokens():
    model, tokens = trained(mhc_num_streams=4), random_tokens(1, 5)
    expected = greedy(model, tokens, 200, eos_token_id=None).sequences[0, 5:].tolist()
    assert len(set(expected)) > 10, "the text is not a repetition of few tokens"
    (found,) = Engine.from_model(model, threads=1).generate([tokens[0]], SamplingSettings(max_new_tokens=200))
    assert found.token_ids == expected


@pytest.mark.slow
def test_a_trained_model_with_int8_activations_is_as_close_as_pytorch_is_to_itself():
    check_gap(trained(activation_bits=8, mhc_num_streams=1), random_tokens(1, 24).repeat(1, 4))


@needs_data
def test_a_model_that_writes_rust_is_as_close_as_pytorch_is_to_itself():
    folder = Path(DATA or "", "nano_h100")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    code = "/// Returns the largest value.\npub fn largest(values: &[i32]) -> Option<i32> {\n    let mut best ="
    tokens = tokenizer(code, return_tensors="pt")["input_ids"]
    check_gap(LoopLMForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), tokens)


@needs_data
@torch.no_grad()
def test_a_converted_ouro_model_gives_the_logits_of_ouros_own_code(tmp_path):
    folder = Path(DATA or "", "ouro_tiny")
    convert(["--model", str(folder), "--output-dir", str(tmp_path / "converted")])
    expected = load_file(folder / "expected.safetensors")
    engine = Engine.from_pretrained(tmp_path / "converted", threads=1)
    for tokens, logits in zip(expected["input_ids"], expected["logits"], strict=True):
        found, _ = engine.logits(tokens, prompt_length=max(1, len(tokens) // 2))
        torch.testing.assert_close(found, logits.float(), atol=1e-4, rtol=1e-4)
