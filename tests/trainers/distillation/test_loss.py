"""The chunked loss of distillation is its formula, and so is its gradient."""

from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from modeling_nanochat.loss_nanochat import IGNORE_INDEX
from trainers.distillation.loss import DistillationWeights, distillation_loss
from trainers.distillation.targets import DenseTargets, TopKTargets, teacher_log_probs, top_k

VOCAB, HIDDEN = 23, 7


class Case(NamedTuple):
    """Random states, head and labels of a student, and logits of a teacher, in float32 without gradients."""

    states: torch.Tensor
    head: torch.Tensor
    labels: torch.Tensor
    teacher: torch.Tensor


def random_case(seed: int, loops: int = 3, batch: int = 2, length: int = 6, kept: float = 0.7) -> Case:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(VOCAB, (batch, length), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) > kept] = IGNORE_INDEX
    return Case(
        torch.randn(loops, batch, length, HIDDEN, generator=generator),
        torch.randn(VOCAB, HIDDEN, generator=generator),
        labels,
        2 * torch.randn(batch * length, VOCAB, generator=generator),
    )


def computed(case: Case, weights: DistillationWeights, targets=None, chunk: int | None = None):
    """The loss with its gradients by states and head."""
    states = case.states.clone().requires_grad_()
    head = nn.Linear(HIDDEN, VOCAB, bias=False)
    head.weight.data.copy_(case.head)
    if targets is None:
        targets = DenseTargets(case.teacher, torch.Tensor.float, weights.temperature)
    found = distillation_loss(tuple(states), head, case.labels, targets, weights, chunk=chunk)
    found.loss.backward()
    return found, states.grad, head.weight.grad


def kl(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """Of log-probabilities."""
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1)


def expected(case: Case, weights: DistillationWeights, divergence=kl):
    """The formula in float64, with autograd's gradients."""
    states, head = case.states.double().requires_grad_(), case.head.double().requires_grad_()
    logits = (states @ head.t()).flatten(1, 2)
    labels, temperature = case.labels.flatten(), weights.temperature
    valid = labels != IGNORE_INDEX
    log_probs = F.log_softmax(logits / temperature, dim=-1)
    teacher = F.log_softmax(case.teacher.double() / temperature, dim=-1)
    cross_entropy = F.cross_entropy(logits[-1], labels.clamp(min=0), reduction="none")
    depth = torch.stack([kl(log_probs[-1].detach(), each) for each in log_probs[:-1]]).mean(dim=0)
    per_token = (
        weights.kl_weight * temperature**2 * divergence(teacher, log_probs[-1])
        + weights.hard_weight * cross_entropy
        + weights.self_distillation_weight * temperature**2 * depth
    )
    loss = per_token[valid].sum() / max(1, int(valid.sum()))
    loss.backward()
    return loss, states.grad, head.grad


def assert_equal(found, wanted) -> None:
    loss, *gradients = wanted
    assert float(found[0].loss) == pytest.approx(float(loss), rel=1e-4, abs=1e-5)
    for one, two in zip(found[1:], gradients, strict=True):
        torch.testing.assert_close(one.double(), two, rtol=1e-3, atol=1e-5)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 999),
    loops=st.integers(2, 4),
    kept=st.sampled_from([0.0, 0.3, 1.0]),
    chunk=st.integers(1, 13),
    temperature=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
    weights=st.tuples(st.floats(0.1, 2), st.floats(0, 2), st.floats(0, 2)),
)
def test_loss_and_gradients_are_those_of_the_formula_in_float64(seed, loops, kept, chunk, temperature, weights):
    case, weights = random_case(seed, loops, kept=kept), DistillationWeights(temperature, *weights)
    assert_equal(computed(case, weights, chunk=chunk), expected(case, weights))


def test_a_model_with_one_loop_has_no_earlier_loops_to_teach():
    case, weights = random_case(0, loops=1), DistillationWeights(1.0, 1.0, 0.0, 1.0)
    found, *_ = computed(case, weights)
    assert float(found.depth_kl) == 0 and float(found.loss) == pytest.approx(float(found.teacher_kl))


def test_gradients_reach_the_earlier_loops_only_by_self_distillation():
    case = random_case(1)
    _, without, _ = computed(case, DistillationWeights(hard_weight=1.0))
    _, with_it, _ = computed(case, DistillationWeights(hard_weight=1.0, self_distillation_weight=0.5))
    assert without[:-1].abs().max() == 0 and with_it[:-1].abs().max() > 0
    torch.testing.assert_close(without[-1], with_it[-1])


def test_accumulated_batches_sum_to_the_loss_of_one():
    case, weights = random_case(2, batch=4), DistillationWeights(2.0, 1.0, 1.0, 1.0)
    whole, *_ = computed(case, weights)
    head = nn.Linear(HIDDEN, VOCAB, bias=False)
    head.weight.data.copy_(case.head)
    num_items, total = (case.labels != IGNORE_INDEX).sum(), 0.0
    for row in range(4):
        targets = DenseTargets(case.teacher.view(4, -1, VOCAB)[row], torch.Tensor.float, 2.0)
        states = tuple(case.states[:, row : row + 1])
        part = distillation_loss(states, head, case.labels[row : row + 1], targets, weights, num_items)
        total += float(part.loss)
    assert total == pytest.approx(float(whole.loss), rel=1e-5)


def bucketed_kl(k: int):
    """The divergence over the teacher's k likeliest tokens and one bucket, in float64."""

    def divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
        named, ids = teacher.topk(k, dim=-1)
        is_named = torch.zeros_like(teacher, dtype=torch.bool).scatter(1, ids, True)
        buckets = [each.masked_fill(is_named, -torch.inf).logsumexp(dim=-1) for each in (teacher, student)]
        rest = buckets[0].exp() * (buckets[0] - buckets[1])
        return (named.exp() * (named - student.gather(1, ids))).sum(dim=-1) + rest

    return divergence


@pytest.mark.parametrize("k", [1, 4, VOCAB - 1])
def test_the_rest_of_the_teachers_probability_is_one_bucket(k):
    case, weights = random_case(3), DistillationWeights(2.0)
    kept = top_k(teacher_log_probs(case.teacher, 2.0, VOCAB), k)
    exact = TopKTargets(kept.log_probs.double(), kept.ids)
    found, (loss, *gradients) = computed(case, weights, exact, chunk=5), expected(case, weights, bucketed_kl(k))
    # Kept log-probabilities are rounded to fp16.
    assert float(found[0].loss) == pytest.approx(float(loss), rel=5e-3)
    for one, two in zip(found[1:], gradients, strict=True):
        torch.testing.assert_close(one.double(), two, rtol=2e-2, atol=2e-3)


def test_as_many_kept_tokens_as_the_vocabulary_has_are_the_whole_divergence():
    case, weights = random_case(4), DistillationWeights(3.0)
    whole = computed(case, weights)
    kept = computed(case, weights, top_k(teacher_log_probs(case.teacher, 3.0, VOCAB), VOCAB))
    assert float(kept[0].loss) == pytest.approx(float(whole[0].loss), rel=1e-3)
    for one, two in zip(kept[1:], whole[1:], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("padding", [-3, 5])
def test_rows_of_the_teacher_beyond_the_students_are_cut_and_missing_ones_have_no_probability(padding):
    logits = torch.randn(4, VOCAB + padding)
    found = teacher_log_probs(logits, 1.0, VOCAB)
    both = min(VOCAB, VOCAB + padding)
    torch.testing.assert_close(found[:, :both], F.log_softmax(logits[:, :both], dim=1))
    assert found.shape == (4, VOCAB) and (found[:, both:] == -torch.inf).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (dict(temperature=0.0), "temperature must be above 0 and finite, got 0.0"),
        (dict(hard_weight=-1.0), "hard_weight must be at least 0 and finite, got -1.0"),
        (dict(kl_weight=0.0), "kl_weight or hard_weight must be above 0"),
    ],
)
def test_impossible_weights_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        DistillationWeights(**values)
