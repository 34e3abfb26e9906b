"""The stage that evaluates: it measures the last model once, says what it cannot run, and closing stages run alone."""

import json
import shutil
from dataclasses import asdict, replace

import pytest
from safetensors.torch import load_file, save_file

from evaluation.generation_settings import GenerationSettings
from evaluation.results import Results, share_interval
from evaluation.results_folder import read_results
from modeling_nanochat import LoopLMConfig
from recipes.pipeline.evaluate import evaluate, evaluation_plan, held_out_texts, metrics_of
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.pretrain import build_model
from recipes.pipeline.stages.evaluate import Evaluate
from recipes.pipeline.stages.evaluated import Evaluated
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.data.pack import pack_blocks
from trainers.data.tokenizer import train_tokenizer


def evaluated_recipe(folder):
    """A recipe whose last stages are an evaluation and an export that llama.cpp could run."""
    recipe = tiny_recipe(folder, total_steps=1, warmup_steps=0, decay_steps=0, save_steps=1)
    first, gate, export = recipe.stages
    model = LoopLMConfig.from_dict(recipe.model.to_dict() | {"ternary_group_size": 32})
    stages = (first, gate, Evaluate(suites=("perplexity", "humaneval-rust"), limit=2), export)
    return replace(recipe, model=model, stages=stages).changed(data={"verified_sample": 0})


@pytest.mark.slow
def test_a_run_ends_with_an_evaluation_that_names_what_it_could_not_run_and_closing_stages_run_alone(
    tmp_path, capsys, monkeypatch, no_clean_process
):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    recipe = evaluated_recipe(tmp_path)
    command(recipe, [])
    shown = " ".join(capsys.readouterr().out.split())
    assert "ends with an evaluation on perplexity; humaneval-rust needs HF_ALLOW_CODE_EVAL=1" in shown
    assert "humaneval-rust did not run" in shown and "perplexity: bits_per_byte, 2 texts" in shown
    (results,) = read_results(recipe.run_dir / "evaluate" / "results")
    assert "bits_per_byte" in (recipe.run_dir / "evaluate" / "results" / "report.html").read_text()
    found = json.loads((recipe.run_dir / "report.json").read_text())["evaluate"]
    assert found["stage"] == "pretrain" and list(found["not_run"]) == ["humaneval-rust"]
    assert found["metrics"][0]["interval"]["value"] == results.metrics["bits_per_byte"].value
    assert "perplexity: bits_per_byte, 2 texts" in (recipe.run_dir / "report.html").read_text()

    shutil.rmtree(recipe.run_dir / "evaluate")
    command(recipe, ["--resume", "--stage", "export", "--set", "export.gguf=f32"])
    assert (recipe.run_dir / "export" / "tiny-f32.gguf").exists() and not (recipe.run_dir / "evaluate").exists()
    shutil.rmtree(recipe.run_dir / "export")
    command(recipe, ["--resume", "--stage", "evaluate", "--set", "evaluate.limit=1"])
    assert Evaluated.read(recipe.run_dir / "evaluate" / "finished.json").metrics[0].of == "1 texts"
    assert not (recipe.run_dir / "export").exists()


@pytest.fixture(scope="module")
def prepared():
    texts = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]
    tokenizer = train_tokenizer(texts, 300, 32)
    return Prepared(tokenizer, {}, pack_blocks(texts, tokenizer, 32))


def test_the_held_out_texts_are_whole_and_those_that_were_packed(prepared):
    texts = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]
    found = list(held_out_texts(prepared))
    assert found == texts[: len(found)] and len(found) >= len(texts) - 1


def test_a_finished_evaluation_is_kept_until_the_model_or_the_settings_change(tmp_path, prepared):
    recipe = evaluated_recipe(tmp_path)
    model_folder = recipe.run_dir / "pretrain" / "model"
    build_model(recipe, prepared.tokenizer).save_pretrained(model_folder)
    stage = Evaluate(suites=("perplexity",), limit=1)
    first = evaluate(recipe, stage, prepared, model_folder)
    path = recipe.run_dir / "evaluate" / "results" / "perplexity.json"
    written = path.stat().st_mtime_ns
    assert evaluate(recipe, stage, prepared, model_folder) == first and path.stat().st_mtime_ns == written
    weights = load_file(model_folder / "model.safetensors")
    weights["model.embed_tokens.weight"] *= 2
    save_file(weights, model_folder / "model.safetensors", {"format": "pt"})
    second = evaluate(recipe, stage, prepared, model_folder)
    assert second.metrics[0].interval != first.metrics[0].interval


@pytest.mark.parametrize("engine", ["torch", "native"])
def test_completions_are_generated_by_the_engine_of_the_stage(tmp_path, prepared, engine):
    recipe = evaluated_recipe(tmp_path)
    model_folder = recipe.run_dir / "pretrain" / "model"
    build_model(recipe, prepared.tokenizer).save_pretrained(model_folder)
    stage = Evaluate(suites=("compile-rate",), limit=1, max_new_tokens=2, engine=engine)
    assert not evaluate(recipe, stage, prepared, model_folder).not_run
    (found,) = read_results(recipe.run_dir / "evaluate" / "results")
    assert found.settings["engine"] == engine


def test_results_under_another_name_than_their_suite_are_finished_too(tmp_path, prepared):
    recipe = evaluated_recipe(tmp_path)
    model_folder = recipe.run_dir / "pretrain" / "model"
    build_model(recipe, prepared.tokenizer).save_pretrained(model_folder)
    evaluate(recipe, Evaluate(suites=("perplexity",), limit=1), prepared, model_folder)
    values = {"compiles@1, two turns": {"a": 1.0}}
    metrics = {name: share_interval(list(each.values())) for name, each in values.items()}
    folder = recipe.run_dir / "evaluate" / "results"
    model = Results.read(folder / "perplexity.json").model
    details = {"asked_again": 1, "failures": 1, "mended": 1}
    settings = {"repair_of": "compile-rate", "edition": "2021"} | asdict(GenerationSettings())
    there = Results("repair_compilation_success_rate", model, metrics, values, {"pass": 1}, details, settings)
    there.write(folder)
    found = evaluate(recipe, Evaluate(suites=("repair", "perplexity"), limit=1), prepared, model_folder)
    assert [each.benchmark for each in found.metrics if each.name in metrics] == [there.benchmark]


def test_an_evaluation_without_consent_says_at_the_start_what_it_needs(monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    assert "nothing to run: humaneval-rust needs" in evaluation_plan(Evaluate(suites=("humaneval-rust",)))
    with pytest.raises(ValueError, match="evaluate.suites must be some of humaneval-rust, .*, got 'poetry'"):
        Evaluate(suites=("poetry",))


def test_a_part_of_a_suite_is_of_its_own_number_of_problems():
    by_metric = {"accuracy": {"a": 1.0, "b": 0.0}, "accuracy, one part": {"a": 1.0}}
    metrics = {name: share_interval(list(values.values())) for name, values in by_metric.items()}
    results = Results("semantic_correctness", {}, metrics, by_metric, unit="templates")
    assert [each.of for each in metrics_of("semantic", results)] == ["2 templates", "1 templates"]
