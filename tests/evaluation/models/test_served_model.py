"""A served model goes through suites of programs as any model does; what needs weights refuses it."""

import io
import json

import pytest
from rich.console import Console

from evaluation.chat_mode import ChatMode
from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.models.served_model import Completion, ServedModel, SuiteDoesNotFit
from evaluation.results import Results
from evaluation.run import evaluate_model
from evaluation.settings import EvaluationSettings
from evaluation.suites.compile_rate import CompileRate
from evaluation.suites.performance import Performance, Workload
from evaluation.suites.perplexity import Perplexity
from evaluation.suites.registry import SUITES

PROMPTS = [Prompt("one", "fn one() -> i32 {\n"), Prompt("two", "fn two() -> i32 {\n")]


class FixedModel(ServedModel):
    """Writes the same text after every prompt, and counts how often it is asked; `fails_after` texts it breaks."""

    name = "openai:http://127.0.0.1:1/v1#fixed"
    digest = None
    digest_of = "not known"

    def __init__(self, text="    todo!()\n}\nfn more() {}", fails_after=None):
        self.text, self.fails_after, self.seeds = text, fails_after, []

    def describe(self):
        return {"model_type": "fixed"}

    def complete(self, texts, settings, seed, stop):
        found = []
        for index, text in enumerate(texts):
            if self.fails_after is not None and len(self.seeds) >= self.fails_after:
                raise ValueError("the server is gone")
            self.seeds.append(seed + index)
            cut = stop(text, self.text)
            found.append(Completion(cut or self.text, cut is not None, False, 7))
        return found

    def answer(self, questions, settings, seed):
        return [
            Completion(f"```rust\n{question.split('```')[1][5:]}{self.text}\n```", True, False, 9)
            for question in questions
        ]


def test_completions_are_cut_by_the_suites_rule_and_kept(tmp_path):
    settings = GenerationSettings(num_samples=2, temperature=1.0, batch_size=3)
    samples = generate(FixedModel(), None, PROMPTS, settings, tmp_path / "s.jsonl", progress=False)
    assert [(each.prompt, each.index) for each in samples] == [("one", 0), ("one", 1), ("two", 0), ("two", 1)]
    assert {each.completion for each in samples} == {"    todo!()\n}"} and samples[0].mean_loops is None
    header = json.loads((tmp_path / "s.jsonl").read_text().splitlines()[0])
    assert header["model"] == FixedModel.name


def test_a_request_has_its_own_seed_whatever_the_batch_size(tmp_path):
    seeds = []
    for size in (1, 3, 8):
        model = FixedModel()
        settings = GenerationSettings(num_samples=3, temperature=1.0, batch_size=size, seed=5)
        generate(model, None, PROMPTS, settings, tmp_path / f"{size}.jsonl", progress=False)
        seeds.append(model.seeds)
    assert seeds[0] == seeds[1] == seeds[2] and len(set(seeds[0])) == 6


def test_an_interrupted_run_asks_only_for_what_is_missing(tmp_path):
    settings = GenerationSettings(num_samples=3, temperature=1.0, batch_size=2)
    whole = generate(FixedModel(), None, PROMPTS, settings, tmp_path / "whole.jsonl", progress=False)
    with pytest.raises(ValueError, match="the server is gone"):
        generate(FixedModel(fails_after=3), None, PROMPTS, settings, tmp_path / "s.jsonl", progress=False)
    model = FixedModel()
    assert generate(model, None, PROMPTS, settings, tmp_path / "s.jsonl", progress=False) == whole
    assert len(model.seeds) == 4
    assert (tmp_path / "s.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_depth_is_refused_before_anything_is_written(tmp_path):
    settings = GenerationSettings(num_loops=2)
    with pytest.raises(
        ValueError, match="num_loops needs the folder of a saved model or a Hub name, got 2 for openai:"
    ):
        generate(FixedModel(), None, PROMPTS, settings, tmp_path / "s.jsonl", progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "suite, reason",
    [
        (Performance(Workload()), "performance times `generate` of Transformers, in which openai:.* does not run"),
        (Perplexity({"a": "fn a() {}"}), "openai:.* does not give the probabilities of its tokens"),
    ],
)
def test_suites_that_need_weights_refuse_a_server(suite, reason, tmp_path):
    with pytest.raises(SuiteDoesNotFit, match=reason):
        evaluate_model(FixedModel(), [suite], tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_all_suites_skips_those_that_need_weights_and_says_why(tmp_path, monkeypatch):
    kept = {name: place for name, place in SUITES.items() if name in ("compile-rate", "semantic", "performance")}
    # Another dictionary: one that gets its items back has them in another order.
    monkeypatch.setattr("evaluation.suites.registry.SUITES", kept)
    shown = io.StringIO()
    console, settings = Console(file=shown, width=300), EvaluationSettings(limit=1)
    (results,) = evaluate_model(FixedModel(), "all", tmp_path / "out", settings, console=console)
    assert "semantic is skipped: openai:" in shown.getvalue()
    assert "performance is skipped: performance times" in shown.getvalue()
    # The body `todo!()` is refused by the rules of the suite.
    assert results.metrics["compiles@1"].value == 0
    assert Results.read(tmp_path / "out" / "compilation_success_rate.json").model["path"] == FixedModel.name


def test_a_chat_is_one_question_without_a_tokenizer(tmp_path):
    settings = EvaluationSettings(limit=1, chat=ChatMode())
    (results,) = evaluate_model(FixedModel("    a.checked_add(b)\n}"), "compile-rate", tmp_path, settings)
    assert results.metrics["compiles@1"].value == 1
    assert results.settings["mode"] == "chat" and results.settings["chat_template_sha256"] is None
    suite = CompileRate.load(EvaluationSettings(chat=ChatMode(template="{{ x }}")))
    with pytest.raises(ValueError, match="--chat-template needs the folder of a saved model"):
        suite.check_model(FixedModel(), None)
