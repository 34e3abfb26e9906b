"""The same numbers on a CUDA device."""

import copy

import pytest
import torch

from tests.helpers.tiny import random_tokens, tiny_model

pytestmark = pytest.mark.gpu


@torch.no_grad()
def test_logits_and_greedy_tokens_equal_those_of_the_processor():
    model, tokens = tiny_model(), random_tokens(2, 9)
    device_model = copy.deepcopy(model).cuda()
    torch.testing.assert_close(device_model(tokens.cuda()).logits.cpu(), model(tokens).logits, atol=1e-3, rtol=1e-3)
    settings = dict(max_new_tokens=8, do_sample=False)
    generated = device_model.generate(tokens.cuda(), **settings)
    assert torch.equal(generated, device_model.generate(tokens.cuda(), use_cache=False, **settings))


def test_loss_and_gradients_under_bf16_autocast_are_close_to_fp32():
    model, tokens = tiny_model().cuda().train(), random_tokens(2, 9).cuda()
    expected = model(tokens, labels=tokens).loss
    expected.backward()
    reference = model.lm_head.weight.grad.clone()
    model.zero_grad()
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = model(tokens, labels=tokens).loss
    loss.backward()
    torch.testing.assert_close(loss, expected, atol=0, rtol=5e-2)
    similarity = torch.nn.functional.cosine_similarity(model.lm_head.weight.grad.flatten(), reference.flatten(), dim=0)
    assert similarity > 0.95


def test_streams_mix_doubly_stochastically_when_products_are_in_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32")
    module = tiny_model(mhc_num_streams=4).cuda().model.layers[0].mlp_residual
    torch.nn.init.normal_(module.bias)
    _, _, mixing = module.coefficients(torch.randn(4, 2, 64, 32, device="cuda"))
    for dim in (-1, -2):
        torch.testing.assert_close(mixing.sum(dim), torch.ones_like(mixing.sum(dim)), atol=1e-6, rtol=0)
