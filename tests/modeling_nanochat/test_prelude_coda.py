"""Prelude, core, coda: what is applied once is, loops start as no change, and every form of decoding agrees."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM, LoopLMModel
from modeling_nanochat.exit_nanochat import exit_loops
from modeling_nanochat.recomputation_nanochat import GRANULARITIES
from modeling_nanochat.slots_nanochat import SlotLayout
from tests.helpers.tiny import greedy, random_tokens, tiny_config, tiny_model
from trainers.optimizers import muon_and_lion

SHAPE = dict(num_prelude_layers=1, num_coda_layers=2, loop_update="scaled")
PRELUDE, CORE, CODA, LOOPS = 1, 2, 2, 3
EXACT = 1e-5


def looped_model(scale: float = 0.5, **overrides) -> LoopLMForCausalLM:
    model = tiny_model(**SHAPE | overrides)
    nn.init.normal_(model.model.loop_scale, scale, 0.3 if scale else 0.0)
    return model


def test_a_new_model_applies_the_whole_change_of_every_loop():
    assert LoopLMForCausalLM(tiny_config(**SHAPE)).model.loop_scale.eq(1).all()


def decode(model, tokens, num_prompt, step=1, **kwargs):
    """The prompt, then `step` tokens per pass: the logits and the loops used."""
    cache = DynamicCache(config=model.config)
    outputs = [
        model(piece, past_key_values=cache, **kwargs)
        for piece in (tokens[:, :num_prompt], *tokens[:, num_prompt:].split(step, dim=1))
    ]
    assert {layer.get_seq_length() for layer in cache.layers if layer.is_initialized} == {tokens.shape[1]}
    return torch.cat([each.logits for each in outputs], 1), torch.cat([each.loops_used for each in outputs], 1)


def without_coda(model) -> tuple[LoopLMForCausalLM, LoopLMModel]:
    """The same model up to the coda, and the coda as a stack that reads states."""
    settings = model.config.to_dict() | {"num_coda_layers": 0, "kv_reuse": "none"}
    trunk = LoopLMForCausalLM(LoopLMConfig.from_dict(settings)).eval()
    trunk.load_state_dict(model.state_dict(), strict=False)
    settings |= {"num_prelude_layers": 0, "num_shared_layers": CODA, "num_loops": 1}
    coda = LoopLMModel(LoopLMConfig.from_dict(settings)).eval()
    coda.layers.load_state_dict(model.model.layers[PRELUDE + CORE :].state_dict())
    coda.norm.load_state_dict(model.model.norm.state_dict())
    return trunk, coda


def decode_at_full_depth(model, tokens, num_prompt, threshold):
    """
    What `decode` is to give: each token runs all loops, the keys and values of the loop at which it leaves are put
    into the core's slots by hand, and the coda reads the whole text of states at which tokens left.
    """
    trunk, coda = without_coda(model)
    cache, left, used, states = DynamicCache(config=trunk.config), [], [], []
    trunk.model.norm.register_forward_pre_hook(lambda module, inputs: states.append(inputs[0]))
    for start, piece in ((0, tokens[:, :num_prompt]), *enumerate(tokens[:, num_prompt:].split(1, dim=1), num_prompt)):
        states.clear()
        output = trunk(piece, past_key_values=cache)
        loops = torch.full_like(piece, LOOPS) if start == 0 else exit_loops(output.exit_pdf, threshold)
        index = (loops - 1)[..., None, None].expand(-1, -1, 1, states[0].shape[-1])
        left.append(torch.stack(states, dim=2).gather(2, index).squeeze(2))
        used.append(loops)
        for layer in range(CORE):
            slots = [cache.layers[PRELUDE + loop * CORE + layer] for loop in range(LOOPS)]
            written = [(slot.keys.clone(), slot.values.clone()) for slot in slots]
            for row, left_after in enumerate(loops[:, -1].tolist()):
                keys, values = written[left_after - 1]
                for slot in slots if model.config.kv_reuse == "last" else slots[left_after:]:
                    slot.keys[row, :, start:] = keys[row, :, start:]
                    slot.values[row, :, start:] = values[row, :, start:]
    return trunk.lm_head(coda(inputs_embeds=torch.cat(left, 1)).last_hidden_state), torch.cat(used, 1)


@torch.no_grad()
@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@pytest.mark.parametrize("threshold", [0.8, 1.0])
def test_early_exit_is_full_depth_with_one_coda_over_the_states_at_which_tokens_left(threshold, kv_reuse):
    model, tokens = looped_model(mhc_num_streams=1, kv_reuse=kv_reuse), random_tokens(2, 16)
    logits, used = decode(model, tokens, 6, exit_threshold=threshold)
    expected_logits, expected_used = decode_at_full_depth(model, tokens, 6, threshold)
    assert torch.equal(used, expected_used)
    assert (len(used[:, 6:].unique()) > 1) == (threshold < 1), "one depth for all would prove nothing"
    torch.testing.assert_close(logits, expected_logits, atol=EXACT, rtol=EXACT)


@torch.no_grad()
@pytest.mark.parametrize("streams", [1, 2])
def test_with_a_scale_of_zero_every_depth_is_the_dense_model_and_loops_can_learn(streams):
    model, tokens = looped_model(0.0, mhc_num_streams=streams).train(), random_tokens(2, 9)
    for loops in (2, 3):
        assert torch.equal(model(tokens, num_loops=loops).logits, model(tokens, num_loops=1).logits)
    with torch.enable_grad():
        output = model(tokens, labels=tokens)
        output.loss.backward()
    assert torch.equal(output.loop_losses, output.loop_losses[:1].expand(LOOPS))
    assert (model.model.loop_scale.grad != 0).all()


@torch.no_grad()
def test_the_loss_of_a_loop_is_that_of_a_pass_that_ends_there():
    model, tokens = looped_model(), random_tokens(2, 9)
    losses = model(tokens, labels=tokens).loop_losses
    assert len(set(losses.tolist())) == LOOPS
    for loop in range(LOOPS):
        logits = model(tokens, num_loops=loop + 1).logits[:, :-1]
        torch.testing.assert_close(
            losses[loop], nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        )


@torch.no_grad()
@pytest.mark.parametrize("shape", [{}, {"num_prelude_layers": 0}, {"num_coda_layers": 0}], ids=str)
def test_greedy_tokens_are_those_without_a_cache(shape):
    model, tokens = looped_model(**shape), random_tokens(2, 6)
    expected = greedy(model, tokens, 6, use_cache=False).sequences
    assert torch.equal(greedy(model, tokens, 6).sequences, expected)
    assert torch.equal(
        greedy(model, tokens, 6, cache_implementation="static", disable_compile=True).sequences, expected
    )
    assert not torch.equal(greedy(model, tokens, 6, num_loops=1).sequences, expected)


@torch.no_grad()
def test_calls_with_fewer_loops_share_a_cache_and_prelude_and_coda_run_once():
    model, tokens = looped_model(), random_tokens(1, 8)
    calls = []
    for index, layer in enumerate(model.model.layers):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))
    cache = DynamicCache(config=model.config)
    model(tokens[:, :5], past_key_values=cache)
    assert calls == [0, *(1, 2) * LOOPS, 3, 4]
    model(tokens[:, 5:], past_key_values=cache, num_loops=1)
    lengths = [layer.get_seq_length() for layer in cache.layers]
    assert lengths == [8] * (PRELUDE + CODA + CORE) + [5] * (CORE * (LOOPS - 1))


@pytest.mark.parametrize("streams", [1, 2])
def test_checkpointing_of_every_kind_gives_equal_gradients(streams):
    model, tokens, expected = looped_model(mhc_num_streams=streams).train(), random_tokens(2, 9), None
    for granularity in (None, *GRANULARITIES):
        if granularity is not None:
            model.activation_checkpointing_enable({"use_reentrant": False, "granularity": granularity})
        model.zero_grad()
        model(tokens, labels=tokens, use_cache=False).loss.backward()
        found = {name: parameter.grad for name, parameter in model.named_parameters()}
        expected = found if expected is None else expected
        for name, value in expected.items():
            assert torch.equal(found[name], value), (granularity, name)


def test_a_coda_runs_only_where_a_loss_has_a_weight_with_the_loss_and_gradients_of_running_everywhere():
    model, tokens, found = looped_model(mhc_num_streams=1, loop_loss="final").train(), random_tokens(2, 9), []
    for states in (True, False):
        model.zero_grad()
        with FlopCounterMode(display=False) as counter:
            output = model(tokens, labels=tokens, use_cache=False, output_loop_states=states)
            output.loss.backward()
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        found.append((output.loss.detach(), output.loop_losses, gradients, counter.get_total_flops()))
    (loss, losses, wanted, all_flops), (last_loss, last_losses, gradients, flops) = found
    assert torch.equal(loss, last_loss) and torch.equal(losses[-1:], last_losses)
    for name, value in wanted.items():
        assert torch.equal(gradients[name], value), name
    # Of each earlier loop, the coda with its backward pass, whose gradients were 0, and the head's forward pass.
    coda = sum(each.weight.numel() for layer in model.model.layers[-CODA:] for each in layer.ternary_layers())
    skipped = 2 * tokens.numel() * (LOOPS - 1) * (3 * coda + model.lm_head.weight.numel())
    assert all_flops - flops == skipped
    assert len(model.eval()(tokens, labels=tokens).loop_losses) == LOOPS


def test_compiled_blocks_of_all_parts_are_one_graph():
    torch._dynamo.reset()
    model, tokens = looped_model(mhc_num_streams=1).train(), random_tokens(2, 9)
    expected = model(tokens, labels=tokens, use_cache=False).loss
    model.compile_blocks(backend="eager", fullgraph=True)
    torch.testing.assert_close(model(tokens, labels=tokens, use_cache=False).loss, expected)


def test_a_step_of_one_loop_gives_the_scale_a_gradient_of_zero_and_keeps_it():
    model, tokens = looped_model().train(), random_tokens(2, 9)
    optimizer = muon_and_lion(model, 0.02, 1e-3, 0.1, "torch")
    before = model.model.loop_scale.detach().clone()
    model(tokens, labels=tokens, num_loops=1).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()
    assert torch.equal(model.model.loop_scale, before), "no weight decay"
    optimizer.zero_grad()
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    assert not torch.equal(model.model.loop_scale, before)


@torch.no_grad()
def test_packing_and_saving_keep_the_logits_and_the_scale(tmp_path):
    model, tokens = looped_model(), random_tokens(2, 7)
    expected = model(tokens).logits
    packed = copy.deepcopy(model).pack()
    packed.save_pretrained(tmp_path)
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path)
    assert loaded.model.loop_scale.dtype == torch.float32
    assert torch.equal(packed(tokens).logits, expected) and torch.equal(loaded(tokens).logits, expected)


def test_loop_states_next_to_a_filled_cache_are_refused_and_labels_alone_need_none():
    model, tokens = looped_model(), random_tokens(1, 6)
    assert model(tokens, labels=tokens).past_key_values is None
    with pytest.raises(ValueError, match="past_key_values must be None with labels or output_loop_states=True"):
        model(tokens, past_key_values=DynamicCache(config=model.config), labels=tokens)


def test_every_layer_has_its_slot_and_every_slot_its_layer():
    layout = SlotLayout(2, 3, 1)
    slots = [layout.slot(loop, layer) for loop in range(4) for layer in range(6) if loop == 0 or 2 <= layer < 5]
    assert sorted(slots) == list(range(layout.count(4)))
    places = [layout.core_place(slot) for slot in range(layout.count(4))]
    assert places[:3] == [None] * 3
    assert places[3:] == [(loop, layer) for loop in range(4) for layer in (2, 3, 4)]
