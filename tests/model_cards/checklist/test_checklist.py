"""The checklist says what a publication would have, lacks and has wrongly, writes nothing, and is true."""

import io
import json
from dataclasses import asdict

import pytest
from rich.console import Console

from evaluation.generation_settings import GenerationSettings
from evaluation.models.digest import files_digest, weight_files
from evaluation.results import Results, share_interval
from model_cards.__main__ import main
from model_cards.card.metadata import Publication
from model_cards.checklist.items import BENCHMARKS, DONE, ITEMS, MISSING, NOT_POSSIBLE, WRONG, Subject, check_items
from model_cards.checklist.show import show_checklist
from model_cards.hub.staging import stage
from model_cards.model_statistics import ModelStatistics
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.tiny import tiny_model

DEPTH = {"num_loops": 2, "exit_at_loop": 2, "exit_threshold": 1.0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    gguf_model(num_shared_layers=1).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def results_of(folder, target, benchmark="compilation_success_rate", **changes):
    config = json.loads((folder / "config.json").read_text())
    model = {"path": str(folder), "model_type": config["model_type"], "num_loops": config["num_loops"]}
    model |= {"num_shared_layers": config["num_shared_layers"], "exit_threshold": 1.0, "exit_at_loop": None}
    model |= {"kv_reuse": "none", "digest": files_digest(weight_files(str(folder)))}
    parameters = ModelStatistics.from_checkpoint(Subject(folder).checkpoint).parameters
    model |= {"digest_of": "the files of weights", "parameters": parameters} | changes
    per_problem = {"compiles@1": {"a": 1.0, "b": 0.0}}
    metrics = {name: share_interval(list(values.values())) for name, values in per_problem.items()}
    settings = asdict(GenerationSettings()) | {"edition": "2021"} | DEPTH
    found = Results(benchmark, model, metrics, per_problem, {"valid": 1}, {}, settings, {}, "eval run")
    found.write(target)
    return target


def by_name(folder, *results):
    return {item.name: finding for item, finding in check_items(Subject(folder, results))}


def test_each_gap_has_a_step_that_fills_it(saved):
    found = by_name(saved)
    gaps = {name for name, finding in found.items() if finding.status == MISSING}
    assert {"compilation_success_rate.json", "TRAINING_REPORT.md", "training_code/", "BENCHMARK_RESULTS.md"} <= gaps
    assert all(found[name].command for name in gaps)
    wanted = f"nanochat-ternary eval run --model {saved} --suite compile-rate --output-dir results/model"
    assert found["compilation_success_rate.json"].command == wanted


def test_the_four_results_have_the_names_under_which_they_are_published(saved):
    assert len(BENCHMARKS) == 4
    names = {item.name for item in ITEMS if item.group == "evaluation"}
    assert names == {
        "humaneval_rust_results.json",
        "compilation_success_rate.json",
        "semantic_correctness.json",
        "performance_benchmarks.json",
    }


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"parameters": 1}, "they are of one with parameters=1"),
        ({"digest": "0" * 64}, "they are of weights with the SHA-256 000000000000"),
    ],
)
def test_results_of_another_model_are_wrong_with_the_reason(saved, tmp_path, changes, said):
    finding = by_name(saved, results_of(saved, tmp_path, **changes))["compilation_success_rate.json"]
    assert finding.status == WRONG and said in finding.note and "eval run" in finding.command


def test_a_file_that_is_no_results_file_is_wrong_and_hides_no_other(saved, tmp_path):
    results_of(saved, tmp_path)
    (tmp_path / "humaneval_rust.json").write_text("{")
    found = by_name(saved, tmp_path)
    assert found["humaneval_rust_results.json"].status == WRONG
    assert found["compilation_success_rate.json"].status == DONE


def test_a_damaged_file_is_wrong_also_under_the_published_name_or_an_unknown_one(saved, tmp_path):
    (tmp_path / "humaneval_rust_results.json").write_text("{")
    (tmp_path / "notes.json").write_text("[]")
    found = by_name(saved, tmp_path)
    assert found["humaneval_rust_results.json"].status == WRONG
    assert found["BENCHMARK_RESULTS.md"].status == WRONG and "notes.json" in found["BENCHMARK_RESULTS.md"].note


def test_the_commands_of_suites_that_run_programs_give_the_consent_that_they_need(saved):
    found = by_name(saved)
    run = f"nanochat-ternary eval run --model {saved} --suite"
    assert found["humaneval_rust_results.json"].command.startswith(f"HF_ALLOW_CODE_EVAL=1 {run} humaneval-rust ")
    assert found["compilation_success_rate.json"].command.startswith(f"{run} compile-rate ")


def test_gguf_files_that_are_left_out_are_a_gap(saved):
    found = {item.name: finding for item, finding in check_items(Subject(saved, gguf=False))}
    assert found["*.gguf"].status == MISSING and found["*.gguf"].command == "leave out --no-gguf"


def test_what_llama_cpp_cannot_run_is_no_gap(tmp_path):
    tiny_model(vocab_size=448, sandwich_norm=True).save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    finding = by_name(tmp_path)["*.gguf"]
    assert finding.status == NOT_POSSIBLE and "sandwich_norm must be False" in finding.note and not finding.command


def test_damaged_files_of_a_model_are_found_one_by_one(saved, tmp_path):
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "tokenizer.json").write_text("{")
    (tmp_path / "streams_nanochat.py").unlink()
    found = by_name(tmp_path)
    assert {name for name, each in found.items() if each.status == WRONG} == {"tokenizer.json", "*.py"}
    assert found["model.safetensors"].status == DONE


def test_the_command_needs_no_repository_writes_nothing_and_fails_on_gaps(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in saved.rglob("*")}
    assert main(["publish", "--check", "--model", str(saved)]) == 1
    assert "compilation_success_rate.json" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in saved.rglob("*")} == before and not list(tmp_path.iterdir())
    assert main(["publish", "--check", "--push", "--model", str(saved)]) == 2
    assert "--check only shows the checklist" in capsys.readouterr().err
    assert main(["publish", "--model", str(saved)]) == 2
    assert "--repo must be given as user/name" in capsys.readouterr().err


def test_all_that_is_done_is_in_the_staged_repository(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("model_cards.hub.staging.complete_in_clean_process", lambda *_, **__: "")
    results = results_of(saved, tmp_path / "results")
    staged = stage(saved, tmp_path / "staging", Publication("you/it"), results=[results], gguf=False)
    for item, finding in check_items(Subject(saved, (results,))):
        if finding.status == DONE and item.name != "*.gguf":
            assert list(staged.folders["you/it"].glob(item.name.rstrip("/"))), item.name


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="which has no config.json"):
        show_checklist(Console(file=io.StringIO()), tmp_path, [])
