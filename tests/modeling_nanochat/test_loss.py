"""The loss over all loops: the naive formula's value and gradients, in a fraction of its memory."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeling_nanochat import loss_nanochat
from modeling_nanochat.exit_nanochat import exit_entropy, exit_log_probabilities
from modeling_nanochat.loss_nanochat import _ChunkedCrossEntropy, loop_loss
from tests.helpers.tiny import VOCAB_SIZE, random_tokens, tiny_model


def naive_loss(states, head, shift_labels, gate_logits, form, beta):
    """The formula of the docstring, with all logits at once."""
    valid = shift_labels != -100
    labels = shift_labels.clamp(min=0).unsqueeze(-1)
    losses = torch.stack(
        [-(h @ head.weight.t()).float().log_softmax(-1).gather(-1, labels).squeeze(-1) for h in states], -1
    )
    log_probs = exit_log_probabilities(gate_logits)
    loops, entropy = len(states), exit_entropy(log_probs)
    if form == "expected":
        per_token = (log_probs.exp() * losses).sum(-1) - beta * entropy
    else:
        per_token = losses[..., -1] + beta * (torch.tensor(float(loops)).log() - entropy)
    return per_token[valid].mean(), losses[valid].mean(0)


def make_inputs(loops=3, dtype=torch.float64, ignored=True):
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(2, 7, 8, generator=generator).to(dtype).requires_grad_() for _ in range(loops)]
    head = nn.Linear(8, 40, bias=False, dtype=dtype)
    with torch.no_grad():
        head.weight.copy_(torch.randn(40, 8, generator=generator))
    gate = torch.randn(2, 7, loops, generator=generator).requires_grad_()
    labels = torch.randint(0, 40, (2, 7), generator=generator)
    if ignored:
        labels[0, :3] = -100
        labels[:, -1] = -100
    return states, head, gate, labels


@pytest.mark.parametrize("form", ["expected", "final"])
@pytest.mark.parametrize("loops", [1, 3])
@pytest.mark.parametrize("ignored", [False, True])
def test_value_and_gradients_equal_the_naive_form(monkeypatch, form, loops, ignored):
    monkeypatch.setattr(loss_nanochat, "_rows_per_chunk", lambda *_: 5)
    states, head, gate, labels = make_inputs(loops, ignored=ignored)
    inputs = [*states, head.weight, gate]

    expected, expected_losses = naive_loss(states, head, labels, gate, form, 0.3)
    expected_gradients = torch.autograd.grad(expected * 1.7, inputs)
    result = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), form, 0.3)
    gradients = torch.autograd.grad(result.loss * 1.7, inputs)

    torch.testing.assert_close(result.loss.double(), expected.double(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(result.loop_losses.double(), expected_losses.double(), atol=1e-6, rtol=1e-6)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, reference, atol=1e-6, rtol=1e-5)


class CalledLinear(nn.Linear):
    """A head that is more than its weight, as adapters and sharding make it."""


@pytest.mark.parametrize("form", ["expected", "final"])
def test_a_head_that_is_more_than_its_weight_is_called(monkeypatch, form):
    monkeypatch.setattr(loss_nanochat, "_rows_per_chunk", lambda *_: 5)
    states, head, gate, labels = make_inputs(dtype=torch.float32)
    called = CalledLinear(8, 40, bias=False)
    called.load_state_dict(head.state_dict())
    results = []
    for module in (head, called):
        result = loop_loss(tuple(states), module, labels, exit_log_probabilities(gate), form, 0.3)
        results.append([result.loss, result.loop_losses])
        results[-1] += torch.autograd.grad(result.loss, [*states, module.weight, gate])
    for fused, through_call in zip(*results, strict=True):
        torch.testing.assert_close(through_call, fused, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("label", [-1, -99, 40])
def test_a_label_that_is_no_token_is_refused(label):
    states, head, gate, labels = make_inputs()
    labels[1, 2] = label
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.3)


def test_a_second_derivative_is_refused_instead_of_being_wrong():
    states, head, gate, labels = make_inputs()
    loss = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.3).loss
    gradient = torch.autograd.grad(loss, states[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="does not require grad|once_differentiable"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("form", ["expected", "final"])
def test_the_parts_add_up_to_the_loss(form):
    states, head, gate, labels = make_inputs()
    result = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), form, 0.3)
    constant = 0.3 * torch.tensor(3.0).log() if form == "expected" else 0
    torch.testing.assert_close(result.loss, result.ce_loss + 0.3 * result.entropy_penalty - constant)
    assert result.entropy_penalty > 0


def test_only_the_loss_carries_a_gradient():
    states, head, gate, labels = make_inputs()
    result = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.1)
    assert result.loss.requires_grad
    assert not any(part.requires_grad for part in (result.ce_loss, result.entropy_penalty, result.loop_losses))


def test_without_gradients_the_value_is_the_same():
    states, head, gate, labels = make_inputs()
    arguments = (tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.1)
    with torch.no_grad():
        assert torch.equal(loop_loss(*arguments).loss, loop_loss(*arguments).loss)
        value = loop_loss(*arguments).loss
    torch.testing.assert_close(value, loop_loss(*arguments).loss.detach())


def test_a_batch_without_labels_gives_zero_and_no_nan():
    states, head, gate, labels = make_inputs()
    result = loop_loss(
        tuple(states), head, torch.full_like(labels, -100), exit_log_probabilities(gate), "expected", 0.1
    )
    result.loss.backward()
    assert result.loss == 0 and torch.equal(head.weight.grad, torch.zeros_like(head.weight))


def test_bf16_is_as_close_to_fp32_as_its_rounding():
    states, head, gate, labels = make_inputs(dtype=torch.float32)
    expected = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.1).loss
    expected_gradient = torch.autograd.grad(expected, head.weight)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loop_loss(tuple(states), head, labels, exit_log_probabilities(gate), "expected", 0.1).loss
    gradient = torch.autograd.grad(loss, head.weight)[0]
    assert loss.dtype == gradient.dtype == torch.float32
    torch.testing.assert_close(loss, expected, atol=0, rtol=5e-3)
    assert F.cosine_similarity(gradient.flatten(), expected_gradient.flatten(), dim=0) > 0.999


class SavedBytes:
    """Bytes kept for backward: what autograd saves, each storage once, and every tensor left on a Function's ctx."""

    def __init__(self, *exclude):
        self.storages = {}
        self.exclude = {tensor.untyped_storage().data_ptr() for tensor in exclude}

    def add(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.exclude:
            self.storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def total(self):
        return sum(self.storages.values())


def test_the_loss_keeps_less_than_a_quarter_of_the_logits(monkeypatch):
    vocab_size, loops, tokens, hidden_size = 50257, 4, 512, 384
    torch.manual_seed(0)
    states = tuple(torch.randn(1, tokens, hidden_size, requires_grad=True) for _ in range(loops))
    head = nn.Linear(hidden_size, vocab_size, bias=False)
    gate = torch.zeros(1, tokens, loops, requires_grad=True)
    labels = torch.randint(0, vocab_size, (1, tokens))
    saved = SavedBytes(head.weight, *states)

    contexts = []
    original = _ChunkedCrossEntropy.forward

    def forward(ctx, *args):
        contexts.append(ctx)
        return original(ctx, *args)

    monkeypatch.setattr(_ChunkedCrossEntropy, "forward", staticmethod(forward))
    with torch.autograd.graph.saved_tensors_hooks(saved.add, lambda tensor: tensor):
        loop_loss(states, head, labels, exit_log_probabilities(gate), "expected", 0.1)
    for value in vars(contexts[0]).values():
        if torch.is_tensor(value):
            saved.add(value)
    assert saved.total > hidden_size * vocab_size, "the head's gradient is among what is kept"
    assert saved.total < loops * tokens * vocab_size * 4 / 4


def test_the_model_shifts_labels_and_gate_alike():
    model, tokens = tiny_model(), random_tokens(2, 8)
    labels = tokens.clone()
    labels[0, :4] = -100
    output = model(tokens, labels=labels, output_loop_states=True)
    expected, expected_losses = naive_loss(
        output.loop_hidden_states,
        model.lm_head,
        F.pad(labels[:, 1:], (0, 1), value=-100),
        output.gate_logits,
        "expected",
        model.config.exit_entropy_weight,
    )
    torch.testing.assert_close(output.loss, expected)
    torch.testing.assert_close(output.loop_losses, expected_losses)
    already_shifted = model(tokens, shift_labels=F.pad(labels[:, 1:], (0, 1), value=-100))
    torch.testing.assert_close(already_shifted.loss, output.loss)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("form", ["expected", "final"])
def test_what_padding_adds_is_no_target(form, side):
    """A padded batch has the loss and the gradient of its rows, although the padding and what follows has labels."""
    lengths, model = (8, 3, 5, 2), tiny_model(loop_loss=form).train()
    rows = [row[None, :length] for row, length in zip(random_tokens(4, 8), lengths, strict=True)]
    num_items = sum(lengths) - len(lengths)
    expected = sum(model(row, labels=row, num_items_in_batch=num_items).loss for row in rows)
    expected.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    pads = [(8 - length, 0) if side == "left" else (0, 8 - length) for length in lengths]
    tokens = torch.cat([F.pad(row, pad) for row, pad in zip(rows, pads, strict=True)])
    mask = torch.cat([F.pad(torch.ones_like(row), pad) for row, pad in zip(rows, pads, strict=True)])
    output = model(tokens, attention_mask=mask, labels=tokens, num_items_in_batch=num_items)
    output.loss.backward()
    torch.testing.assert_close(output.loss, expected)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=2e-5, rtol=1e-3)
    assert torch.equal(model(tokens, attention_mask=mask, labels=tokens).loss, output.loss), "it counts them as well"


def test_training_with_labels_makes_no_logits_unless_asked():
    model, tokens = tiny_model(), random_tokens(1, 6)
    assert model(tokens, labels=tokens).logits.shape == (1, 6, VOCAB_SIZE)
    model.train()
    assert model(tokens, labels=tokens).logits is None
    assert model(tokens, labels=tokens, return_logits=True).logits.shape == (1, 6, VOCAB_SIZE)
    assert model(tokens).logits.shape == (1, 6, VOCAB_SIZE)


@torch.no_grad()
def test_logits_to_keep_takes_a_number_or_positions():
    model, tokens = tiny_model(), random_tokens(2, 6)
    logits = model(tokens).logits
    torch.testing.assert_close(model(tokens, logits_to_keep=2).logits, logits[:, -2:])
    positions = torch.tensor([0, 3])
    torch.testing.assert_close(model(tokens, logits_to_keep=positions).logits, logits[:, positions])
