"""The usual work of users with a model: initialize, tie, save, cast, checkpoint activations, fine-tune."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, LoopLMModel
from modeling_nanochat.ternary_nanochat import BitLinear
from tests.helpers.tiny import random_tokens, tiny_config, tiny_model


def test_the_auto_classes_know_the_model():
    assert type(AutoConfig.for_model("nanochat_looplm")) is LoopLMConfig
    assert type(AutoModel.from_config(tiny_config())) is LoopLMModel
    assert type(AutoModelForCausalLM.from_config(tiny_config())) is LoopLMForCausalLM


@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_saving_and_loading_keeps_the_logits(tmp_path, tied):
    model, tokens = tiny_model(tie_word_embeddings=tied, activation_bits=8), random_tokens(2, 7)
    model.save_pretrained(tmp_path)
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(loaded(tokens).logits, model(tokens).logits)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert torch.equal(LoopLMModel.from_pretrained(tmp_path)(tokens).last_hidden_state, model.model(tokens)[0])


@torch.no_grad()
def test_the_number_of_loops_can_be_changed_when_loading(tmp_path):
    model, tokens = tiny_model(), random_tokens(2, 7)
    model.save_pretrained(tmp_path)
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path, num_loops=5)
    assert torch.equal(loaded(tokens).logits, model(tokens, num_loops=5).logits)
    generated = loaded.generate(tokens, max_new_tokens=4, do_sample=False)
    assert torch.equal(generated, model.generate(tokens, max_new_tokens=4, do_sample=False, num_loops=5))
    with pytest.raises(ValueError, match="LoopLMConfig.num_loops must be an integer >= 1, got 0"):
        LoopLMForCausalLM.from_pretrained(tmp_path, num_loops=0)


@torch.no_grad()
def test_meta_initialization_holds_no_data_and_loading_rebuilds_the_buffers(tmp_path):
    with torch.device("meta"):
        model = LoopLMForCausalLM(tiny_config())
    assert all(parameter.is_meta for parameter in model.parameters())
    trained, tokens = tiny_model(), random_tokens(2, 5)
    trained.save_pretrained(tmp_path)
    # Loading goes through the meta device as well; buffers that are not saved must be rebuilt.
    assert torch.equal(LoopLMForCausalLM.from_pretrained(tmp_path)(tokens).logits, trained(tokens).logits)


@torch.no_grad()
def test_a_copied_model_is_independent():
    model, tokens = tiny_model(), random_tokens(2, 5)
    expected = model(tokens).logits
    twin = copy.deepcopy(model)
    for parameter in twin.parameters():
        parameter.zero_()
    twin.config.num_loops = 1
    twin(tokens)
    assert torch.equal(model(tokens).logits, expected)


@pytest.mark.parametrize("num_streams", [1, 2])
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_gives_equal_gradients(num_streams, use_reentrant):
    model, tokens = tiny_model(mhc_num_streams=num_streams, activation_bits=8).train(), random_tokens(2, 9)

    def gradients():
        model.zero_grad()
        model(tokens, labels=tokens).loss.backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    expected = gradients()
    model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
    if use_reentrant:
        model.enable_input_require_grads()
    for name, gradient in gradients().items():
        torch.testing.assert_close(gradient, expected[name], atol=2e-6, rtol=1e-4)


def test_every_parameter_gets_a_gradient():
    model, tokens = tiny_model(mhc_num_streams=4, sandwich_norm=True).train(), random_tokens(2, 9)
    model(tokens, labels=tokens).loss.backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    # The scale of the dynamic coefficients multiplies a projection that starts at zero.
    assert all(name.endswith("_residual.scale") for name in missing)


def test_a_frozen_gate_stays_as_it_is():
    model, tokens = tiny_model().train(), random_tokens(2, 9)
    model.freeze_gate()
    model(tokens, labels=tokens).loss.backward()
    assert model.model.exit_gate.weight.grad is None
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None


@torch.no_grad()
def test_a_bf16_model_keeps_gate_and_streams_in_fp32(tmp_path):
    model, tokens = tiny_model(activation_bits=8), random_tokens(2, 7)
    model.save_pretrained(tmp_path)
    low = LoopLMForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    kept = {name for name, parameter in low.named_parameters() if parameter.dtype == torch.float32}
    assert kept == {name for name, _ in model.named_parameters() if "exit_gate" in name or "_residual." in name}
    output = low(tokens)
    assert output.logits.dtype == torch.bfloat16 and output.exit_pdf.dtype == torch.float32
    assert torch.isfinite(output.logits).all()
    assert low.bfloat16()(tokens).exit_pdf.dtype == torch.float32


def test_embedding_head_gate_norms_and_streams_are_not_ternary():
    model = tiny_model()
    ternary = {name for name, module in model.named_modules() if isinstance(module, BitLinear)}
    projections = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    assert {name.rsplit(".", 1)[1] for name in ternary} == set(projections)
    assert len(ternary) == len(projections) * model.config.num_shared_layers
    assert not any(isinstance(module, BitLinear) for module in tiny_model(ternary=False).modules())


def test_ouro_norms_exist_only_in_the_sandwich():
    norms = {"input_layernorm_2.weight", "post_attention_layernorm_2.weight"}
    names = {name.split(".", 3)[-1] for name in tiny_model(sandwich_norm=True).state_dict()}
    assert norms <= names
    assert not norms & {name.split(".", 3)[-1] for name in tiny_model().state_dict()}


@torch.no_grad()
def test_hidden_states_and_attentions_are_returned_per_application():
    model, tokens = tiny_model(mhc_num_streams=1), random_tokens(2, 5)
    model.set_attn_implementation("eager")
    output = model(tokens, output_hidden_states=True, output_attentions=True)
    applications = model.config.num_shared_layers * model.config.num_loops
    assert len(output.hidden_states) == applications + 1 and len(output.attentions) == applications
    assert torch.equal(model.lm_head(output.hidden_states[-1]), output.logits)
    assert output.attentions[0].shape == (2, 4, 5, 5)


def test_the_tuple_form_begins_with_loss_and_logits():
    model, tokens = tiny_model(), random_tokens(2, 5)
    named = model(tokens, labels=tokens)
    assert torch.equal(named[0], named.loss) and torch.equal(named[1], named.logits)
    loss, logits = model(tokens, labels=tokens, return_dict=False)[:2]
    assert torch.equal(loss, named.loss) and torch.equal(logits, named.logits)
    assert torch.equal(model(tokens, return_dict=False)[0], named.logits)


def test_exactly_one_kind_of_input_is_needed():
    model = tiny_model()
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    embeds = model.model.embed_tokens(random_tokens(1, 3))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(random_tokens(1, 3), inputs_embeds=embeds)
    assert torch.equal(model(inputs_embeds=embeds).logits, model(random_tokens(1, 3)).logits)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, dict(exit_threshold=0.5, kv_reuse="last")], ids=["plain", "decodes_otherwise"]
)
@torch.no_grad()
def test_the_compiled_model_rounds_as_the_eager_one_and_sees_new_weights(settings):
    model, tokens = tiny_model(num_shared_layers=1, num_loops=2, **settings), random_tokens(2, 9)
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(tokens).logits, model(tokens).logits, atol=1e-4, rtol=1e-4)
    model.model.layers[0].mlp.up_proj.weight.neg_()
    torch.testing.assert_close(compiled(tokens).logits, model(tokens).logits, atol=1e-4, rtol=1e-4)
