"""Which of PEFT's adapters call the ternary layers, and that those which read their latent weights are refused."""

import warnings

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGURATIONS
from peft.tuners.lora.config import KasaConfig

from modeling_nanochat import BitLinear
from modeling_nanochat.adapters_nanochat import CALLING_ADAPTERS, READING_ADAPTERS, check_adapters
from modeling_nanochat.ternary_nanochat import quantize_weight
from tests.helpers.tiny import random_tokens, tiny_model

PROMPTS = {"PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT", "CARTRIDGE"}
"""Put something in front of the input and nothing on any layer."""
REFUSED_BY_PEFT = {"GLORA", "ADAPTION_PROMPT", "SHADOW"}
UNTESTED = {"ADAMSS", "POLY", "XLORA", "LN_TUNING", "TRAINABLE_TOKENS"}
"""Needs scikit-learn, task ids or other adapters, or is not on linear layers."""

TERNARY = ["q_proj", "up_proj", "down_proj"]
SETTINGS = {
    "ADALORA": {"total_step": 10},
    "BOFT": {"boft_block_size": 4},
    "C3A": {"block_size": 16},
    "FOURIERFT": {"n_frequency": 16},
    "IA3": {"feedforward_modules": ["down_proj"]},
    "MISS": {"r": 8},
    "OFT": {"oft_block_size": 4},
    "PSOFT": {"r": 4},
    "ROAD": {"group_size": 16},
    "SHIRA": {"r": 2},
    "VBLORA": {"vector_length": 8, "num_vectors": 16},
    "WAVEFT": {"n_frequency": 16},
}
LORA_WORKS = [
    {"init_lora_weights": "gaussian"},
    {"init_lora_weights": "eva"},
    {"init_lora_weights": "orthogonal"},
    {"init_lora_weights": "mica"},
    {"use_dora": True},
    {"lora_dropout": 0.1},
    {"use_rslora": True},
]
LORA_REFUSED = [
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "pissa_niter_2"},
    {"init_lora_weights": "olora"},
    {"init_lora_weights": "lora_ga"},
    {"kasa_config": KasaConfig()},
    {"use_dora": True, "lora_dropout": 0.1},
]
METHODS = {
    **{kind: (kind, SETTINGS.get(kind, {})) for kind in sorted(CALLING_ADAPTERS - UNTESTED)},
    **{f"LORA {settings}": ("LORA", settings) for settings in LORA_WORKS},
}
REFUSED = {
    **{kind: (kind, SETTINGS.get(kind, {})) for kind in sorted(READING_ADAPTERS.keys() - REFUSED_BY_PEFT)},
    **{f"LORA {settings}": ("LORA", settings) for settings in LORA_REFUSED},
    "MISS bat": ("MISS", {"r": 8, "init_weights": "bat"}),
}


def small_model():
    return tiny_model(num_shared_layers=1, num_loops=2, mhc_num_streams=1)


def with_method(model, kind, settings):
    torch.manual_seed(0)
    configuration = CONFIGURATIONS[peft.PeftType(kind)](**{"target_modules": TERNARY} | settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EVA and others advise to read more data.
        return get_peft_model(model, configuration)


def test_every_type_of_the_installed_peft_is_in_the_table():
    known = CALLING_ADAPTERS | READING_ADAPTERS.keys() | PROMPTS | REFUSED_BY_PEFT
    assert known == {kind.value for kind in CONFIGURATIONS}
    assert not CALLING_ADAPTERS & READING_ADAPTERS.keys()


class CallsAlone:
    """Stands for a ternary layer's forward; the layer's weight itself is then of no use to anybody."""

    def __init__(self, layer: BitLinear):
        self.weight = quantize_weight(layer.weight.detach(), layer.group_size)

    def __call__(self, hidden_states):
        return hidden_states @ self.weight.t()


DELTA_READS = {"HIRA", "PEANUT"} | {f"LORA {settings}" for settings in LORA_WORKS if "use_dora" in settings}
"""Call the layer, and compute what they add from the latent weight, as they are defined: right at the start."""


@pytest.mark.parametrize("method", METHODS)
def test_an_adapter_that_works_calls_the_layer_changes_no_weight_and_gets_gradients(method):
    model, tokens = small_model(), random_tokens(2, 9)
    expected = model(tokens).logits.detach()
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BitLinear)}
    before = {name: layer.weight.detach().clone() for name, layer in layers.items()}
    adapted = with_method(model, *METHODS[method])
    assert all(torch.equal(layer.weight, before[name]) for name, layer in layers.items())
    with adapted.disable_adapter():
        assert torch.equal(adapted.eval()(tokens).logits, expected)
    adapted.train()(tokens, labels=tokens).loss.backward()
    trained = [each for each in adapted.parameters() if each.requires_grad]
    assert any(each.grad is not None and each.grad.abs().max() > 0 for each in trained)
    if method in DELTA_READS:
        torch.testing.assert_close(adapted.eval()(tokens).logits, expected)
        return
    for layer in layers.values():
        layer.forward = CallsAlone(layer)
        layer.keep_quantized_weight = lambda reuse: None
        layer.weight.data = torch.full_like(layer.weight, torch.nan)
    assert torch.isfinite(adapted(tokens, labels=tokens).loss)


@pytest.mark.parametrize("method", REFUSED)
def test_an_adapter_that_computes_from_the_latent_weight_is_refused_by_name(method):
    kind, settings = REFUSED[method]
    expected = {"LORA": "(LoRA|DoRA) with"}.get(kind, kind)
    with pytest.raises(ValueError, match=f"must call them, but {expected}.* (multiplies by|is initialized with)"):
        with_method(small_model(), kind, settings)


@pytest.mark.parametrize("start", ["corda", "loftq"])
def test_starts_that_need_data_or_packages_are_refused_for_the_layer_they_are_put_on(start):
    adapted, config = with_method(small_model(), "LORA", {}), LoraConfig()
    config.init_lora_weights = start  # PEFT itself asks for data or SciPy before.
    with pytest.raises(ValueError, match="is initialized with a part of the layer's weight"):
        check_adapters(adapted.base_model.model, {"default": config})


def test_an_adapter_that_is_added_later_is_refused_at_the_next_pass():
    adapted = with_method(small_model(), "LORA", {})
    adapted(random_tokens(1, 4))
    adapted.add_adapter("later", LoraConfig(target_modules=TERNARY, init_lora_weights="pissa"))
    with pytest.raises(ValueError, match='init_lora_weights="pissa" is initialized'):
        adapted(random_tokens(1, 4))


def test_float_layers_take_every_adapter():
    with_method(small_model(), "LORA", {"target_modules": ["lm_head"], "init_lora_weights": "pissa"})
    with_method(tiny_model(ternary=False), "HRA", {})


def test_an_adapter_of_an_unknown_type_warns(monkeypatch):
    monkeypatch.setattr("modeling_nanochat.adapters_nanochat.CALLING_ADAPTERS", frozenset())
    with pytest.warns(UserWarning, match="PEFT's LORA is not known here"):
        get_peft_model(small_model(), LoraConfig(target_modules=TERNARY))


@torch.no_grad()
def test_an_adapter_of_the_latent_weight_itself_merges_without_a_change_or_a_warning(recwarn):
    tokens = random_tokens(2, 9)
    adapted = get_peft_model(small_model(), LoraConfig(target_modules=[], target_parameters=["up_proj.weight"])).eval()
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.normal_(0, 0.3)
    expected = adapted(tokens).logits
    assert torch.equal(adapted.merge_and_unload()(tokens).logits, expected)
    assert not [each for each in recwarn if "ternary" in str(each.message)]


@torch.no_grad()
def test_a_change_of_the_weight_under_an_adapter_warns_once_it_is_used(recwarn):
    tokens = random_tokens(1, 4)
    adapted = with_method(small_model(), "LORA", {})
    adapted(tokens)
    assert not [each for each in recwarn if "ternary" in str(each.message)]
    layer = adapted.base_model.model.model.layers[0].mlp.up_proj.base_layer
    layer.weight.data.mul_(1.01)
    with pytest.warns(UserWarning, match="weights of ternary layers have changed since an adapter"):
        adapted.generate(input_ids=tokens, max_new_tokens=1)


@pytest.mark.parametrize("tied", [False, True])
def test_trainable_tokens_go_through_loss_and_generation(tied):
    model, tokens = tiny_model(tie_word_embeddings=tied, num_loops=2), random_tokens(2, 9)
    expected = model(tokens, labels=tokens).loss
    settings = {"target_modules": TERNARY, "trainable_token_indices": [int(tokens[0, 0]), 4]}
    adapted = get_peft_model(model, LoraConfig(**settings))
    output = adapted.train()(tokens, labels=tokens)
    torch.testing.assert_close(output.loss, expected)
    output.loss.backward()
    grads = [each.grad for name, each in adapted.named_parameters() if "trainable_tokens" in name]
    assert any(each is not None and each.abs().max() > 0 for each in grads)
    assert adapted.eval().generate(input_ids=tokens, max_new_tokens=2, do_sample=False).shape == (2, 11)
