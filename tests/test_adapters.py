"""Adapters and offloading change what a module's call does; the model keeps to calls where that matters."""

import accelerate
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny import random_tokens, tiny_model

from modeling_nanochat import LoopLMForCausalLM


def with_adapter(model, **settings):
    """LoRA whose second matrices are not zero, so that it has an effect at once."""
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    return adapted


@torch.no_grad()
def test_a_merged_model_computes_with_the_merged_weights(tmp_path):
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(activation_bits=8), target_modules="all-linear").eval()
    adapted.generate(input_ids=tokens, max_new_tokens=2, do_sample=False)
    before = adapted(tokens).logits
    merged = adapted.merge_and_unload()
    merged.save_pretrained(tmp_path)
    assert torch.equal(merged(tokens).logits, LoopLMForCausalLM.from_pretrained(tmp_path)(tokens).logits)
    assert not torch.allclose(merged(tokens).logits, before), "merging rounds the sum anew: the outputs differ"


def test_an_adapter_trains_and_leaves_the_latent_weights_alone():
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(), target_modules="all-linear").train()
    adapted(tokens, labels=tokens).loss.backward()
    for name, parameter in adapted.named_parameters():
        assert (parameter.grad is not None) == ("lora_" in name), name


def test_an_adapter_on_the_head_is_in_the_loss_and_trains():
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(), target_modules=["lm_head"])
    output = adapted(tokens, labels=tokens, return_logits=True)
    expected = torch.nn.functional.cross_entropy(output.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    torch.testing.assert_close(output.loop_losses[-1], expected)
    output.loss.backward()
    assert all(parameter.grad.abs().max() > 0 for name, parameter in adapted.named_parameters() if "lora_" in name)


@pytest.mark.parametrize("num_streams", [1, 2])
@torch.no_grad()
def test_an_offloaded_model_gives_the_same_loss_and_logits(num_streams):
    model, tokens = tiny_model(mhc_num_streams=num_streams), random_tokens(2, 9)
    expected = model(tokens, labels=tokens)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    output = model(tokens, labels=tokens)
    torch.testing.assert_close(output.loss, expected.loss)
    torch.testing.assert_close(output.logits, expected.logits)
