"""A completion that reached its limit is unfinished, whatever the compiler says; results record the sampling."""

import json

from evaluation.__main__ import main
from evaluation.chat_mode import ChatMode
from evaluation.generate import Sample
from evaluation.results import Results
from evaluation.rust import RustVerifier
from evaluation.settings import EvaluationSettings
from evaluation.suites.compile_rate import CompileRate, CompileRateProblem
from evaluation.suites.suite import SuiteRun
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.tiny import tiny_model

(PROBLEM,) = (each for each in CompileRate.read().problems[:1] if isinstance(each, CompileRateProblem))
LOOP = "    let x = 1;\n" * 9


def run_on(monkeypatch, folder, samples, chat=None):
    """Results of planted samples, the verifier's programs, and the lines of verdicts."""
    monkeypatch.setattr("evaluation.suites.program_suite.generate", lambda *_: samples)
    with RustVerifier() as verifier:
        run = SuiteRun(tiny_model(), TOKENIZER, EvaluationSettings(), folder, verifier)
        found = CompileRate([PROBLEM], chat=chat).run(run)
    lines = (folder / "compilation_success_rate.verdicts.jsonl").read_text().splitlines()
    return found, [json.loads(line)["status"] for line in lines]


def test_what_reached_its_limit_is_unfinished_and_what_the_model_ended_is_not(monkeypatch, tmp_path):
    samples = [
        Sample(PROBLEM.name, 0, PROBLEM.reference, True, 9, None),
        Sample(PROBLEM.name, 1, "    let x = (", False, 9, None),
        Sample(PROBLEM.name, 2, LOOP, False, 9, None, reached_limit=True),
        Sample(PROBLEM.name, 3, PROBLEM.reference, False, 9, None, reached_limit=True),
    ]
    found, statuses = run_on(monkeypatch, tmp_path, samples)
    assert statuses == ["valid", "invalid_syntax", "unfinished", "unfinished"]
    assert found.verdicts == {"unfinished": 2, "valid": 1, "invalid_syntax": 1}
    assert found.metrics["compiles@1"].value == 0.25 and found.details["repeating_completions"] == 1
    assert ("repeat themselves at their end", "1", "of 4 completions (25.0%)") in CompileRate.extra_rows(found)


def test_an_answer_that_did_not_end_counts_if_it_holds_a_whole_block(monkeypatch, tmp_path):
    whole = f"```rust\n{PROBLEM.prompt}{PROBLEM.reference}\n```\n"
    texts = [whole + "It works because", whole[:-5], PROBLEM.prompt + PROBLEM.reference]
    samples = [Sample(PROBLEM.name, index, text, False, 9, None, True) for index, text in enumerate(texts)]
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    _, statuses = run_on(monkeypatch, tmp_path, samples, ChatMode(template=template))
    assert statuses == ["valid", "unfinished", "unfinished"]


def test_pass_at_1_10_and_100_are_the_default_as_far_as_there_are_samples():
    def ks(num_samples, k=()):
        generation = EvaluationSettings().generation
        return list(EvaluationSettings(generation=type(generation)(num_samples=num_samples), k=k).ks)

    assert [ks(1), ks(20), ks(100), ks(20, (5,))] == [[1], [1, 10], [1, 10, 100], [5]]


def test_several_temperatures_have_a_folder_each_and_greedy_has_one_sample(tmp_path, capsys):
    gguf_model().save_pretrained(tmp_path / "model"), TOKENIZER.save_pretrained(tmp_path / "model")
    command = ["run", "--model", str(tmp_path / "model"), "--suite", "compile-rate", "--limit", "1"]
    options = ["--num-samples", "2", "--max-new-tokens", "2", "--repetition-penalty", "1.5"]
    out = tmp_path / "results"
    assert main([*command, *options, "--temperature", "0.5", "0", "--output-dir", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "by temperature" in shown and not (out / "compilation_success_rate.json").exists()
    for temperature, samples in ((0, 1), (0.5, 2)):
        found = Results.read(out / f"temperature-{temperature}" / "compilation_success_rate.json")
        assert (found.settings["temperature"], found.settings["num_samples"]) == (temperature, samples)
        assert found.settings["repetition_penalty"] == 1.5 and found.verdicts == {"unfinished": samples}
        assert "repetition penalty 1.5" in CompileRate.how_measured(found)
    assert main([*command, "--temperature", "0.5", "0.50", "--output-dir", str(out)]) == 2
    assert "temperatures must be different, got 0.5, 0.5" in capsys.readouterr().err


def test_several_temperatures_need_a_suite_that_samples(tmp_path, capsys):
    (tmp_path / "a.rs").write_text("fn f() {}\n")
    arguments = ["--suite", "perplexity", "--text", str(tmp_path), "--temperature", "0", "1", "--model", "none"]
    assert main(["run", *arguments]) == 2
    assert "several temperatures need a suite that samples completions" in capsys.readouterr().err
