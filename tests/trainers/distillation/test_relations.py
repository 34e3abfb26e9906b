"""Attention relations in the loss are their formula, in every mode of the student's forward pass."""

import copy
from functools import partial
from math import sqrt
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.recomputation_nanochat import GRANULARITIES
from tests.helpers.distillation import make_distillation_trainer
from tests.helpers.teachers import tiny_llama
from tests.helpers.tiny import VOCAB_SIZE, random_tokens, tiny_config, tiny_model
from trainers.distillation.attention import PROJECTIONS, AttentionComparison, AttentionRelations
from trainers.distillation.loss import DistillationWeights
from trainers.distillation.relations import Projections, documents_of, relation_divergence
from trainers.distillation.teacher import Teacher
from trainers.pretraining import labels_of

TOKENS = {
    "input_ids": random_tokens(2, 9),
    "position_ids": torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4], list(range(9))]),
}
LABELS = labels_of({"labels": TOKENS["input_ids"].masked_fill(torch.arange(9) == 6, -100)})
SHAPE: dict[str, Any] = dict(num_prelude_layers=1, num_coda_layers=1, loop_update="scaled")


def expected_divergence(teacher, student, documents, counted, heads: int) -> torch.Tensor:
    """The formula in float64, one relation of one head at a time."""
    total = torch.zeros((), dtype=torch.float64)
    length = documents.shape[1]
    for theirs, ours in zip(teacher, student, strict=True):
        for row in range(len(documents)):
            apart = documents[row][:, None] != documents[row]
            forbidden = apart | torch.ones(length, length, dtype=torch.bool).triu(1)
            for parts in zip(theirs[row].double().chunk(heads, -1), ours[row].double().chunk(heads, -1), strict=True):
                logs = [
                    F.log_softmax((part @ part.t() / sqrt(part.shape[-1])).masked_fill(forbidden, -1e9), dim=-1)
                    for part in parts
                ]
                found = (logs[0].exp() * (logs[0] - logs[1])).sum(dim=-1)
                total = total + found[counted[row]].sum() / heads
    return total


@pytest.mark.parametrize("chunk", [1, 4, None])
def test_the_divergence_and_its_gradient_are_the_formula_in_float64(chunk):
    generator = torch.Generator().manual_seed(0)
    teacher = Projections(*(torch.randn(2, 9, width, generator=generator) for width in (24, 12, 12)))
    student = [torch.randn(2, 9, width, generator=generator).requires_grad_() for width in (12, 6, 6)]
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, :3] = 0
    documents = documents_of(TOKENS["input_ids"], TOKENS["position_ids"], mask)
    counted = (LABELS != -100) & (mask == 1)
    found = relation_divergence(teacher, Projections(*student), documents, counted, 3, chunk)
    expected = expected_divergence(teacher, student, documents, counted, 3)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    wanted = torch.autograd.grad(expected, student)
    for one, two in zip(torch.autograd.grad(found, student), wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def projections_in_last_loop(model: Any, layer: int) -> tuple[Projections, torch.Tensor]:
    """What the projections of a layer returned last in a plain pass, and the loss of the pass."""
    found, attention = {}, model.get_decoder().layers[layer].self_attn

    def keep(name, _module, _inputs, output):
        found[name] = output

    hooks = [attention.get_submodule(name).register_forward_hook(partial(keep, name)) for name in PROJECTIONS]
    loss = model(**TOKENS, labels=TOKENS["input_ids"], use_cache=False).loss
    for hook in hooks:
        hook.remove()
    return Projections(*(found[name] for name in PROJECTIONS)), loss


def gradients(
    student: LoopLMForCausalLM, teacher: PreTrainedModel, settings: AttentionRelations
) -> dict[str, torch.Tensor]:
    """Gradients of the model's loss and the relations together, through the watched passes."""
    comparison = AttentionComparison(settings, teacher, student.model)
    student.zero_grad()
    with comparison.watched():
        Teacher.of(teacher).targets(TOKENS, 1.0)
        loss = student(**TOKENS, labels=TOKENS["input_ids"], use_cache=False).loss
    (loss + comparison.loss(TOKENS, LABELS, None).loss).backward()
    return {name: each.grad for name, each in student.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("layer", [0, 2, 3], ids=["prelude", "core", "coda"])
def test_gradients_are_those_of_the_last_loops_projections_in_every_mode(layer):
    teacher, plain = Teacher.of(tiny_llama()).model, tiny_model(seed=1, **SHAPE).train()
    settings = AttentionRelations(3.0, layer, teacher_layer=1, heads=2)
    student, loss = projections_in_last_loop(plain, layer)
    with torch.no_grad():
        reference, _ = projections_in_last_loop(teacher, 1)
    counted = LABELS != -100
    relations = expected_divergence(reference, student, documents_of(**TOKENS), counted, 2)
    (alone,) = torch.autograd.grad(relations, plain.model.layers[layer].self_attn.v_proj.weight, retain_graph=True)
    assert alone.abs().max() > 0
    (loss + 3 * relations / counted.sum()).backward()
    for mode in (None, *GRANULARITIES, "compiled") if layer == 2 else (None, "loop"):
        model = copy.deepcopy(plain)
        if mode == "compiled":
            torch._dynamo.reset()
            model.compile_blocks(backend="eager", fullgraph=True)
        elif mode is not None:
            model.activation_checkpointing_enable({"use_reentrant": False, "granularity": mode})
        found = gradients(model, teacher, settings)
        if mode == "compiled":
            with torch._dynamo.config.patch(error_on_recompile=True):
                found = gradients(model, teacher, settings)
        for name, value in plain.named_parameters():
            torch.testing.assert_close(found[name], value.grad, rtol=2e-3, atol=2e-5, msg=f"{mode} {name}")
    assert all(each.grad is None for each in teacher.parameters())


def test_a_student_in_bf16_is_compared_in_fp32():
    teacher, student = tiny_llama(), tiny_model(seed=1).train()
    settings = AttentionRelations(1.0, heads=4)
    whole = gradients(student, teacher, settings)
    whole = {name: value.clone() for name, value in whole.items()}
    with torch.autocast("cpu", torch.bfloat16):
        rounded = gradients(student, teacher, settings)
    for name in ("q_proj", "k_proj", "v_proj"):
        name = f"model.layers.1.self_attn.{name}.weight"
        assert rounded[name].dtype == torch.float32
        assert F.cosine_similarity(rounded[name].flatten(), whole[name].flatten(), dim=0) > 0.95


def test_the_divergence_falls_in_training_and_the_teacher_stays(tmp_path):
    rows = [{"input_ids": row, "labels": row} for row in random_tokens(8, 8)]
    teacher = tiny_llama()
    before = copy.deepcopy(teacher.state_dict())
    trainer = make_distillation_trainer(
        tmp_path,
        teacher,
        tiny_model(seed=1),
        DistillationWeights(kl_weight=1e-6),
        rows,
        AttentionRelations(1.0, heads=4),
        max_steps=10,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
    )
    trainer.train()
    found = [entry["attention_relation_kl"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(found) == 10 and found[-1] < 0.75 * found[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_equal_models_have_equal_layers_and_no_divergence():
    student, teacher = tiny_model(**SHAPE), tiny_model(**SHAPE)
    comparison = AttentionComparison(AttentionRelations(1.0, heads=2), teacher, student.model)
    with comparison.watched(), torch.no_grad():
        Teacher.of(teacher).targets(TOKENS, 1.0)
        student(**TOKENS, use_cache=False)
    assert float(comparison.loss(TOKENS, LABELS, None).mean) == 0


@pytest.mark.parametrize(
    ("shape", "layer", "expected"),
    [(SHAPE, None, (2, 6)), (SHAPE, 0, (0, 0)), (SHAPE, 3, (3, 7)), ({}, None, (1, 7)), ({}, 0, (0, 6))],
)
def test_the_teachers_layer_is_at_the_students_depth_over_all_loops(shape, layer, expected):
    config = copy.deepcopy(tiny_llama().config)
    config.num_hidden_layers = 8
    with torch.device("meta"):
        teacher = type(tiny_llama())(config)
    student = tiny_config(**shape)
    assert AttentionRelations(1.0, layer, heads=4).layers(teacher, student) == expected


def test_impossible_comparisons_are_refused_with_what_is_possible():
    teacher, student = tiny_llama(), tiny_config()
    for settings, message in (
        (dict(heads=3), r"attention_relation_heads must divide 16, .* the student, \(32, 16\), and .*; got 3"),
        (dict(layer=2), "attention_relation_layer must be from 0 to 1, the last layer of the student, got 2"),
        (dict(teacher_layer=9), "attention_relation_teacher_layer must be from 0 to 1, .* of the teacher, got 9"),
    ):
        with pytest.raises(ValueError, match=message):
            AttentionRelations(1.0, **settings).layers(teacher, student)
    fused = GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB_SIZE, n_embd=32, n_layer=1, n_head=4))
    with pytest.raises(ValueError, match="a GPT2LMHeadModel, must have the linear layers q_proj, k_proj, v_proj"):
        AttentionRelations(1.0).layers(fused, student)
