"""A model card says what was counted and measured, with its circumstances, and nothing else."""

import json
import re
from copy import deepcopy
from dataclasses import asdict, replace

import pytest
import torch
from huggingface_hub import ModelCard

from evaluation import __main__ as evaluation
from evaluation.generation_settings import GenerationSettings
from evaluation.machine import Machine
from evaluation.results import Results, share_interval
from evaluation.results_folder import describe
from evaluation.suites.depth_descriptions import describe_depth
from evaluation.suites.registry import suite_classes
from model_cards.__main__ import main
from model_cards.card.metadata import metadata_problems
from model_cards.card.render import TEMPLATES
from model_cards.card.results import as_published, published_name
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.model_statistics import ModelStatistics
from modeling_nanochat import LoopLMForCausalLM
from tests.helpers.gguf_models import RUST, TOKENIZER, gguf_model
from tests.helpers.paths import ROOT

OPTIONS = ["--repo", "someone/small-rust"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "model"
    gguf_model(initializer_range=0.02).save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def measured(saved, tmp_path_factory):
    """Results as the benchmarks write them; those of programs without running any."""
    folder = tmp_path_factory.mktemp("results")
    shared = ["--model", str(saved), "--out", str(folder)]
    assert evaluation.main(["run", *shared, "--suite", "perplexity", "--text", str(RUST), "--window", "32"]) == 0
    speed = ["--suite", "performance", "--batch-sizes", "1", "--prompt-tokens", "8", "--new-tokens", "4"]
    assert evaluation.main(["run", *shared, *speed, "--rounds", "2"]) == 0
    perplexity = Results.read(folder / "perplexity.json")
    solved = {f"Rust/{index}": float(index % 4 == 0) for index in range(40)}
    replace(
        perplexity,
        benchmark="humaneval_rust",
        unit="problems",
        metrics={"pass@1": share_interval(list(solved.values()))},
        per_problem={"pass@1": solved},
        verdicts={"valid": 10, "tests_failed": 30},
        details={},
        settings=asdict(GenerationSettings(num_samples=1, temperature=0.3, seed=11))
        | {"edition": "2021", "run_timeout": 5.0},
        versions=perplexity.versions | {"rustc": "rustc 9.9.9"},
        command=f"python -m evaluation run --model {saved} --problems /home/me/secret/rows.jsonl --out=/home/results",
    ).write(folder)
    return folder


def card(folder, *options, capsys=None):
    assert main(["card", "--model", str(folder), *OPTIONS, *map(str, options)]) == 0
    return ModelCard(capsys.readouterr().out.rstrip("\n"))


def test_templates_hold_no_numbers():
    for path in TEMPLATES.glob("*.md"):
        words = re.sub(r"\{\{.*?\}\}|\{%.*?%\}", "", path.read_text())
        assert not re.search(r"\d", words), path


def test_without_results_every_benchmark_is_not_measured(saved, capsys):
    made = card(saved, capsys=capsys)
    performance = made.text.split("## Performance")[1].split("## Usage")[0]
    suites_of_quality = [suite for suite in suite_classes() if suite.in_quality_table]
    assert performance.count("not measured") == len(suites_of_quality) + 1
    table = [line.split("|") for line in performance.splitlines() if line.startswith("| ")][2:]
    assert table and all(cells[3].strip() == "not measured" and not cells[4].strip() for cells in table)
    assert "model-index" not in made.data.to_dict() and "metrics" not in made.data.to_dict()
    assert "| Training data | not recorded |" in made.text


def test_what_is_said_of_the_model_is_counted_from_it(saved, capsys):
    text = card(saved, capsys=capsys).text
    model = gguf_model()
    total = sum(parameter.numel() for parameter in model.parameters())
    ternary = sum(each.numel() for name, each in model.named_parameters() if "_proj.weight" in name)
    assert f"| Parameters | {total:,} |" in text
    assert f"| Ternary parameters | {ternary:,} ({ternary / total:.1%}) |" in text
    assert f"{4 * total / 1e6:,.2f} MB, 32.00 bits per parameter (float32)" in text
    assert "| Layers | 2 x 2 loops = 4 applied |" in text


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_head_counts_once(tied):
    model = gguf_model(tie_word_embeddings=tied, mhc_num_streams=2)
    counted = ModelStatistics.from_checkpoint(LoopLMCheckpoint.from_model(model))
    assert counted.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_keys_and_values_of_the_last_loop_alone_take_its_share():
    every = ModelStatistics.from_checkpoint(LoopLMCheckpoint.from_model(gguf_model()))
    config = deepcopy(every.config)
    config.kv_reuse = "last"
    assert replace(every, config=config).cache_bytes_per_token * config.num_loops == every.cache_bytes_per_token


def test_a_measured_number_comes_with_interval_problems_sampling_and_command(saved, measured, capsys):
    made = card(saved, "--results", measured, capsys=capsys)
    results = {path.stem: Results.read(path) for path in measured.glob("*.json")}
    share = results["humaneval_rust"].metrics["pass@1"]
    how = "1 sample per problem, temperature 0.3, top-p 0.95, at most 512 tokens, seed 11, 2 loops, edition 2021"
    row = f"pass@1 | {share.value:.1%} | {share.low:.1%} to {share.high:.1%} | 40 problems | {how} |"
    assert row in made.text and share.low < share.value < share.high
    bits = results["perplexity"].metrics["bits_per_byte_loop_1"]
    assert f"bits per byte loop 1 | {bits.value:.4f} | {bits.limits('.4f')} |" in made.text
    assert "HumanEval-Rust (MultiPL-E) |  | not measured" in made.text
    assert "40 samples: 10 valid, 30 tests_failed." in made.text and "rustc 9.9.9" in made.text
    # The command has the name of the model on the Hub, and no folder of this machine.
    command = "python -m evaluation run --model someone/small-rust --problems rows.jsonl --out=results"
    assert command in made.text
    assert "/home" not in str(made) and str(saved.parent) not in str(made)
    (speed, *_) = results["performance_benchmarks"].details["speeds"]
    assert f"| {speed['peak_memory_bytes'] / 2**20:,.0f} MiB |" in made.text and "through `generate`" in made.text

    found = {(each.dataset_type, each.metric_type): each.metric_value for each in made.data.eval_results}
    assert found == {
        ("bigcode/humanevalpack", "pass@1"): pytest.approx(0.25),
        ("perplexity", "bits_per_byte"): pytest.approx(results["perplexity"].metrics["bits_per_byte"].value, abs=1e-6),
    }
    assert made.data.metrics == ["code_eval"]


def test_results_of_a_packed_model_are_its_own_and_tell_the_depth_it_is_configured_with(saved, tmp_path, capsys):
    model = LoopLMForCausalLM.from_pretrained(saved, exit_threshold=0.4, kv_reuse="last").pack()
    folder, results = tmp_path / "packed", tmp_path / "results"
    model.save_pretrained(folder), TOKENIZER.save_pretrained(folder)
    text = ["--suite", "perplexity", "--text", str(RUST), "--window", "32", "--limit", "1"]
    assert evaluation.main(["run", "--model", str(folder), "--out", str(results), *text]) == 0
    decoded = Results.read(results / "perplexity.json").details["decoded"]
    made = card(folder, "--results", results, capsys=capsys)
    assert "| Key-value cache | of the last loop only, after the prompt |" in made.text
    assert f"exit threshold 0.4: {decoded['mean_loops']:.2f} loops per token, key-value cache of the last" in made.text


@pytest.mark.parametrize(
    "asked, configured, words",
    [
        ({}, {}, "2 loops"),
        ({}, {"exit_threshold": 0.5}, "2 loops, exit threshold 0.5: 1.25 loops per token"),
        ({"exit_threshold": 1.0}, {"exit_threshold": 0.5}, "2 loops"),
        ({"exit_at_loop": 2}, {"exit_threshold": 0.5}, "exit after loop 2"),
        ({}, {"exit_at_loop": 1}, "exit after loop 1"),
        ({"exit_threshold": 0.8}, {"exit_at_loop": 1}, "2 loops, exit threshold 0.8: 1.25 loops per token"),
        ({}, {"kv_reuse": "last"}, "2 loops, key-value cache of the last loop only"),
    ],
)
def test_the_depth_is_that_asked_for_or_else_the_configured_one(measured, asked, configured, words):
    results = Results.read(measured / "humaneval_rust.json")
    changed = {"settings": results.settings | asked, "model": results.model | configured}
    assert describe_depth(replace(results, details={"mean_loops": 1.25}, **changed)) == words


def test_results_of_another_model_are_refused(saved, measured, tmp_path, capsys):
    content = json.loads((measured / "humaneval_rust.json").read_text())
    content["model"]["parameters"] += 1
    (tmp_path / "humaneval_rust.json").write_text(json.dumps(content))
    assert main(["card", "--model", str(saved), "--results", str(tmp_path)]) == 2
    assert "must be results of this model: they are of one with parameters=" in capsys.readouterr().err
    content["model"]["parameters"] -= 1
    content["model"]["digest"] = "0" * 64
    (tmp_path / "humaneval_rust.json").write_text(json.dumps(content))
    assert main(["card", "--model", str(saved), "--results", str(tmp_path)]) == 2
    assert "must be results of this model: they are of weights with the SHA-256 0000" in capsys.readouterr().err
    (tmp_path / "humaneval_rust.json").write_text("{}")
    assert main(["card", "--model", str(saved), "--results", str(tmp_path)]) == 2
    assert "must be a results file" in capsys.readouterr().err


def test_published_results_have_the_names_of_the_design_and_no_local_paths(measured):
    results = Results.read(measured / "humaneval_rust.json")
    assert published_name(results) == "humaneval_rust_results.json"
    assert published_name(Results.read(measured / "perplexity.json")) == "perplexity.json"
    published = as_published(replace(results, settings={"problems": "/home/me/rows.jsonl"}), "me/model")
    assert published.model["path"] == "me/model" and published.settings["problems"] == "rows.jsonl"
    assert "/home" not in published.command and "me/model" in published.command


def test_the_metadata_follow_the_rules_of_the_hub(saved, tmp_path, capsys):
    out = tmp_path / "README.md"
    given = ["--license", "apache-2.0", "--datasets", "some/rust", "--base-model", "ByteDance/Ouro-1.4B"]
    assert main(["card", "--model", str(saved), *OPTIONS, *given, "--output", str(out)]) == 0
    made = ModelCard.load(out)
    assert made.data.to_dict() | {"tags": None} == {
        "language": ["code", "en"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "datasets": ["some/rust"],
        "base_model": "ByteDance/Ouro-1.4B",
        "tags": None,
    }
    assert {"rust", "looplm", "ternary"} <= set(made.data.tags) and "compiler-verified" not in made.data.tags
    assert metadata_problems(made) == []
    capsys.readouterr()
    for options, said in (
        (["--license", "MIT"], "license must be an identifier of the Hub"),
        (["--datasets", "a b"], "datasets must be a repository on the Hub"),
        (["--repo", "nobody"], "repo must be user/name"),
    ):
        assert main(["card", "--model", str(saved), *options]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "field, value",
    [
        ("language", "rust"),
        ("library_name", "nanochat-rs-ternary"),
        ("metrics", ["compilation_success_rate"]),
        ("license", "MIT"),
        ("datasets", ["a/b/c"]),
        ("pipeline_tag", "code"),
        ("base_model_relation", "quantized"),
    ],
)
def test_metadata_that_break_a_rule_are_found(saved, capsys, field, value):
    made = card(saved, capsys=capsys)
    made.data[field] = value
    assert any(field in problem for problem in metadata_problems(made))


def test_the_usage_in_the_card_runs(saved, capsys, monkeypatch, tmp_path):
    text = card(saved, capsys=capsys).text
    program = re.search(r"```python\n(.*?)```", text, re.S)[1].replace("someone/small-rust", str(saved))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    names: dict = {}
    torch.manual_seed(0)
    exec(program, names)
    assert "fn larger(a: i32, b: i32) -> i32 {" in capsys.readouterr().out
    assert names["logits"].shape[-1] == 448 and names["tokens"].shape[-1] > 8


@pytest.mark.parametrize(
    "settings, said",
    [({"exit_at_loop": 3}, "always after loop 3"), ({"exit_threshold": 0.7}, "early, at threshold 0.7")],
)
def test_a_model_that_leaves_by_itself_says_so_in_its_card_and_in_its_results(
    measured, capsys, monkeypatch, tmp_path, settings, said
):
    model = gguf_model(num_loops=4, initializer_range=0.02, **settings)
    model.save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    text = card(tmp_path / "model", capsys=capsys).text
    assert f"| Exit | {said}, unless set otherwise |" in text
    program = re.search(r"```python\n(.*?)```", text, re.S)[1].replace("someone/small-rust", str(tmp_path / "model"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    exec(program, {})

    found = replace(
        Results.read(measured / "humaneval_rust.json"), model=describe(model, "it"), details={"mean_loops": 2.25}
    )
    assert (
        describe_depth(found)
        == {
            "exit_at_loop": "exit after loop 3",
            "exit_threshold": "4 loops, exit threshold 0.7: 2.25 loops per token",
        }[next(iter(settings))]
    )
    # A depth that was asked for replaces both; a threshold of 1 the other threshold.
    asked = replace(found, settings=found.settings | {"exit_at_loop": 1, "exit_threshold": None})
    assert describe_depth(asked) == "exit after loop 1"
    never = replace(found, settings=found.settings | {"exit_threshold": 1.0})
    assert describe_depth(never) == ("exit after loop 3" if "exit_at_loop" in settings else "4 loops")


@pytest.mark.parametrize("is_former", [False, True])
def test_the_training_is_told_from_the_run_that_made_the_model(saved, tmp_path, capsys, is_former):
    run = tmp_path / "run"
    share = {"value": 0.25, "low": 0.125, "high": 0.5}
    judged = {"tasks": 8, "solved": [share, share], "compiles": [share, {"value": 0.625, "low": 0.5, "high": 0.75}]}
    timed = {"tokens": 12345, "seconds": 7380.0, "machines": [asdict(Machine("a processor", 3))]}
    for stage, finished in (("pretrain", timed), ("maxrl", judged), ("later", {"tokens": 777})):
        (run / stage).mkdir(parents=True)
        (run / stage / "finished.json").write_text(json.dumps(finished))
    (run / "maxrl" / "model").symlink_to(saved)
    (run / "prepare").mkdir()
    verification = {"counts": {"valid": 17, "semantic_error": 3}, "external": 2, "problem": None}
    (run / "prepare" / "verification.json").write_text(json.dumps(verification))
    recipe = {"model": {}, "data": {"data_dir": "/home/me/secret", "seq_len": 64, "tasks": 50}}
    first = {"total_steps": 9, "peak_lr": 0.001}
    maxrl = {"total_steps": 4, "prompts_per_step": 2, "num_generations": 8, "estimator": "maxrl", "mode": "compile"}
    later = {"total_steps": 5, "seq_len": 64}
    if is_former:
        recipe |= {"training": {"optimizer": "adamw"} | first, "stages.maxrl": maxrl, "stages.later": later}
    else:
        recipe |= {
            "training": {"optimizer": "adamw"},
            "pretrain": {"kind": "pretrain", "seq_len": 64} | first,
            "left_out": {"kind": "sft", "total_steps": 0, "seq_len": 64},
            "maxrl": {"kind": "maxrl"} | maxrl,
            "later": {"kind": "pretrain"} | later,
            "export": {"kind": "export", "gguf": None},
        }
    (run / "recipe.json").write_text(json.dumps(recipe))
    made = card(run / "maxrl" / "model", capsys=capsys)
    # The same for what was exported of it.
    (run / "export").mkdir()
    (run / "export" / "finished.json").write_text('{"stage": "maxrl"}')
    (run / "export" / "packed").symlink_to(saved)
    exported = card(run / "export" / "packed", capsys=capsys)
    assert exported.text.split("## Training details")[1] == made.text.split("## Training details")[1]
    assert "| Stage `pretrain` | 9 steps, 64 tokens per block, 12,345 tokens |" in made.text
    assert "(maxrl), 4 steps of 2 prompts x 8 completions, rewarding completions that compile; share of 8" in made.text
    assert "held-out tasks solved: 25.0% (12.5% to 50.0%) before and" in made.text
    assert "that compile: 25.0% (12.5% to 50.0%) before and 62.5% (50.0% to 75.0%) after" in made.text
    assert "rewarded completions that compile; see" in made.text and "pass hidden tests" not in made.text
    assert "17 valid, 3 semantic_error (2 fail only because of missing crates" in made.text
    assert "| Optimizer | adamw, peak learning rate 0.001 |" in made.text
    assert "| Hardware | a processor, 3 threads; of maxrl not recorded |" in made.text
    assert "| Duration | 2.0 hours, without maxrl, where it was not recorded |" in made.text
    assert "777" not in made.text and "secret" not in made.text and "left_out" not in made.text
    assert "compiler-verified" in made.data.tags


def test_the_templates_are_installed_with_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["package-data"]["model_cards.card"] == ["templates/*.md"]
