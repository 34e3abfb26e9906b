"""Adapters and offloading change what a module's call does; the model keeps to calls where that matters."""

import accelerate
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch._dynamo.utils import counters

from modeling_nanochat import BitLinear, LoopLMForCausalLM
from tests.helpers.paths import ROOT
from tests.helpers.tiny import random_tokens, tiny_model

TERNARY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def with_adapter(model, **settings):
    """LoRA whose second matrices are not zero, so that it has an effect at once."""
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    return adapted


@pytest.mark.parametrize("safe_merge", [False, True])
@torch.no_grad()
def test_merging_warns_that_weights_are_rounded_anew_and_the_model_computes_with_them(tmp_path, safe_merge):
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(activation_bits=8), target_modules=TERNARY).eval()
    adapted.generate(input_ids=tokens, max_new_tokens=2, do_sample=False)
    before = adapted(tokens).logits
    with pytest.warns(UserWarning, match="weights of ternary layers have changed since an adapter"):
        merged = adapted.merge_and_unload(safe_merge=safe_merge)
    merged.save_pretrained(tmp_path)
    assert torch.equal(merged(tokens).logits, LoopLMForCausalLM.from_pretrained(tmp_path)(tokens).logits)
    assert not torch.allclose(merged(tokens).logits, before), "merging rounds the sum anew: the outputs differ"


@torch.no_grad()
def test_an_adapter_that_is_merged_and_kept_warns_when_the_model_is_used(recwarn):
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(), target_modules=TERNARY).eval()
    adapted(tokens)
    adapted.unload()
    adapted = with_adapter(tiny_model(), target_modules=TERNARY).eval()
    assert not [each for each in recwarn if "ternary" in str(each.message)], "nothing was merged so far"
    adapted.merge_adapter()
    with pytest.warns(UserWarning, match="weights of ternary layers have changed"):
        adapted(tokens)
    adapted.unmerge_adapter()
    recwarn.clear()
    adapted(tokens)
    assert not [each for each in recwarn if "ternary" in str(each.message)]


def test_an_adapter_trains_and_loads_again_and_the_latent_weights_rest(tmp_path):
    tokens = random_tokens(4, 12)
    adapted = get_peft_model(tiny_model(activation_bits=8), LoraConfig(r=4, target_modules=TERNARY)).train()
    before = {name: value.clone() for name, value in adapted.state_dict().items() if "lora_" not in name}
    optimizer = torch.optim.AdamW([each for each in adapted.parameters() if each.requires_grad], lr=0.02)
    losses = []
    for _ in range(12):
        loss = adapted(tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    state = adapted.state_dict()
    assert all(torch.equal(state[name], value) for name, value in before.items())

    adapted.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("model*.safetensors")), "only the adapter is saved"
    again = PeftModel.from_pretrained(tiny_model(activation_bits=8), tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(tokens).logits, adapted.eval()(tokens).logits)


def test_the_documented_targets_are_all_ternary_layers_and_nothing_else():
    adapted = get_peft_model(tiny_model(), LoraConfig(r=4, target_modules=TERNARY))
    wrapped = {name.removesuffix(".base_layer") for name, _ in adapted.named_modules() if name.endswith("base_layer")}
    ternary = {
        name.removesuffix(".base_layer") for name, each in adapted.named_modules() if isinstance(each, BitLinear)
    }
    assert wrapped == ternary and len(ternary) == 7 * adapted.config.num_shared_layers
    documented = (ROOT / "docs" / "training.md").read_text()
    assert str(TERNARY).replace("'", '"') in documented


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


def adapter_gradients(adapted, tokens, **settings) -> dict[str, torch.Tensor]:
    adapted.zero_grad()
    loss = adapted(tokens, labels=tokens, use_cache=False, **settings).loss
    loss.backward()
    gradients = {name: each.grad for name, each in adapted.named_parameters() if each.grad is not None}
    return gradients | {"loss": loss.detach()}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_blocks_train_an_adapter_as_eager_ones_do(backend):
    torch._dynamo.reset()
    counters.clear()
    tokens = random_tokens(2, 9)
    adapted = with_adapter(tiny_model(initializer_range=0.02, mhc_num_streams=1), target_modules=TERNARY).train()
    expected = adapter_gradients(adapted, tokens), adapter_gradients(adapted, tokens, num_loops=5)
    adapted.compile_blocks(backend=backend, fullgraph=True)
    found = adapter_gradients(adapted, tokens)
    torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-4)
    # Of the weights and two of the block: the first block's input carries no gradient, as the embedding is frozen.
    assert counters["stats"]["unique_graphs"] == 3
    found = adapter_gradients(adapted, tokens, num_loops=5)
    torch.testing.assert_close(found, expected[1], atol=1e-5, rtol=1e-4)
    assert counters["stats"]["unique_graphs"] == 3, "one graph for all blocks and any number of loops"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The weights of ternary layers")
@torch.no_grad()
def test_compiled_blocks_see_adapters_come_change_and_merge():
    torch._dynamo.reset()
    tokens = random_tokens(2, 9)
    model = tiny_model(mhc_num_streams=1)
    model.compile_blocks(backend="eager")
    bare = model(tokens, use_cache=False).logits
    adapted = with_adapter(model, target_modules=TERNARY).eval()
    lora_b = adapted.base_model.model.model.layers[1].mlp.up_proj.lora_B["default"].weight
    for change in (lambda: None, lambda: lora_b.mul_(3), adapted.merge_adapter, adapted.unmerge_adapter):
        change()
        compiled = adapted(tokens, use_cache=False).logits
        assert not torch.allclose(compiled, bare)
        # A cache makes the blocks run eagerly.
        torch.testing.assert_close(compiled, adapted(tokens, use_cache=True).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_streams", [1, 2])
@torch.no_grad()
def test_an_offloaded_model_gives_the_same_loss_and_logits(num_streams):
    model, tokens = tiny_model(mhc_num_streams=num_streams), random_tokens(2, 9)
    expected = model(tokens, labels=tokens)
    accelerate.cpu_offload(model, execution_device=torch.device("cpu"))
    output = model(tokens, labels=tokens)
    torch.testing.assert_close(output.loss, expected.loss)
    torch.testing.assert_close(output.logits, expected.logits)
