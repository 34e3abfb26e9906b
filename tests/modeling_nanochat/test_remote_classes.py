"""A model loaded by its own code, whose classes are not those of this package, is a LoopLM like any other."""

import pytest
import torch
from datasets import Dataset
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.loss_by_depth import loss_by_depth
from evaluation.results_folder import describe
from evaluation.suites.performance import Workload, speeds_to_measure
from evaluation.suites.perplexity import score_texts
from model_cards.gguf.verify import _activation_bits
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from tests.helpers.pretraining import make_trainer
from tests.helpers.reinforcement import looped, prompts_tokenizer, trainer_of
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.gate import GateTrainer


@pytest.fixture(scope="module")
def tokenizer():
    return prompts_tokenizer()


@pytest.fixture
def as_remote(tmp_path):
    """Makes of a model what `trust_remote_code` makes of its folder where this package was not imported before."""

    def load(model):
        model.save_pretrained(tmp_path / "saved")
        name = "modeling_nanochat.LoopLMForCausalLM"
        remote = get_class_from_dynamic_module(name, tmp_path / "saved").from_pretrained(tmp_path / "saved")
        assert not isinstance(remote, LoopLMForCausalLM) and not isinstance(remote.config, LoopLMConfig)
        return remote

    return load


def test_reinforcement_keeps_its_guards_freezes_the_gate_and_credits_loops(tokenizer, tmp_path, as_remote):
    trainer = trainer_of(tokenizer, tmp_path, as_remote(looped(tokenizer)), loop_credit="uniform")
    assert not any(parameter.requires_grad for parameter in trainer.policy.model.exit_gate.parameters())
    with pytest.raises(ValueError, match="without early exit .* got exit_threshold=0.5"):
        trainer_of(tokenizer, tmp_path, as_remote(looped(tokenizer, exit_threshold=0.5)))
    with pytest.raises(ValueError, match='kv_reuse must be "none" in training'):
        trainer_of(tokenizer, tmp_path, as_remote(looped(tokenizer, kv_reuse="last")))


def test_pretraining_sees_its_ternary_layers_and_trains_its_gate(tmp_path, as_remote):
    trainer = make_trainer(tmp_path, model=as_remote(tiny_model()), trainer_class=GateTrainer)
    trainer.train()
    assert 0 < trainer.state.log_history[0]["zero_weights"] < 1


def test_evaluation_measures_its_loops_and_takes_a_depth(tokenizer, tmp_path, as_remote):
    own = looped(tokenizer)
    remote = as_remote(own)
    sampling = GenerationSettings(temperature=0, max_new_tokens=2, num_loops=2)
    (sample,) = generate(remote, tokenizer, [Prompt("one", "fn")], sampling, tmp_path / "samples", progress=False)
    assert sample.mean_loops == 2
    assert describe(remote, "folder")["num_loops"] == 3
    assert len(speeds_to_measure(remote, Workload([1], 4, 4, 1))) > 3
    blocks = Dataset.from_dict({"input_ids": random_tokens(2, 8).tolist()})
    assert loss_by_depth(remote, blocks) == loss_by_depth(own, blocks)
    found, expected = (score_texts(model, tokenizer, {"a": "fn x"}, 8, progress=False) for model in (remote, own))
    assert found.details == expected.details and "depth_quality" in found.details


@torch.no_grad()
def test_its_activations_are_left_float_where_a_file_is_compared(as_remote):
    own = tiny_model(activation_bits=8)
    remote, tokens = as_remote(own), random_tokens(1, 8)
    with _activation_bits(remote, None):
        assert torch.equal(remote(tokens).logits, tiny_model(activation_bits=None)(tokens).logits)
    assert torch.equal(remote(tokens).logits, own(tokens).logits)
