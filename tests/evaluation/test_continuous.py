"""Evaluation in the middle of training: what was reached in its time, and nothing of the training changed."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from evaluation.continuous import ContinuousEvaluation
from evaluation.generate import Sample
from evaluation.generation_settings import GenerationSettings
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.humaneval_rust import HumanEvalRust
from evaluation.suites.program_suite import TRAINING_BATCH
from tests.helpers.humaneval_rows import PROBLEMS
from tests.helpers.tiny import random_tokens, tiny_model

PROBLEMS_TO_COMPILE = CompileRate.read().problems
BLOCKS = Dataset.from_dict({"input_ids": random_tokens(2, 9).tolist()})


def evaluation(tokenizer, folder, suites, seconds=300.0):
    sampling = GenerationSettings(temperature=0, max_new_tokens=4)
    return ContinuousEvaluation(tokenizer, BLOCKS, suites, folder, seconds, sampling)


@pytest.fixture(scope="module")
def model():
    return tiny_model(vocab_size=300, eos_token_id=2, pad_token_id=0, max_position_embeddings=1024)


def test_every_number_of_the_design_is_there_with_how_many_it_is_of(model, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    suites = [CompileRate(PROBLEMS_TO_COMPILE[:10]), HumanEvalRust(PROBLEMS)]
    found = evaluation(tokenizer, tmp_path, suites)(model, 5)
    assert found["eval_perplexity"] == pytest.approx(np.exp(found["eval_loss"])) and "eval_loop_3_loss" in found
    assert (found["eval_compiles_of"], found["eval_humaneval_pass_of"]) == (10, 2)
    for name in ("eval_compiles", "eval_compiler_checks", "eval_humaneval_pass"):
        assert 0 <= found[name] <= 1
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    assert "eval_humaneval_pass" not in evaluation(tokenizer, tmp_path, suites)(model, 5)


def test_the_time_budget_ends_it_and_a_rate_is_of_what_was_reached(model, tokenizer, tmp_path, monkeypatch):
    suite = CompileRate(PROBLEMS_TO_COMPILE[: 3 * TRAINING_BATCH])
    nothing = evaluation(tokenizer, tmp_path, [suite], seconds=0.0)(model, 5)
    assert "eval_loss" in nothing and "eval_compiles" not in nothing
    clock = iter(range(100))
    for module in ("continuous", "suites.program_suite"):
        monkeypatch.setattr(f"evaluation.{module}.time", SimpleNamespace(monotonic=lambda: next(clock)))
    found = evaluation(tokenizer, tmp_path, [suite], seconds=4)(model, 5)
    assert found["eval_compiles_of"] == 2 * TRAINING_BATCH
    clock = iter(range(100))
    both = evaluation(tokenizer, tmp_path, [suite, CompileRate(suite.problems)], seconds=9)
    drawn = []
    monkeypatch.setattr(CompileRate, "measure_in_training", lambda self, run, deadline: drawn.append(deadline) or {})
    both(model, 5)
    assert drawn == [5, 9]


def test_the_training_around_it_draws_what_it_would_have_drawn(model, tokenizer, tmp_path):
    def drawn():
        return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()

    def seeds():
        torch.manual_seed(1), np.random.seed(1), random.seed(1)

    seeds()
    expected = drawn()
    seeds()
    evaluation(tokenizer, tmp_path, [CompileRate(PROBLEMS_TO_COMPILE[:2])])(model.train(), 5)
    assert drawn() == expected and model.training
    model.eval()


def test_references_count_as_compiling_and_as_semantically_right(tokenizer, tmp_path, monkeypatch):
    """A planted sampler: the model is not asked."""
    problems = {problem.name: problem for problem in PROBLEMS_TO_COMPILE[:4]}

    def planted(model, tokenizer, prompts, *_, **__):
        return [Sample(prompt.name, 0, problems[prompt.name].reference, True, 1, None) for prompt in prompts]

    monkeypatch.setattr("evaluation.suites.program_suite.generate", planted)
    monkeypatch.setattr("evaluation.continuous.loss_by_depth", lambda *_: [1.0])
    found = evaluation(tokenizer, tmp_path, [CompileRate(list(problems.values()))])(None, 5)
    assert (found["eval_compiles"], found["eval_compiler_checks"], found["eval_compiles_of"]) == (1.0, 1.0, 4)
