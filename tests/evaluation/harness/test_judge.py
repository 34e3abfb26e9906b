"""The judge for other harnesses gives the verdicts of our own command."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from evaluation.harness.judge import Judge, judge_of
from evaluation.models.served_model import Completion, ServedModel
from evaluation.run import evaluate_model
from evaluation.rust import CodeExecutionNotAllowed, RustVerifier
from evaluation.scoring import GoldFailed
from evaluation.settings import EvaluationSettings
from evaluation.suites.compile_rate import CompileRate
from tests.helpers.completions import WRONG, fixed_completions


class FixedModel(ServedModel):
    """Writes a fixed text after the prompt of each function."""

    name, digest, digest_of = "fixed", None, "not known"

    def describe(self):
        return {"model_type": "fixed"}

    def complete(self, texts, settings, seed, stop):
        written = fixed_completions(5)
        found = []
        for text in texts:
            (name,) = (name for name in written if f"fn {name}(" in text)
            cut = stop(text, written[name])
            found.append(Completion(cut or written[name], cut is not None, cut is None, 5))
        return found

    def answer(self, questions, settings, seed):
        raise NotImplementedError


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Completions of our own command by problem, and the names of the problems that pass."""
    folder = tmp_path_factory.mktemp("own")
    (results,) = evaluate_model(FixedModel(), "compile-rate", folder, EvaluationSettings(limit=5))
    samples = (folder / "compilation_success_rate.samples.jsonl").read_text().splitlines()[1:]
    completions = {line["prompt"]: line["completion"] for line in map(json.loads, samples)}
    return completions, {name for name, value in results.per_problem["compiles@1"].items() if value == 1}


def test_equal_texts_have_equal_completions_and_equal_counts_of_passes(own):
    completions, passing = own
    judge = judge_of("compile-rate")
    found = {name: judge.completion(name, "\n" + text) for name, text in fixed_completions(5).items()}
    assert found == completions
    with ThreadPoolExecutor(5) as pool:
        verdicts = list(pool.map(lambda name: judge.verdicts({name: [found[name]]})[name], found))
    together = judge.verdicts({name: [text] for name, text in found.items()})
    assert {name for name, (each,) in together.items() if each.ok} == passing
    assert [each.ok for (each,) in verdicts] == [each.ok for (each,) in together.values()]
    assert len(passing) == 5 - len(WRONG)


def test_a_prompt_is_what_a_server_is_sent():
    judge = judge_of("compile-rate")
    prompts = {problem.name: problem.prompt for problem in CompileRate.read().problems}
    assert all(judge.prompt(name) == prompt.rstrip() for name, prompt in prompts.items())


def test_a_chat_is_asked_and_judged_as_one():
    judge = judge_of("compile-rate", chat=True)
    assert judge.prompt("checked_sum").startswith("Write this Rust function")
    answer = "```rust\nfn checked_sum(a: i32, b: i32) -> Option<i32> { a.checked_add(b) }\n```"
    texts = [judge.completion("checked_sum", text) for text in (answer, "I cannot.")]
    assert [each.ok for each in judge.verdicts({"checked_sum": texts})["checked_sum"]] == [True, False]


def test_nothing_is_judged_where_a_reference_fails():
    suite = CompileRate.load(EvaluationSettings(limit=2))
    broken = replace(suite, problems=[suite.problems[0], replace(suite.problems[1], reference="    0\n")])
    with RustVerifier() as verifier:
        judge = Judge(broken, verifier)
        assert judge.verdicts({"checked_sum": ["    a.checked_add(b)\n}"]})["checked_sum"][0].ok
        with pytest.raises(GoldFailed, match="greatest_common_divisor"):
            judge.verdicts({"greatest_common_divisor": ["    1\n}"]})


def test_programs_run_only_with_consent(monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(CodeExecutionNotAllowed, match="HF_ALLOW_CODE_EVAL"):
        judge_of("humaneval-rust")
    with pytest.raises(ValueError, match="suite must be one of programs, got perplexity"):
        judge_of("perplexity")
