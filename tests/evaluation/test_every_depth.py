"""A model with loops is measured at each of its depths, in a folder for each."""

from dataclasses import dataclass, replace

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from evaluation.every_depth import evaluate_every_depth
from evaluation.generation_settings import GenerationSettings
from evaluation.report.runs import maximum_loops, read_runs
from evaluation.run import Loading
from evaluation.settings import EvaluationSettings
from tests.helpers.tiny_suite import TinySuite


@dataclass(frozen=True)
class TinyAtDepth(TinySuite):
    """Records the number of loops that it was asked for."""

    def run(self, run):
        return replace(super().run(run), settings={"num_loops": run.settings.generation.num_loops})


SUITE = TinyAtDepth((3, 4, 5))
SETTINGS = EvaluationSettings()


def save(model, tokenizer, folder):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_each_depth_has_a_folder_of_its_own(model, tokenizer, tmp_path):
    path = save(model, tokenizer, tmp_path / "model")
    evaluate_every_depth(path, [SUITE], tmp_path / "results", SETTINGS, Loading(device="cpu"), "the command")
    runs = read_runs(tmp_path / "results")
    assert [run.name for run in runs] == ["loops_1", "loops_2", "loops_3"]
    found = [run.results[0] for run in runs]
    assert [maximum_loops(results) for results in found] == [1, 2, 3]
    assert {results.model["path"] for results in found} == {path} and {each.command for each in found} == {
        "the command"
    }


def test_a_depth_cannot_be_given_as_well(tmp_path):
    settings = EvaluationSettings(GenerationSettings(exit_at_loop=2))
    with pytest.raises(ValueError, match="all_depths runs every depth and cannot be used with exit_at_loop"):
        evaluate_every_depth("missing", [SUITE], tmp_path, settings, Loading())


def test_a_model_without_loops_is_refused(tokenizer, tmp_path):
    config = GPT2Config(vocab_size=300, n_positions=64, n_embd=16, n_layer=1, n_head=2)
    path = save(GPT2LMHeadModel(config), tokenizer, tmp_path / "model")
    with pytest.raises(ValueError, match="all_depths needs a LoopLM, got a model of type gpt2"):
        evaluate_every_depth(path, [SUITE], tmp_path / "results", SETTINGS, Loading(device="cpu"))
