"""Quantisers leave ternary layers alone, or are refused before they read a latent weight."""

import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic
from torch.testing._internal.two_tensor import TwoTensor
from transformers import BitNetQuantConfig, BitsAndBytesConfig
from transformers.utils.quantization_config import QuantizationMethod

from modeling_nanochat import BitLinear, LoopLMForCausalLM
from modeling_nanochat.packed_nanochat import PackedBitLinear
from tests.helpers.tiny import random_tokens, tiny_model


def latent_or_packed(packed, **settings):
    model = tiny_model(num_loops=2, **settings)
    return model.pack() if packed else model


def ternary_layers(model):
    return [each for each in model.modules() if isinstance(each, (BitLinear, PackedBitLinear))]


@pytest.mark.parametrize("bits", ["load_in_8bit", "load_in_4bit"])
@pytest.mark.parametrize("packed", [False, True])
@torch.no_grad()
def test_bitsandbytes_leaves_ternary_layers_gate_and_head_as_they_are(tmp_path, packed, bits):
    model, tokens = latent_or_packed(packed), random_tokens(2, 9)
    model.save_pretrained(tmp_path)
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path, quantization_config=BitsAndBytesConfig(**{bits: True}))
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)


@torch.no_grad()
def test_bitsandbytes_quantizes_the_head_where_it_is_asked_to_and_nothing_else(tmp_path):
    model, tokens = latent_or_packed(False), random_tokens(2, 9)
    model.save_pretrained(tmp_path)
    settings = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["embed_tokens"])
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path, quantization_config=settings)
    assert type(loaded.lm_head).__name__ == "Linear8bitLt"
    assert len(ternary_layers(loaded)) == len(ternary_layers(model))
    expected, found = model(tokens, labels=tokens), loaded(tokens, labels=tokens)
    assert torch.equal(found.loop_losses.isfinite(), expected.loop_losses.isfinite())
    torch.testing.assert_close(found.gate_logits, expected.gate_logits)
    torch.testing.assert_close(found.loss, expected.loss, atol=0.05, rtol=0.02)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@torch.no_grad()
def test_dynamic_quantization_takes_the_head_alone(packed, tied):
    model, tokens = latent_or_packed(packed, tie_word_embeddings=tied), random_tokens(2, 9)
    quantized = quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    assert len(ternary_layers(quantized)) == len(ternary_layers(model))
    expected, found = model(tokens, labels=tokens), quantized(tokens, labels=tokens)
    assert torch.equal(found.gate_logits, expected.gate_logits)
    torch.testing.assert_close(found.loss, expected.loss, atol=0.05, rtol=0.02)
    assert quantized.generate(tokens, max_new_tokens=2, do_sample=False).shape == (2, 11)


def test_a_quantizer_of_transformers_is_refused_before_anything_is_read(tmp_path):
    model = tiny_model()
    model.config.quantization_config = BitNetQuantConfig().to_dict()
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='must be of bitsandbytes for a ternary model, got quant_method="bitnet"'):
        LoopLMForCausalLM.from_pretrained(tmp_path)


@pytest.mark.parametrize("method", [each for each in QuantizationMethod if each.value != "bitsandbytes"])
def test_every_other_quantizer_is_refused_by_name_and_float_models_take_it(method):
    with torch.device("meta"):
        model, float_model = tiny_model(), tiny_model(ternary=False)
    with pytest.raises(ValueError, match=f'quant_method="{method.value}"'):
        model.quantization_method = method
    float_model.quantization_method = method


def test_a_quantized_tensor_in_place_of_a_latent_weight_is_refused():
    """As torchao sets it; a tensor of two tensors stands for its codes and scales."""
    layer = tiny_model().model.layers[0].mlp.up_proj
    with pytest.raises(ValueError, match="must be a plain tensor, got a TwoTensor: quantized"):
        layer.weight = nn.Parameter(TwoTensor(layer.weight.detach(), layer.weight.detach()))


def test_replacing_a_ternary_layer_is_refused_at_once():
    model = tiny_model()
    with pytest.raises(ValueError, match="ternary layer up_proj must stay.* got a Linear in its place"):
        model.set_submodule("model.layers.0.mlp.up_proj", nn.Linear(32, 64, bias=False))


def test_replacing_a_ternary_layer_behind_its_module_is_refused_at_the_next_pass():
    model = tiny_model()
    model.model.layers[0].mlp._modules["up_proj"] = nn.Linear(32, 64, bias=False)
    with pytest.raises(ValueError, match="ternary layer up_proj must stay"):
        model(random_tokens(1, 4))


def test_a_hook_on_the_head_is_called_by_the_loss():
    model, tokens, calls = tiny_model().train(), random_tokens(1, 6), []
    model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    model(tokens, labels=tokens).loss.backward()
    assert calls
