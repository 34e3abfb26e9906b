"""A new suite is one file and one line: everything that shows or runs suites finds it in the registry."""

from pathlib import Path

import pytest
from datasets import Dataset

from evaluation.__main__ import main
from evaluation.continuous import ContinuousEvaluation, training_suites
from evaluation.results import Results
from evaluation.run import evaluate_model
from evaluation.settings import EvaluationSettings
from evaluation.suites.registry import SUITES, suite_class, suite_classes, suite_of
from model_cards.card.results import benchmark_rows, commands
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.tiny_suite import TinySuite


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(SUITES, "tiny", "tests.helpers.tiny_suite:TinySuite")


@pytest.fixture(scope="module")
def model():
    return gguf_model()


def test_run_report_compare_and_cards_find_a_registered_suite(registered, model, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model"), TOKENIZER.save_pretrained(tmp_path / "model")
    for out, limit in (("a", "8"), ("b", "8"), ("c", "4")):
        options = ["--suite", "tiny", "--limit", limit, "--output-dir", str(tmp_path / out)]
        assert main(["run", "--model", str(tmp_path / "model"), *options]) == 0
    shown = capsys.readouterr().out
    assert "tiny_numbers, 8 numbers" in shown and "a row of its own" in shown and "tiny.png" in shown
    first, second, shorter = (str(tmp_path / out / "tiny_numbers.json") for out in "abc")
    assert main(["report", str(tmp_path / "a")]) == 0
    tables, *files = capsys.readouterr().out.split("Report in ")
    assert tables.splitlines() == shown.splitlines()[: len(shown.splitlines()) // 3]
    assert [Path(each.strip()).name for each in files] == ["overview.png", "report.md", "report.html"]
    assert main(["compare", first, second]) == 0
    # Shares that are equal everywhere have an interval with a width, although there are no verdicts.
    shown = capsys.readouterr().out
    assert "numbers" in shown and "+0.0000 to +0.0000" not in shown
    assert main(["compare", *(str(tmp_path / out) for out in "abc")]) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"tiny_numbers: {tmp_path / 'a'} and") == 2
    assert "The results have 8 and 4 numbers; those of both are compared" in shown
    assert main(["compare", first, str(tmp_path)]) == 2
    (row,) = (
        row
        for row in benchmark_rows([Results.read(tmp_path / "a" / "tiny_numbers.json")])
        if row.value != "not measured"
    )
    assert (row.benchmark, row.measured_on, row.settings) == ("Tiny numbers", "8 numbers", "first_token 1")
    assert row.value.endswith("%") and row.benchmark in {each.benchmark for each in benchmark_rows([])}


def test_continuous_evaluation_finds_a_registered_suite(registered, model, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    suites, skipped = training_suites(model, TOKENIZER)
    assert [suite.name for suite in suites] == ["compile-rate", "semantic", "tiny"] and skipped == {}
    blocks = Dataset.from_dict({"input_ids": [[3, 4, 5, 6]]})
    found = ContinuousEvaluation(TOKENIZER, blocks, suites[2:], tmp_path)(model, 1)
    assert found["eval_tiny_of"] == 8 and 0 <= found["eval_tiny"] <= 1
    assert "eval_tiny" not in ContinuousEvaluation(TOKENIZER, blocks, suites[2:], tmp_path, seconds=0)(model, 1)


def test_a_loaded_model_and_suites_with_their_problems_are_taken_as_they_are(registered, model, tmp_path):
    settings = EvaluationSettings(limit=2)
    for suite, number in (("tiny", 2), (TinySuite((1, 2, 3)), 3)):
        (found,) = evaluate_model(model, [suite], tmp_path, settings, tokenizer=TOKENIZER)
        assert found.num_problems == number and found.model["parameters"] == model.num_parameters()
    with pytest.raises(ValueError, match="suites must have results of different names, got tiny_numbers, tiny_numb"):
        evaluate_model(model, ["tiny", TinySuite((1, 2, 3))], tmp_path, settings, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="tokenizer must be given with a loaded model"):
        evaluate_model(model, "tiny", tmp_path)
    with pytest.raises(ValueError, match="suite must be one of .*tiny, got 'none'"):
        evaluate_model(model, "none", tmp_path, tokenizer=TOKENIZER)


def test_several_suites_run_once_each_and_in_the_order_of_the_registry():
    names = ["performance", "compile-rate", "performance"]
    assert [each.name for each in suite_classes(names)] == ["compile-rate", "performance"]
    assert [each.name for each in suite_classes([*names, "all"])] == list(SUITES)


def test_names_are_unique_and_lead_back_to_their_suites():
    for name in SUITES:
        suite = suite_class(name)
        assert suite.name == name and suite_of(suite.benchmark) is suite
    assert suite_of("mbpp_rust_multiple").name == "multipl-e-rust"


def test_results_of_a_suite_that_is_not_registered_are_still_shown(tmp_path, capsys):
    Results("others", {"path": "model"}, {}, {"x": {"a": 1.0}}).write(tmp_path)
    assert main(["report", str(tmp_path)]) == 0 and "others, 1 problems, model" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "nothing")]) == 2


def test_a_folder_of_this_machine_is_not_in_a_public_command_even_behind_the_name_of_a_suite():
    command = (
        "python -m evaluation run --model /me/model --problems humaneval-rust=/me/rows.jsonl --output-dir=/me/out"
    )
    results = Results("humaneval_rust", {"path": "/me/model"}, {}, {}, command=command)
    assert commands([results], "some/one") == [
        "python -m evaluation run --model some/one --problems humaneval-rust=rows.jsonl --output-dir=out"
    ]
