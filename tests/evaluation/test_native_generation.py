"""Evaluation by the native engine gives PyTorch's greedy samples, and keeps the rules of samples and files."""

import json
from dataclasses import replace

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings

PROMPTS = [Prompt("one", "fn one() -> i32 {\n"), Prompt("two", "/// {{\nfn two(text: &str) -> usize {\n")]
GREEDY = GenerationSettings(temperature=0, max_new_tokens=30, batch_size=2, engine="native")


@pytest.mark.parametrize("healed", [True, False])
def test_greedy_samples_are_those_of_pytorch(model, tokenizer, tmp_path, monkeypatch, healed):
    monkeypatch.setattr("evaluation.generate.can_heal", lambda tokenizer: healed)
    for depth in ({}, {"exit_threshold": 0.5}, {"repetition_penalty": 1.3}):
        settings = replace(GREEDY, **depth)
        expected = generate(
            model, tokenizer, PROMPTS, replace(settings, engine="torch"), tmp_path / f"torch{[*depth]}"
        )
        found = generate(model, tokenizer, PROMPTS, settings, tmp_path / f"native{[*depth]}")
        # PyTorch's mean is in single precision.
        assert [replace(each, mean_loops=pytest.approx(each.mean_loops)) for each in found] == expected


def test_samples_end_by_rule_and_an_interrupted_file_goes_on(model, tokenizer, tmp_path):
    settings = replace(GREEDY, temperature=1.0, num_samples=5, max_new_tokens=12, batch_size=4)

    def third_character(prompt, text):
        return text[:3] if "}" in text and len(text) >= 3 else None

    path = tmp_path / "samples.jsonl"
    whole = generate(model, tokenizer, PROMPTS, settings, path, rule=third_character)
    assert len({sample.completion for sample in whole}) > 5
    assert all(len(sample.completion) == 3 for sample in whole if sample.finished)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:6]) + lines[6][:10])
    assert generate(model, tokenizer, PROMPTS, settings, path, rule=third_character) == whole
    with pytest.raises(ValueError, match="holds samples with another sampling"):
        generate(model, tokenizer, PROMPTS, replace(settings, engine="torch"), path, rule=third_character)


@pytest.mark.parametrize("healed", [True, False])
def test_files_say_whether_prompts_were_healed(model, tokenizer, tmp_path, monkeypatch, healed):
    monkeypatch.setattr("evaluation.generate.can_heal", lambda tokenizer: healed)
    generate(model, tokenizer, PROMPTS, GREEDY, tmp_path / "samples.jsonl")
    with (tmp_path / "samples.jsonl").open() as lines:
        assert json.loads(next(lines))["token_healing"] is healed


def test_other_models_are_refused_before_anything_is_written(tokenizer, tmp_path):
    config = LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    with pytest.raises(ValueError, match="the native engine needs a LoopLM, got a model of type llama"):
        generate(LlamaForCausalLM(config), tokenizer, PROMPTS, GREEDY, tmp_path / "samples.jsonl")
    assert not list(tmp_path.iterdir())


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine must be one of torch, native, got 'fast'"):
        replace(GREEDY, engine="fast")
