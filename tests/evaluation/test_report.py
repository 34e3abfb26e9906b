"""A report is made of results only, for one model or many, and what a model wrote stays text."""

import json
import re

import pytest

from evaluation.pages.samples import LISTED_WITHOUT_SCRIPT
from evaluation.report.depths import depth_curves
from evaluation.report.overview import Overview
from evaluation.report.runs import read_runs
from evaluation.report.write import report_results
from evaluation.results import Interval, Results
from evaluation.tables import plain_console
from tests.helpers.html_reader import ATTACK, Reader
from tests.helpers.results_folders import MODEL, write_results


def report(folder):
    """The page of a folder's results."""
    console = plain_console()
    console.quiet = True
    report_results(folder, console)
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results of one model, with their report; tests only read it."""
    folder = write_results(tmp_path_factory.mktemp("report") / "results")
    report(folder)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def test_one_folder_of_results_is_a_report_of_one_model(page):
    assert "tiny" in page.text and "33.3%" in page.text and "6 problems" in page.text
    assert [each["problem"] for each in page.samples] == [f"problem_{index}" for index in range(6)]


def test_folders_of_several_models_stand_in_one_table(tmp_path):
    write_results(tmp_path / "small", loops=4)
    write_results(tmp_path / "large" / "at_night", problems=9, model=MODEL | {"path": "models/large"})
    overview = Overview.of(read_runs(tmp_path))
    assert overview.columns == (("compilation_success_rate", "compiles@1"),)
    assert [(name, cell.value, cell.count) for name, (cell,) in overview.rows if cell is not None] == [
        ("large/at_night", "33.3%", 9),
        ("small", "33.3%", 6),
    ]
    page = report(tmp_path)
    assert {each["run"] for each in page.samples} == {"small", "large/at_night"}


@pytest.mark.parametrize("path, name", [("models/tiny", "tiny"), ("openai:http://127.0.0.1:80/v1",) * 2])
def test_the_results_of_a_single_folder_have_the_name_of_the_model(tmp_path, path, name):
    write_results(tmp_path, model=MODEL | {"path": path})
    assert [run.name for run in read_runs(tmp_path)] == [name]


def test_a_model_without_loops_is_reported_without_a_depth(tmp_path):
    write_results(tmp_path, model={"path": "model.gguf", "model_type": "llama", "parameters": 10})
    assert "seed 0, edition 2021" in report(tmp_path).text


def test_a_metric_that_a_model_was_not_measured_on_is_an_empty_cell(tmp_path):
    write_results(tmp_path / "a")
    Results("perplexity", MODEL, {"bits_per_byte": Interval(0.5, 0.4, 0.6)}, {"bits_per_byte": {"x": 0.5}}).write(
        tmp_path / "b"
    )
    rows = Overview.of(read_runs(tmp_path)).rows
    assert [[cell and cell.value for cell in cells] for _, cells in rows] == [["33.3%", None], [None, "0.5"]]


def test_every_number_in_markdown_has_its_interval_and_its_command(folder):
    text = (folder / "report.md").read_text()
    assert re.search(r"33\.3% \(9\.7% to 70\.0%, 6 problems\)", text)
    assert "```bash\nnanochat-ternary eval run --model models/tiny --output-dir results\n```" in text
    for path in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert (folder / path).read_bytes().startswith(b"\x89PNG")
    assert "overview.png" in text and "exit_loops.png" in text


def test_samples_have_their_program_its_errors_and_the_loops_of_their_tokens(page):
    sample = page.samples[1]
    assert (sample["status"], sample["kind"], sample["errors"]) == ("semantic_error", "failure", ["E0382"])
    assert sample["prompt"] + sample["code"] == "fn answer(text: String) -> String {\n    drop(text);\n    text\n}"
    assert (sample["diagnostics"][0]["line"], sample["diagnostics"][0]["column"]) == (3, 5)
    assert sample["token_loops"][0] == [2, 4] and sum(length for length, _ in sample["token_loops"]) <= len(
        sample["code"]
    )


def rewrite(path, **values):
    """Set fields of all lines but those that lack them."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changed = [line | {name: value for name, value in values.items() if name in line} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in changed))


def test_what_follows_a_completion_in_its_program_belongs_to_the_code(tmp_path):
    folder = write_results(tmp_path / "results")
    rewrite(folder / "compilation_success_rate.samples.jsonl", completion="    text\n}")
    rewrite(folder / "compilation_success_rate.verdicts.jsonl", program="fn answer() {\n    text\n}\n")
    sample = report(folder).samples[0]
    assert (sample["prompt"], sample["code"]) == ("fn answer() {\n", "    text\n}\n") and "token_loops" in sample


def test_an_answer_is_shown_beside_the_program_that_was_made_of_it(tmp_path):
    folder = write_results(tmp_path / "results")
    rewrite(folder / "compilation_success_rate.samples.jsonl", completion="Here it is: `fn f() {}`")
    sample = report(folder).samples[0]
    assert sample["answer"] == "Here it is: `fn f() {}`" and sample["code"].startswith("fn answer(")
    assert "token_loops" not in sample


def test_files_of_earlier_versions_are_shown_as_far_as_they_go(tmp_path):
    folder = write_results(tmp_path / "results")
    for kind, names in (("samples", {"token_loops"}), ("verdicts", {"program", "diagnostics"})):
        path = folder / f"compilation_success_rate.{kind}.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        older = [{name: value for name, value in line.items() if name not in names} for line in lines]
        path.write_text("".join(json.dumps(line) + "\n" for line in older))
    sample = report(folder).samples[1]
    assert (sample["status"], sample["errors"], sample["prompt"]) == ("semantic_error", ["E0382"], "")
    assert "diagnostics" not in sample and "token_loops" not in sample


def test_samples_of_a_run_that_was_killed_are_shown_without_a_verdict(tmp_path):
    folder = write_results(tmp_path / "results")
    (folder / "compilation_success_rate.verdicts.jsonl").unlink()
    path = folder / "compilation_success_rate.samples.jsonl"
    path.write_text(path.read_text()[:-20])
    samples = report(folder).samples
    assert len(samples) == 5 and {(each["status"], each["kind"]) for each in samples} == {("", "unscorable")}


def test_what_a_model_writes_stays_text(tmp_path):
    hostile = ATTACK + "<!-- </noscript></textarea>"
    page = report(write_results(tmp_path / "results", text=hostile, model=MODEL | {"path": ATTACK.replace("/", "")}))
    page.assert_inert()
    assert all(each["code"] == hostile for each in page.samples)
    assert "</script>" in page.text and "{{ 7 * 7 }}" in page.text


def test_the_same_results_give_the_same_bytes(folder):
    first = [(folder / name).read_bytes() for name in ("report.html", "report.md")]
    report(folder)
    assert [(folder / name).read_bytes() for name in ("report.html", "report.md")] == first


def test_without_javascript_the_first_samples_are_plain_text(tmp_path):
    page = report(write_results(tmp_path / "results", problems=LISTED_WITHOUT_SCRIPT + 20))
    assert len(page.attribute("article", "class")) == LISTED_WITHOUT_SCRIPT
    assert len(page.samples) == LISTED_WITHOUT_SCRIPT + 20


def test_runs_that_differ_in_their_depth_only_are_a_curve(tmp_path):
    for loops in (1, 2, 4):
        write_results(tmp_path / f"loops_{loops}", loops=loops)
    write_results(tmp_path / "other", loops=3, model=MODEL | {"path": "models/other"})
    (curve,) = depth_curves(read_runs(tmp_path))
    assert [loops for loops, _ in curve.points] == [1, 2, 4] and curve.share
    assert curve.source == "loops_1, loops_2, loops_4"


def test_a_suite_may_hold_its_own_curve_by_loop(tmp_path):
    points = [{"value": loop / 8, "low": 0.0, "high": 1.0} for loop in (1, 2)]
    by_loop = {"": points, "of_a_category": points}
    rates = {"accuracy": {"a": 0.0, "b": 1.0}}
    metrics = {"accuracy": Interval(0.5, 0.0, 1.0)}
    Results("some_suite", MODEL, metrics, rates, details={"by_loop": by_loop}).write(tmp_path)
    (curve,) = depth_curves(read_runs(tmp_path))
    assert curve.points == ((1.0, Interval(0.125, 0.0, 1.0)), (2.0, Interval(0.25, 0.0, 1.0)))


def test_a_curve_by_loop_is_not_repeated_for_each_depth(tmp_path):
    points = [{"value": loop / 8, "low": 0.0, "high": 1.0} for loop in (1, 2)]
    for loops in (1, 2):
        metrics, details = {"accuracy": Interval(loops / 8, 0.0, 1.0)}, {"by_loop": {"": points[:loops]}}
        Results(
            "some_suite", MODEL, metrics, {"accuracy": {"a": 0.0}}, details=details, settings={"num_loops": loops}
        ).write(tmp_path / f"loops_{loops}")
    (curve,) = depth_curves(read_runs(tmp_path))
    assert curve.points == ((1, Interval(0.125, 0.0, 1.0)), (2, Interval(0.25, 0.0, 1.0)))


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(ValueError, match="RESULTS_DIR must be a folder of results files"):
        read_runs(tmp_path)
    with pytest.raises(ValueError, match="RESULTS_DIR must be a folder of results files"):
        read_runs(tmp_path / "missing")


def test_a_damaged_line_is_named(tmp_path):
    folder = write_results(tmp_path / "results")
    path = folder / "compilation_success_rate.samples.jsonl"
    path.write_text(path.read_text().replace("{", "[", 2))
    with pytest.raises(ValueError, match=r"samples.jsonl must hold a JSON object in each line, got line 1"):
        report(folder)
