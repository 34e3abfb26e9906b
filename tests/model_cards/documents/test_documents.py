"""The documents of a model: every number is in a file, and a changed file changes them."""

import json
import re
import statistics
from pathlib import Path

import pytest

from evaluation.public_paths import public_command, without_folders
from model_cards.card import render
from model_cards.card.metadata import Publication
from model_cards.card.render import CardContents, render_model_card
from model_cards.card.results import read_results
from model_cards.card.run_record import RunRecord
from model_cards.card.rust_usage import oldest_rust
from model_cards.card.training_record import TrainingRecord
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.documents.training_report import training_report
from model_cards.documents.write import write_documents
from model_cards.model_statistics import ModelStatistics
from tests.helpers.published_run import OWN_FOLDER, write_results, write_run
from tests.helpers.tiny import tiny_model

DOCUMENTS = ["MODEL_CARD.md", "TRAINING_REPORT.md", "BENCHMARK_RESULTS.md"]
IMAGES = ["depth_quality", "maxrl_rewards", "pretrain_exit_depth", "pretrain_loss"]
# Numbers of the texts themselves: the level of intervals, powers and versions in names, ordinals of bits.
OWN_NUMBERS = {"95", "128", "256", "1"}
# Sizes of the units in which values are shown, with the digits behind the point.
UNITS = {1: range(5), 0.01: (1, 2), 1e3: (1,), 1e6: (0, 2), 1e9: (1, 2), 2**20: (0,), 3600: (1,), 86400: (1,)}
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of a run and of results, and the documents written from them."""
    folder = tmp_path_factory.mktemp("published")
    model = write_run(folder / "run")
    found = ModelStatistics.from_checkpoint(LoopLMCheckpoint.from_folder(model))
    config = found.config
    own = {"model_type": config.model_type, "parameters": found.parameters, "num_loops": config.num_loops}
    write_results(folder / "results", own | {"num_shared_layers": config.num_shared_layers})
    assert write(folder, folder / "target") == [*DOCUMENTS, *(f"images/{name}.png" for name in IMAGES)]
    return folder


def contents_of(folder):
    model = folder / "run" / "maxrl" / "model"
    found = ModelStatistics.from_checkpoint(LoopLMCheckpoint.from_folder(model))
    results = read_results([folder / "results"], found, model)
    return CardContents(Publication("me/small-rust"), found, results, TrainingRecord.from_model_folder(model))


def write(folder, target):
    target.mkdir()
    contents = contents_of(folder)
    return write_documents(target, contents, folder / "run" / "maxrl" / "model", contents.results)


def text_of(folder, name):
    return (folder / "target" / name).read_text()


def leaves(value):
    """All numbers in JSON values, those in texts and names included, and of lists their medians, sums and lengths."""
    if isinstance(value, dict):
        numbers = [each for each in value.values() if isinstance(each, int | float) and not isinstance(each, bool)]
        yield len(value)
        if numbers and all(isinstance(each, int) for each in numbers):
            # Counts: their sum, and each share of it.
            total = sum(numbers)
            yield total
            yield from (each / total for each in numbers if total)
        for name, each in value.items():
            yield from leaves(name)
            yield from leaves(each)
    elif isinstance(value, list):
        yield len(value)
        if value and all(isinstance(each, float) for each in value):
            yield statistics.median(value)
        for each in value:
            yield from leaves(each)
    elif isinstance(value, str):
        yield from (float(number.replace(",", "")) for number in re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def forms(number):
    """The ways in which the documents write a number: as it is, rounded, in percent, and in larger units."""
    number = abs(number)
    yield from (str(number), f"{number:g}", f"{number:,}", repr(number))
    for unit, digits in UNITS.items():
        yield from (f"{number / unit:,.{count}f}" for count in digits)


def allowed_numbers(folder):
    values = []
    for path in sorted(folder.glob("results/*.json")) + sorted(folder.glob("run/**/*.json")):
        values += leaves(json.loads(path.read_text()))
    for path in folder.glob("run/**/*.jsonl"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        values += [number for line in lines for number in leaves(line)] + [len(lines)]
    model = contents_of(folder).statistics
    counted = (model.parameters, model.ternary_parameters, model.ternary_share, model.bits_per_ternary_weight)
    values += [*counted, model.weight_bytes, model.cache_bytes_per_token, 8 * model.weight_bytes / model.parameters]
    finished = json.loads((folder / "results" / "humaneval_rust.json").read_text())
    details = finished["details"]
    values.append(details["repeating_completions"] / details["completions"])
    stages = json.loads((folder / "run" / "recipe.json").read_text())
    # The rejected texts, and the layers that are applied.
    values += [model.config.num_hidden_layers, stages["pretrain"]["total_steps"]]
    values += [*leaves(render.tested_transformers()), *leaves(oldest_rust())]
    return OWN_NUMBERS | {form for value in values for form in forms(value)}


def shown_numbers(text):
    """Numbers of a document, without its example programs and the addresses of its links."""
    text = re.sub(r"```(?:python|rust)\n.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"\]\(http[^)]*\)", "]", text)
    return NUMBER.findall(text)


def test_no_number_in_the_documents_lacks_a_file(made):
    allowed = allowed_numbers(made)
    shown = {name: shown_numbers(text_of(made, name)) for name in DOCUMENTS}
    assert {name: [each for each in found if each.rstrip(",") not in allowed] for name, found in shown.items()} == {
        name: [] for name in DOCUMENTS
    }
    assert all(len(found) > 40 for found in shown.values())
    # An arbitrary number is rarely among those of the files.
    assert sum(f"{number / 10_000:.4f}" in allowed for number in range(10_000)) < 500
    assert sum(f"{number:,}" in allowed for number in range(1_000, 11_000)) < 500


def change(path, *places, value):
    """Change a number in a JSON file, or in the last line of a file of JSON lines; return its former content."""
    before = path.read_text()
    lines = before.splitlines() if path.suffix == ".jsonl" else [before]
    content = json.loads(lines[-1])
    inner = content
    for place in places[:-1]:
        inner = inner[place]
    inner[places[-1]] = value
    path.write_text("\n".join([*lines[:-1], json.dumps(content)]) + "\n")
    return before


CHANGES = {
    "results/humaneval_rust.json": [(("verdicts", "valid"), 31337, "31,337"), (("seconds",), 4711.2, "4,711 seconds")],
    "results/perplexity.json": [(("metrics", "bits_per_byte", "value"), 0.31337, "0.3134")],
    "results/performance_benchmarks.json": [(("details", "threads"), 777, "777 threads")],
    "run/pretrain/finished.json": [
        (("seconds",), 31337 * 60.0, "21.8 days"),
        (("held_out_loss", 1), 3.1337, "3.1337"),
    ],
    "run/pretrain/metrics.jsonl": [(("eval_loss",), 0.31337, "0.3134")],
    "run/maxrl/finished.json": [(("tasks",), 31337, "31,337")],
    "run/maxrl/metrics.jsonl": [(("reward",), 0.4711, "0.4711")],
    "run/prepare/verification.json": [(("counts", "valid"), 31337, "31,337 valid")],
    "run/prepare/corpus/report.json": [(("verification", "crates", "not_judged"), 31337, "31,337")],
}


def test_a_number_changed_in_any_file_changes_the_documents(made, tmp_path):
    before = {path: (made / path).read_text() for path in CHANGES}
    try:
        for path, changes in CHANGES.items():
            for places, value, _ in changes:
                change(made / path, *places, value=value)
        write(made, tmp_path / "changed")
    finally:
        for path, content in before.items():
            (made / path).write_text(content)
    texts = "".join((tmp_path / "changed" / name).read_text() for name in DOCUMENTS)
    old = "".join(text_of(made, name) for name in DOCUMENTS)
    for path, changes in CHANGES.items():
        for _, _, shown in changes:
            assert shown in texts and shown not in old, (path, shown)
    assert (tmp_path / "changed/images/maxrl_rewards.png").read_bytes() != image(made, "maxrl_rewards")
    assert (tmp_path / "changed/images/pretrain_exit_depth.png").read_bytes() == image(made, "pretrain_exit_depth")


def image(folder, name):
    return (folder / "target" / "images" / f"{name}.png").read_bytes()


def test_equal_files_give_equal_bytes(made, tmp_path):
    names = write(made, tmp_path / "again")
    assert all((tmp_path / "again" / name).read_bytes() == (made / "target" / name).read_bytes() for name in names)


def test_the_model_card_is_the_readme_without_its_header(made):
    readme = str(render_model_card(contents_of(made)))
    assert readme.startswith("---\n") and readme.split("---\n", 2)[2].strip() == text_of(made, "MODEL_CARD.md").strip()
    linked = re.findall(r"\]\(((?:images/)?[\w.]+)\)", "".join(text_of(made, name) for name in DOCUMENTS))
    # Publishing adds the crate.
    there = {
        "README.md",
        "runtime",
        *DOCUMENTS,
        "humaneval_rust_results.json",
        "perplexity.json",
        "performance_benchmarks.json",
    }
    assert {each for each in linked if not (made / "target" / each).exists()} <= there
    assert {f"images/{name}.png" for name in IMAGES} <= set(linked)


def test_folders_of_the_machine_and_parts_of_the_own_folder_are_not_named(made):
    for name in DOCUMENTS:
        assert "/home/me" not in text_of(made, name) and "secret" not in text_of(made, name)
    report = text_of(made, "TRAINING_REPORT.md")
    assert "| own folder (not published) | 3 | 1.11 | 0 | 0 | 0 |" in report
    assert (
        "- own folder (not published): MIT (3 texts)\n" in report and "- demo-1.0.0: Apache-2.0 (19 texts)" in report
    )
    assert '"crates=vendored"' in report and Path(OWN_FOLDER).name not in report
    assert public_command("eval --a=/b/c x=/d/e /f http://g/h") == "eval --a=c x=e f http://g/h"
    assert without_folders({"a": ["/b/c", 1, None, "d/e"]}) == {"a": ["c", 1, None, "d/e"]}


def test_hardware_and_duration_are_those_of_the_stages_and_missing_ones_are_named(made):
    report, card = text_of(made, "TRAINING_REPORT.md"), text_of(made, "MODEL_CARD.md")
    machine = "2 x a GPU with 23.9 GB; CPU: a processor, 3 threads, 2 processes, 17.0 GB of memory"
    assert f"| pretrain | text | 40 | 40,961 | 2.1 hours | 1,873 | {machine} |" in report
    assert "| maxrl | reinforcement learning | 3 | none | not recorded | not recorded | not recorded |" in report
    assert f"| Hardware | {machine}; of maxrl not recorded |" in card
    assert "| Duration | 2.1 hours, without maxrl, where it was not recorded |" in card


def test_a_model_without_a_run_has_a_report_that_says_so(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    assert RunRecord.of_model(tmp_path / "model") is None
    report = training_report("it", None, tmp_path)
    assert report.count("not recorded") == 4 and "## Stages" not in report
    # A recipe of another model beside the weights is not its recipe.
    other = {"model": {"vocab_size": 7}, "data": {"seq_len": 8}, "training": {"total_steps": 5}}
    (tmp_path / "model" / "recipe.json").write_text(json.dumps(other))
    assert RunRecord.of_model(tmp_path / "model") is None


def test_a_recipe_and_metrics_beside_the_weights_are_shown(tmp_path, made):
    folder = tmp_path / "model"
    config = tiny_model().config
    tiny_model().save_pretrained(folder)
    (folder / "metrics.jsonl").write_bytes((made / "run/pretrain/metrics.jsonl").read_bytes())
    sizes = {name: getattr(config, name) for name in ("vocab_size", "hidden_size", "intermediate_size")}
    training = {"optimizer": "adamw", "total_steps": 40, "peak_lr": 0.001, "batch_size": 2, "gate_steps": 0}
    recipe = {"model": sizes | {"num_shared_layers": config.num_shared_layers}, "data": {"seq_len": 8}}
    (folder / "recipe.json").write_text(json.dumps(recipe | {"training": training}))
    (tmp_path / "images").mkdir()
    report = training_report("it", RunRecord.of_model(folder), tmp_path)
    assert "| pretrain | text | 40 | 40,000 | not recorded | 900 (median of the logs) | not recorded |" in report
    assert (tmp_path / "images" / "pretrain_loss.png").exists()
