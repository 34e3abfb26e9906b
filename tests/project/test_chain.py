"""The report about a run: a column for each model, numbers from files, steps that are not repeated."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest
from chain import run_step, steps_of
from chain_report import Chain, Step, train_command, write_page

from evaluation.results import Results, share_interval
from recipes.debug import debug
from recipes.pipeline.folder import as_kept

PAIR = [{"value": 0.25, "low": 0.125, "high": 0.5}, {"value": 0.5, "low": 0.25, "high": 0.75}]
PAIR_SHOWN = "| maxrl: solved, pass@1 | 4 x 8 | 25.0% (12.5% to 50.0%) | 50.0% (25.0% to 75.0%) |"
COUNTS = {"pretrain": 0, "tasks": 1, "maxrl": 3}
"""Solved tasks of four after each stage."""


def logs(name):
    if name == "maxrl":
        return [{"step": step, "loss": 0.1, "success_rate": 0.2, "success_means": "passes"} for step in (1, 2)]
    values = {"loop_1_loss": 2.0, "loop_2_loss": 1.5, "exit_1": 0.4, "exit_2": 0.6, "tokens_per_second": 900.0}
    return [{"step": step, "loss": 1.5} | values for step in (1, 2)]


def write_results(folder, solved):
    shares = {f"task {index}": float(index < solved) for index in range(4)}
    by_metric = {"pass@1": shares, "pass@1, tier 0": dict(list(shares.items())[:2])}
    metrics = {name: share_interval(list(each.values())) for name, each in by_metric.items()}
    Results("tasks", {"path": "model", "parameters": 7}, metrics, by_metric, {"valid": solved}).write(folder)
    samples, verdicts = [], []
    for index, name in enumerate(shares):
        sample = {"prompt": name, "index": 0, "completion": f" {index} }}", "finished": True, "tokens": 3}
        samples.append(sample | {"mean_loops": None})
        status = "valid" if index < solved else "tests_failed"
        verdicts.append({"prompt": name, "index": 0, "status": status, "program": f"fn f() {{ {index} }}"})
    for kind, rows in (("samples", samples), ("verdicts", verdicts)):
        (folder / f"tasks.{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def chain(tmp_path):
    run = tmp_path / "debug"
    kept = as_kept(debug().changed(maxrl={"learning_rate": 2e-5}))
    for name in COUNTS:
        (run / name / "model").mkdir(parents=True)
        (run / name / "model" / "config.json").write_text("{}")
        (run / name / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in logs(name)))
        (run / name / "training_time.json").write_text(json.dumps([{"step": 2, "seconds": 90.0}]))
    # It has the text of the stage before, and nothing of its own to evaluate.
    shutil.copytree(run / "tasks", run / "gate")
    (run / "recipe.json").write_text(json.dumps(kept))
    (run / "tasks.jsonl").write_text("")
    report = {
        "recipe": "debug",
        "description": "a small model",
        "file_sizes": {"model.safetensors": 9_000_000},
        "parameters": 7,
        "held_out_loss": {"pretrain": [2.0, 1.25]},
        "export": {"file_sizes": {"x.gguf": 1_500_000}},
        "reinforced": {
            "maxrl": {"tasks": 4, "samples": 8} | dict.fromkeys(("solved", "solved_at_all", "compiles"), PAIR)
        },
    }
    (run / "report.json").write_text(json.dumps(report))
    found = Chain.of(run, tmp_path / "results")
    assert [stage.is_evaluated for stage in found.stages] == [True, True, True, False]
    for stage, solved in zip(found.stages[:3], COUNTS.values(), strict=True):
        write_results(found.folder / stage.folder, solved)
    return found


def test_every_model_of_the_run_is_a_column_in_the_order_of_the_stages(chain):
    table = chain.overview()
    assert table.titles == ("Suite", "Metric", "Problems", "pretrain", "tasks", "maxrl")
    for row, metric, count, shown in zip(
        table.rows,
        ("pass@1", "pass@1, tier 0"),
        ("4", "2"),
        (["0.0%", "25.0%", "75.0%"], ["0.0%", "50.0%", "100.0%"]),
        strict=True,
    ):
        assert row[:3] == ["tasks", metric, count]
        assert [value.split(" ")[0] for value in row[3:]] == shown


def test_tasks_that_were_decoded_greedily_have_rows_of_their_own(chain):
    sampled = chain.overview().rows
    last = chain.stages[2]
    write_results(chain.folder / last.folder / "greedy", 4)
    rows = chain.overview().rows
    assert rows[: len(sampled)] == sampled
    greedy = [(row[0], row[1], row[3:5], row[5].split(" ")[0]) for row in rows[len(sampled) :]]
    assert greedy == [("tasks, greedy", metric, ["", ""], "100.0%") for metric in ("pass@1", "pass@1, tier 0")]


def test_the_page_has_the_settings_that_are_not_the_recipes_and_what_the_files_say(chain, tmp_path):
    assert train_command(chain) == "nanochat-ternary train debug --set maxrl.learning_rate=2e-05"
    path = tmp_path / "page" / "debug.md"
    write_page(chain, [Step("suites", None, ["eval", "/somewhere/else/file"])], path, "COMMAND", "a machine")
    page = path.read_text()
    for shown in (
        "1.2500",
        "| maxrl | 2 | 1.5 |",
        "| x.gguf | 1.50 |",
        PAIR_SHOWN,
        "tests_failed:",
        "fn f() { 3 }",
        "COMMAND",
    ):
        assert shown in page
    assert page.count("valid:") == 3 and page.count("tests_failed:") == 1
    assert "/somewhere" not in page and path.with_suffix(".png").exists()


def test_every_model_is_asked_the_same_with_the_runs_loops(chain):
    options = Namespace(suites=["compile-rate", "semantic"], limit=3, text=None, samples=8, tasks=5, repo="a/b")
    steps = steps_of(options, chain)
    by_stage = [[step for step in steps if step.stage is stage] for stage in chain.stages[:3]]
    assert not any(step.stage is chain.stages[3] for step in steps)
    assert [[step.name for step in each] for each in by_stage] == [
        ["compile_rate", "suites", "tasks", "tasks_greedy"]
    ] * 3
    for first, other in zip(by_stage[0], by_stage[2], strict=True):
        pairs = [pair for pair in zip(first.command, other.command, strict=True) if pair[0] != pair[1]]
        folders = ["greedy", "greedy"] if first.name == "tasks_greedy" else ["0-pretrain", "2-maxrl"]
        assert [Path(word).name for pair in pairs for word in pair] == ["model", "model", *folders]
    assert all("--num-loops 4" in " ".join(each.command) for each in by_stage[0])
    assert len({step.file_name for step in steps}) == len(steps)


def test_the_publication_has_the_results_of_the_last_model_if_there_are_some(chain):
    options = Namespace(suites=["semantic"], limit=3, text=None, samples=8, tasks=5, repo="a/b")
    for folders in ((), ("--results", str(chain.last_results))):
        checklist, publication = steps_of(options, chain)[-2:]
        assert [word for word in checklist.command if "results" in word] == list(folders)
        assert [word for word in publication.command if "results" in word] == list(folders)
        chain.last_results.mkdir(parents=True, exist_ok=True)


def test_a_step_that_finished_is_not_repeated_and_one_that_failed_is(tmp_path):
    count = tmp_path / "count"
    step = Step(
        "count",
        None,
        ["python", "-c", f"open({str(count)!r}, 'a').write('x'); exit(len(open({str(count)!r}).read()) < 2)"],
    )
    with pytest.raises(SystemExit, match="ended with status 1"):
        run_step(step, tmp_path)
    run_step(step, tmp_path), run_step(step, tmp_path)
    assert count.read_text() == "xx"
