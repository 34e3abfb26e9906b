"""`model.generate(engine="native")` gives what the engine torch gives, or refuses with the argument's name."""

import copy
import pickle
import shutil
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, StoppingCriteriaList, set_seed
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.generation.streamers import BaseStreamer

from runtime.kept import kept_engine
from tests.helpers.tiny import random_tokens, tiny_model

pytestmark = pytest.mark.skipif(shutil.which("rustc") is None, reason="rustc is not installed")


def padded(*lengths: int) -> dict[str, torch.Tensor]:
    """Prompts of these lengths, padded on the left."""
    width = max(lengths)
    rows = [random_tokens(1, length, seed=length)[0] for length in lengths]
    ids = torch.stack([torch.nn.functional.pad(row, (width - len(row), 0)) for row in rows])
    mask = torch.stack([torch.nn.functional.pad(torch.ones_like(row), (width - len(row), 0)) for row in rows])
    return dict(input_ids=ids, attention_mask=mask)


class Recorder(BaseStreamer):
    def __init__(self):
        self.received: list[Any] = []

    def put(self, value):
        self.received.append(value.tolist())

    def end(self):
        self.received.append("end")


BATCH = padded(4, 9, 1, 7)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def both(model, **settings):
    return [model.generate(**(BATCH | settings), engine=engine) for engine in ("torch", "native")]


@pytest.mark.parametrize(
    "settings",
    [
        dict(max_new_tokens=12, eos_token_id=None),
        dict(max_length=20, repetition_penalty=1.0),
        dict(),
        dict(max_new_tokens=9, num_loops=2),
        dict(max_new_tokens=9, exit_at_loop=1, num_loops=4),
        dict(max_new_tokens=9, exit_threshold=0.6),
        dict(max_new_tokens=9, generation_config=GenerationConfig(num_loops=2, pad_token_id=1)),
        dict(max_new_tokens=9, do_sample=True, top_k=1, num_return_sequences=3),
        dict(max_new_tokens=9, do_sample=True, top_k=0, top_p=1e-6, temperature=0.7),
    ],
    ids=str,
)
def test_greedy_tokens_and_loops_equal_those_of_torch(model, settings):
    expected, found = both(model, return_dict_in_generate=True, **settings)
    assert torch.equal(found.sequences, expected.sequences) and found.sequences.dtype == expected.sequences.dtype
    assert torch.equal(found.loops_used, expected.loops_used) and found.loops_used.dtype == expected.loops_used.dtype
    assert torch.equal(found.mean_loops, expected.mean_loops)
    assert type(found) is type(expected)


def test_rows_end_at_each_of_the_end_tokens_and_are_padded_like_torchs(model):
    whole = model.generate(**BATCH, max_new_tokens=12, eos_token_id=None)[:, 9:]
    ends = [int(whole[0, 2]), int(whole[1, 5])]
    settings: dict[str, Any] = dict(max_new_tokens=40, pad_token_id=1)
    expected, found = both(model, eos_token_id=ends, **settings)
    assert torch.equal(found, expected) and (found[0, 12:] == 1).any()
    expected, found = both(model, eos_token_id=ends[0], max_new_tokens=12)
    assert torch.equal(found, expected), "without pad_token_id"


def test_the_repetition_penalty_is_that_of_torch(model):
    tokens = random_tokens(2, 6)
    settings: dict[str, Any] = dict(max_new_tokens=15, repetition_penalty=1.7, eos_token_id=None)
    expected = model.generate(tokens, **settings)
    assert torch.equal(model.generate(tokens, engine="native", **settings), expected)
    assert not torch.equal(expected, model.generate(tokens, max_new_tokens=15, eos_token_id=None))


def test_padding_is_found_without_a_mask_and_a_prompt_is_begun_without_tokens(model):
    settings: dict[str, Any] = dict(max_new_tokens=6, pad_token_id=0, eos_token_id=None)
    expected, found = both(model, attention_mask=None, **settings)
    assert torch.equal(found, expected)
    expected, found = (model.generate(bos_token_id=5, **settings, engine=engine) for engine in ("torch", "native"))
    assert torch.equal(found, expected)


def test_a_seed_makes_samples_reproducible_and_calls_differ(model):
    def sample():
        return model.generate(**BATCH, engine="native", do_sample=True, max_new_tokens=12, num_return_sequences=2)

    set_seed(3)
    first, second = sample(), sample()
    set_seed(3)
    assert torch.equal(sample(), first) and not torch.equal(second, first)
    assert not torch.equal(first[0], first[1]), "samples of one prompt differ"


def test_training_mode_runs_all_loops_as_torch_does(model):
    model.train()
    expected, found = both(model, max_new_tokens=9, exit_threshold=0.6, return_dict_in_generate=True)
    model.eval()
    assert torch.equal(found.sequences, expected.sequences) and (found.loops_used[found.loops_used > 0] == 3).all()


def test_a_streamer_gets_the_tokens_in_their_order(model):
    expected, found = Recorder(), Recorder()
    tokens = random_tokens(1, 5)
    for engine, streamer in (("torch", expected), ("native", found)):
        model.generate(tokens, max_new_tokens=6, streamer=streamer, engine=engine)
    assert found.received == expected.received


def test_the_weights_of_the_call_are_used_after_every_way_to_change_them():
    model, other = tiny_model(), tiny_model(seed=1)
    tokens = random_tokens(1, 5)

    def natively():
        found = model.generate(tokens, max_new_tokens=12, eos_token_id=None, engine="native")
        assert torch.equal(found, model.generate(tokens, max_new_tokens=12, eos_token_id=None))
        return found

    seen = [natively()]
    engine = kept_engine(model)
    assert kept_engine(model) is engine, "nothing changed"
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.2)
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    seen.append(natively())
    model.load_state_dict(other.state_dict())
    seen.append(natively())
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().flip(0))
    seen.append(natively())
    model.config.num_loops = 2
    seen.append(natively())
    model.half().float()
    assert kept_engine(model) is not engine
    assert len({tuple(each[0].tolist()) for each in seen}) == 5


def test_the_engine_is_in_no_state_copy_pickle_or_file(tmp_path):
    model = tiny_model()
    names, pickled = set(model.state_dict()), len(pickle.dumps(model))
    attributes = set(vars(model))
    model.generate(random_tokens(1, 3), max_new_tokens=2, engine="native")
    assert set(model.state_dict()) == names and set(vars(model)) == attributes
    assert len(pickle.dumps(model)) == pickled
    tokens = copy.deepcopy(model).generate(random_tokens(1, 3), max_new_tokens=2, engine="native")
    assert tokens.shape == (1, 5)
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.so"))


def test_classes_of_remote_code_generate_the_same(tmp_path):
    model = tiny_model()
    model.save_pretrained(tmp_path / "saved")
    name = "modeling_nanochat.LoopLMForCausalLM"
    remote_class: Any = get_class_from_dynamic_module(name, str(tmp_path / "saved"))
    remote = remote_class.from_pretrained(tmp_path / "saved")
    assert type(remote) is not type(model)
    assert torch.equal(*(each.generate(**BATCH, max_new_tokens=9, engine="native") for each in (model, remote)))


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(num_beams=2), "num_beams must be left out .* got 2"),
        (dict(min_new_tokens=3), "min_new_tokens must be left out .* got 3"),
        (dict(min_length=3), "min_length must be left out"),
        (dict(stopping_criteria=StoppingCriteriaList([lambda *_: True])), "stopping_criteria must be left out"),
        (dict(logits_processor=[lambda *_: None]), "logits_processor must be left out"),
        (dict(prefix_allowed_tokens_fn=lambda *_: [1]), "prefix_allowed_tokens_fn must be left out"),
        (dict(assistant_model=tiny_model()), "assistant_model must be left out .* LoopLMForCausalLM"),
        (dict(prompt_lookup_num_tokens=2), "prompt_lookup_num_tokens must be left out"),
        (dict(custom_generate=lambda *_: None), "custom_generate must be left out"),
        (dict(inputs_embeds=torch.zeros(4, 9, 32)), "inputs_embeds must be left out .* Tensor"),
        (dict(position_ids=torch.arange(9)[None]), "position_ids must be left out"),
        (dict(past_key_values=object()), "past_key_values must be left out"),
        (dict(cache_implementation="static"), "cache_implementation must be left out .* 'static'"),
        (dict(output_scores=True, return_dict_in_generate=True), "output_scores must be left out"),
        (dict(output_hidden_states=True), "output_hidden_states must be left out"),
        (dict(no_repeat_ngram_size=2), "no_repeat_ngram_size must be left out"),
        (dict(bad_words_ids=[[3]]), "bad_words_ids must be left out"),
        (dict(suppress_tokens=[3]), "suppress_tokens must be left out"),
        (dict(stop_strings=["}"]), "stop_strings must be left out"),
        (dict(do_sample=True, min_p=0.1), "min_p must be left out"),
        (dict(do_sample=True, temperature=0.0), "temperature"),
        (dict(streamer=Recorder()), "streamer must be None for more than one row, got one for 4 rows"),
        (dict(attention_mask=BATCH["attention_mask"].flip(1)), "attention_mask must be 0 for padding on the left"),
        (dict(attention_mask=torch.zeros(4, 9)), "attention_mask must be 0 for padding on the left"),
        (dict(attention_mask=torch.ones(4, 8)), r"attention_mask must have the shape of input_ids, got \(4, 8\)"),
        (dict(exit_at_loop=4), "exit_at_loop must be an integer from 1 to num_loops=3, got 4"),
        (dict(no_such_argument=1), "no_such_argument must be left out"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_engine_does_not_have_is_refused_by_name(model, settings, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**({"max_new_tokens": 4} | BATCH | settings), engine="native")


def test_settings_without_effect_are_taken(model):
    settings: dict[str, Any] = dict(num_beams=1, use_cache=True, typical_p=1.0, no_repeat_ngram_size=0, min_length=0)
    settings |= dict(stopping_criteria=[], tokenizer=object(), min_p=0.1, length_penalty=2.0)
    found = model.generate(**BATCH, max_new_tokens=4, engine="native", **settings)
    assert torch.equal(found, model.generate(**BATCH, max_new_tokens=4))


def test_another_engine_is_refused(model):
    with pytest.raises(ValueError, match="engine must be one of torch, native, got 'cuda'"):
        model.generate(**BATCH, engine="cuda")
