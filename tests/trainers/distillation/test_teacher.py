"""A teacher's predictions are those of its own forward pass."""

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, Gemma2Config, Gemma2ForCausalLM

from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import VOCAB_SIZE, random_tokens, tiny_model
from trainers.distillation.teacher import Teacher, weights_dtype


def capping_teacher() -> Gemma2ForCausalLM:
    """A model that does more than its head does: it caps the logits."""
    config = Gemma2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=0.5,
        pad_token_id=0,
    )
    return Gemma2ForCausalLM(config).eval()


@pytest.mark.parametrize(("make", "has_head"), [(tiny_llama, True), (tiny_model, True), (capping_teacher, False)])
def test_predictions_are_those_of_the_models_logits(make, has_head):
    model, tokens = make(), random_tokens(2, 9)
    teacher = Teacher.of(model)
    targets = teacher.targets({"input_ids": tokens}, 1.0)
    with torch.no_grad():
        logits = model(tokens).logits
    torch.testing.assert_close(targets.logits(targets.rows), logits.flatten(0, 1).float(), rtol=1e-4, atol=1e-4)
    assert (teacher.head is not None) == has_head


@pytest.mark.parametrize("make", [tiny_llama, tiny_model])
def test_position_ids_keep_documents_apart(make):
    Teacher.of(make()).check_documents()


def test_a_teacher_that_cannot_keep_documents_apart_is_refused():
    model = BloomForCausalLM(BloomConfig(vocab_size=VOCAB_SIZE, hidden_size=32, n_head=4, n_layer=1, pad_token_id=0))
    with pytest.raises(ValueError, match="a BloomForCausalLM, must keep the documents of a block apart by position"):
        Teacher.of(model.eval()).check_documents()


def test_latent_ternary_weights_stay_in_fp32():
    assert weights_dtype(tiny_llama().config, bf16=True) == torch.bfloat16
    assert weights_dtype(tiny_model().config, bf16=True) == torch.float32
    assert weights_dtype(tiny_model(ternary=False).config, bf16=True) == torch.bfloat16
