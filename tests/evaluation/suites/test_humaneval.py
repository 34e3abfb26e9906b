"""HumanEval-Rust: the published rows run on the standard library alone, and only what passes its test scores."""

import gzip
import json
from collections import Counter

import pytest

from evaluation.__main__ import main
from evaluation.results import Results
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.scoring import GoldFailed, results_of
from evaluation.suites.humaneval_rust import SHIMS, HumanEvalProblem, HumanEvalRust
from tests.helpers.humaneval_rows import CRATES, PROBLEMS, ROWS
from tests.helpers.stored import needs_data, rows

SUITE = HumanEvalRust(PROBLEMS)


def score(completions, k, verifier):
    verdicts = SUITE.verify(completions, verifier)
    return results_of("humaneval_rust", "pass", SUITE.names, verdicts, k), verdicts


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        patch.delenv("NANOCHAT_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


def test_no_crate_is_left_and_what_they_gave_is_there(verifier):
    for problem in PROBLEMS:
        assert "use rand;" not in problem.prompt and "regex" not in problem.prompt + problem.declaration
        assert "fn main" not in problem.declaration and "use std::" in problem.declaration
    assert ["mod rand" in problem.tests for problem in PROBLEMS] == [True, False]
    assert ["mod md5" in problem.tests for problem in PROBLEMS] == [False, True]
    SUITE.check_gold(verifier)


@pytest.mark.parametrize("edition", ["2015", "2021", "2024"])
def test_the_replaced_crates_compile_in_every_edition(edition):
    with RustVerifier(edition) as verifier:
        assert all(verdict.ok for verdict in verifier.verify([path.read_text() for path in SHIMS.values()]))


def test_solutions_score_one_and_stubs_zero(verifier):
    for bodies, expected in (([each.solution for each in PROBLEMS], 1.0), (["    todo!()\n}\n"] * 2, 0.0)):
        results, _ = score([[body] for body in bodies], [1], verifier)
        assert results.metrics["pass@1"].value == expected
    mixed = [[PROBLEMS[0].solution, PROBLEMS[0].faulty], [PROBLEMS[1].faulty, "    loop {}\n}\n"]]
    results, verdicts = score(mixed, [1, 2], verifier)
    assert results.per_problem == {
        "pass@1": {"Test/0": 0.5, "Test/1": 0.0},
        "pass@2": {"Test/0": 1.0, "Test/1": 0.0},
    }
    assert results.verdicts == {"valid": 1, "tests_failed": 2, "timeout": 1}
    assert [[each.status for each in problem] for problem in verdicts][1] == ["tests_failed", "timeout"]
    with pytest.raises(ValueError, match="k must be from 1 to the number of samples per problem, 2, got 3"):
        score(mixed, [3], verifier)


def test_nothing_is_scored_where_a_solution_fails(verifier):
    broken = HumanEvalProblem.of(ROWS[0] | {"canonical_solution": "    x + 1\n}\n"})
    with pytest.raises(GoldFailed, match=r"known solutions fail on this machine: Test/0 \(tests_failed\)"):
        HumanEvalRust([broken, PROBLEMS[1]]).check_gold(verifier)
    lenient = HumanEvalProblem.of(ROWS[0] | {"buggy_solution": ROWS[0]["canonical_solution"]})
    with pytest.raises(GoldFailed, match=r"known faulty solutions pass on this machine: Test/0 \(valid\)"):
        HumanEvalRust([lenient]).check_gold(verifier)


@pytest.fixture
def files(tmp_path, model, tokenizer):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def evaluate(files, out, *options, suite="humaneval-rust"):
    arguments = [
        "run",
        "--model",
        str(files / "model"),
        "--problems",
        f"humaneval-rust={files / 'rows.jsonl'}",
        "--suite",
        suite,
    ]
    sampling = [
        "--num-samples",
        "3",
        "--k",
        "1",
        "3",
        "--max-new-tokens",
        "8",
        "--batch-size",
        "4",
        "--temperature",
        "1",
    ]
    return main([*arguments, *sampling, "--output-dir", str(files / out), *options])


def test_a_run_leaves_results_samples_and_verdicts_and_a_killed_one_the_same(files, model, capsys):
    assert evaluate(files, "a") == 0
    shown = capsys.readouterr().out
    assert "pass@3" in shown and "of 6 completions" in shown
    first = Results.read(files / "a" / "humaneval_rust.json")
    assert first.num_problems == 2 and sum(first.verdicts.values()) == 6
    assert first.model["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert first.details["mean_loops"] == 3 and first.settings["seed"] == 0 and first.versions["rustc"]
    statuses = [json.loads(line)["status"] for line in (files / "a" / "humaneval_rust.verdicts.jsonl").open()]
    assert Counter(statuses) == first.verdicts

    (files / "b").mkdir()
    samples = (files / "a" / "humaneval_rust.samples.jsonl").read_text().splitlines(keepends=True)
    (files / "b" / "humaneval_rust.samples.jsonl").write_text("".join(samples[:5]) + samples[5][:9])
    assert evaluate(files, "b") == 0
    second = Results.read(files / "b" / "humaneval_rust.json")
    for name in ("metrics", "per_problem", "verdicts", "model", "settings", "versions"):
        assert getattr(second, name) == getattr(first, name), name
    for name in ("samples", "verdicts"):
        paths = [files / each / f"humaneval_rust.{name}.jsonl" for each in "ab"]
        assert paths[0].read_text() == paths[1].read_text()
    capsys.readouterr()
    assert main(["compare", *(str(files / each / "humaneval_rust.json") for each in "ab")]) == 0
    assert "+0.0000" in capsys.readouterr().out


def test_a_run_with_early_exit_tells_its_loops(files, capsys):
    assert evaluate(files, "early", "--exit-threshold", "0.5") == 0
    found = Results.read(files / "early" / "humaneval_rust.json")
    assert 1 < found.details["mean_loops"] < 3 and found.settings["exit_threshold"] == 0.5
    assert f"{found.details['mean_loops']:.3f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--k", "4"], "k must be from 1 to num_samples, 3, got 4"),
        (["SUITE perplexity"], "the perplexity needs text: give .rs files or JSON lines with --text"),
        (["SUITE perplexity", "--text", "nothing"], "text must be .rs files or JSON lines with a column code"),
        (["--limit", "0"], "limit must be at least 1, got 0"),
        (["--exit-at-loop", "9"], "exit_at_loop must be an integer from 1 to num_loops=3, got 9"),
        (["--exit-threshold", "-1"], "exit_threshold must be"),
        (
            ["--exit-threshold", "0.5", "--exit-at-loop", "2"],
            "exit_threshold below 1 and exit_at_loop exclude each other",
        ),
        (["--temperature", "-1"], "temperature must be at least 0"),
        (["--model", "./nothing"], "must be the folder of a saved model or a Hub name, got './nothing'"),
        (["--problems", "nothing.jsonl"], "humaneval-rust must be a .jsonl or .jsonl.gz file, got nothing.jsonl"),
        (["--problems", "MODEL"], "must hold rows of HumanEvalPack, one JSON object per line"),
        (["--device", "nonsense"], "device must be one that PyTorch"),
        (["--dtype", "nonsense"], "dtype must be one of"),
        (["--window", "1"], "window must be at least 2"),
        (["--num-workers", "0"], "workers must be an integer of at least 1, got 0"),
        (["--output-dir", "LATIN_1"], "output_dir must be a folder"),
        (["--problems", "LATIN_1"], "latin_1.rs must be text in UTF-8"),
        (["SUITE multipl-e-rust", "--problems", "multipl-e-rust=LATIN_1"], "latin_1.rs must be text in UTF-8"),
        (["--chat", "--chat-template", "LATIN_1"], "latin_1.rs must be text in UTF-8"),
        (["SUITE perplexity", "--text", "LATIN_1"], "latin_1.rs must be text in UTF-8"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(files, capsys, options, message):
    (files / "latin_1.rs").write_bytes("// Übung".encode("latin-1"))
    paths = {"MODEL": str(files / "model" / "config.json"), "LATIN_1": str(files / "latin_1.rs")}
    paths["multipl-e-rust=LATIN_1"] = f"multipl-e-rust={paths['LATIN_1']}"
    suites = [option.removeprefix("SUITE ") for option in options if option.startswith("SUITE ")]
    options = [paths.get(option, option) for option in options if not option.startswith("SUITE ")]
    assert evaluate(files, "out", *options, suite=(suites or ["humaneval-rust"])[0]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not (files / "out").exists()


def test_a_compiler_that_is_missing_is_said_before_the_model_is_loaded(files, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(files))
    find_toolchain.cache_clear()
    assert evaluate(files, "out", "--model", "no/model", suite="compile-rate") == 2
    find_toolchain.cache_clear()
    said = capsys.readouterr().err
    assert "rustup.rs" in said and said.count("\n") == 1 and not (files / "out").exists()


def test_all_benchmarks_skip_those_that_lack_their_input(files, capsys, monkeypatch):
    monkeypatch.delenv("NANOCHAT_DATA", raising=False)
    for library in ("huggingface_hub.constants", "datasets.config"):
        monkeypatch.setattr(f"{library}.HF_HUB_OFFLINE", True)
    settings = ["--limit", "1", "--rounds", "1", "--batch-sizes", "1", "--prompt-tokens", "4"]
    assert evaluate(files, "out", *settings, "--new-tokens", "2", "--exit-thresholds", suite="all") == 0
    shown = capsys.readouterr().out
    assert "perplexity is skipped: the perplexity needs text: give .rs files or JSON lines with --text\n" in shown
    assert "multipl-e-rust is skipped: multipl-e-rust needs its problems" in shown
    assert "--problems multipl-e-rust=FILE" in shown
    written = {path.stem for path in (files / "out").glob("*.json")}
    own = {"compilation_success_rate", "semantic_correctness", "performance_benchmarks"}
    assert written == {"humaneval_rust", "repair_humaneval_rust"} | own
    assert "rustc is skipped: prompts must leave room within the model's 256 positions" in shown


def test_the_perplexity_needs_no_consent_and_tells_every_loop(files, capsys, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    (files / "text").mkdir()
    (files / "text" / "a.rs").write_text("fn a() -> i32 { 1 }\n" * 30)
    options = ["--text", str(files / "text"), "--window", "64"]
    assert evaluate(files, "out", *options, suite="perplexity") == 0
    assert "bits_per_byte_loop_3" in capsys.readouterr().out
    results = Results.read(files / "out" / "perplexity.json")
    assert len(results.details["perplexity_by_loop"]) == 3 and results.settings["window"] == 64
    assert "decoded" not in results.details
    assert evaluate(files, "early", *options, "--exit-threshold", "0.8", suite="perplexity") == 0
    assert "loops, exit at 0.8" in capsys.readouterr().out
    early = Results.read(files / "early" / "perplexity.json")
    assert early.settings["exit_threshold"] == 0.8 and 1 < early.details["decoded"]["mean_loops"] < 3
    assert early.metrics["bits_per_byte_loop_3"] == results.metrics["bits_per_byte_loop_3"]


def test_without_consent_nothing_is_sampled(files, capsys, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    assert evaluate(files, "out") == 2
    assert "HF_ALLOW_CODE_EVAL=1" in capsys.readouterr().err and not (files / "out").exists()


def test_without_rows_it_says_where_they_come_from(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="bigcode/humanevalpack on the Hub cannot be reached. Give its file"):
        HumanEvalRust.read()


@needs_data
@pytest.mark.slow
def test_all_published_problems_run_without_crates(tmp_path, verifier):
    """With our replacements instead of those that are stored with the rows, and with the crates asked for again."""
    path = tmp_path / "rows.jsonl.gz"
    published = [row | {"declaration": CRATES + row["declaration"]} for row in rows("humaneval_rust")]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in published)
    suite = HumanEvalRust.read(path)
    assert len(suite.problems) == 164
    suite.check_gold(verifier)
