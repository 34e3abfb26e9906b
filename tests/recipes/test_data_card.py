"""The command `data card`: the data set that is published is the prepared one, and loads with its declared columns."""

import json

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from nanochat_ternary.__main__ import main
from trainers.data.preparation.card import hub_licenses
from trainers.data.preparation.columns import NEGATIVES, ROWS
from trainers.data.preparation.prepare import prepare_rows
from trainers.data.preparation.report import COMMAND, REPORT
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.preparation.shards import read_rows, write_rows
from trainers.data.sources import FolderSource
from trainers.data.sources.filters import SourceFilter

REPO = "tester/small-rust-texts"
KEPT = f"datasets/{REPO}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Four functions, of which one does not compile, and a second file of rows, of a crate."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "code").mkdir()
    for number in range(3):
        code = f"/// Returns {number} more.\npub fn add_{number}(value: u32) -> u32 {{\n    value + {number}\n}}\n"
        (folder / "code" / f"{number}.rs").write_text(code)
    (folder / "code" / "bad.rs").write_text("pub fn f() -> u8 { 1u16 }\n")
    settings = PreparationSettings(SourceFilter(licenses=None), near_duplicates=0, decontaminate=False)
    corpus = folder / "corpus"
    prepare_rows([FolderSource(folder / "code", "MIT")], settings, corpus, num_workers=1)
    (first,) = (corpus / "rows").glob("*.jsonl")
    row = next(iter(read_rows(first)))
    write_rows(
        corpus / "rows" / "01-crates-00000.jsonl", [row | {"id": "0", "source": "crates", "crate": "demo-1.0.0"}]
    )
    report = json.loads((corpus / REPORT).read_text())
    (corpus / REPORT).write_text(json.dumps(report | {"rows": 4}))
    (corpus / COMMAND).write_text("nanochat-ternary data prepare --source=crates=/home/me/crates\n")
    return folder


def card(folder, *options):
    return main(["data", "card", "--data-dir", str(folder), *map(str, options)])


def test_the_rows_are_uploaded_with_the_card_in_one_commit_and_load_with_their_columns(
    prepared, hub, tmp_path, capsys
):
    assert card(prepared, "--repo", REPO, "--push", "--private") == 0
    assert hub.private == {KEPT: True} and len(hub.commits[KEPT]) == 1
    assert sorted(hub.commits[KEPT][0])[:2] == ["README.md", "negatives/00-code-00000.jsonl"]
    stored = {name: content for name, content in hub.repositories[KEPT].items() if name != ".gitattributes"}
    corpus = prepared / "corpus"
    assert all((corpus / name).read_bytes() == stored[name] for name in stored if name != "README.md")
    assert not (corpus / "README.md").exists()
    for name, content in stored.items():
        (tmp_path / "it" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "it" / name).write_bytes(content)

    made = DatasetCard(stored["README.md"].decode())
    data = made.data.to_dict()
    assert data["language"] == ["code", "en"] and data["license"] == ["mit"]
    assert data["size_categories"] == ["n<1K"] and data["task_categories"] == ["text-generation"]
    assert f'load_dataset("{REPO}", "rows", split="train")' in made.text and "- demo-1.0.0: MIT (1 rows)" in made.text
    assert "/home/me" not in stored["README.md"].decode() and "--source=crates=crates" in made.text
    # The first file has no crate in any row, and the second one has.
    cache = str(tmp_path / "cache")
    loaded = load_dataset(str(tmp_path / "it"), split="train", cache_dir=cache)
    assert loaded.column_names == list(ROWS) and loaded["crate"] == [None, None, None, "demo-1.0.0"]
    assert loaded[0]["verdict"]["outcome"] == "verified"
    rejected = load_dataset(str(tmp_path / "it"), "negatives", split="train", cache_dir=cache)
    assert rejected.column_names == list(NEGATIVES) and rejected[0]["diagnostics"][0]["code"] == "E0308"

    # Again, with a file of an earlier version and one of somebody else.
    hub.repositories[KEPT] |= {"rows/07-old-00000.jsonl": b"old", "notes.txt": b"mine"}
    capsys.readouterr()
    assert card(prepared, "--repo", REPO, "--push") == 0
    assert "notes.txt" in hub.repositories[KEPT] and "rows/07-old-00000.jsonl" not in hub.repositories[KEPT]
    assert "Files of an earlier version, removed: rows/07-old-00000.jsonl" in capsys.readouterr().out


def test_without_push_nothing_is_sent_and_the_card_is_a_file_that_is_not_replaced(prepared, hub, tmp_path, capsys):
    output = tmp_path / "card.md"
    assert card(prepared, "--output", output, "--name", "Four functions") == 0
    text = output.read_text()
    assert "# Four functions" in text and "| code | 4 | 3 | 0 | 1 | 0 | 0 | 75.0% | types 1 |" in text
    assert card(prepared, "--output", output) != 0 and output.read_text() == text
    assert hub.requests == []
    # The former way to name the folder.
    assert main(["data", "card", str(prepared), "--output", str(output), "--overwrite"]) == 0
    assert "is now given as --data-dir" in capsys.readouterr().err


def test_a_changed_count_of_the_report_changes_the_card(prepared, tmp_path):
    report = prepared / "corpus" / REPORT
    before, output = report.read_text(), tmp_path / "card.md"
    values = json.loads(before)
    values["verification"]["code"]["compiled"] = 31337
    report.write_text(json.dumps(values))
    assert card(prepared, "--output", output) == 0
    report.write_text(before)
    assert "31,337" in output.read_text()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--push"], "--push needs the name of a data set on the Hub: --repo user/name"),
        (["--private", "--repo", REPO], "--private is about an upload: give it with --push"),
        (["--push", "--repo", "rows"], "repo must be user/name, got 'rows'"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_done(prepared, hub, capsys, options, said):
    assert card(prepared, *options) == 2
    assert said in capsys.readouterr().err and hub.requests == []
    assert not (prepared / "corpus" / "README.md").exists()


def test_of_licenses_to_choose_from_those_that_the_hub_knows_are_named():
    assert hub_licenses("MIT OR Apache-2.0") == ["mit", "apache-2.0"]
    assert hub_licenses("Apache-2.0 WITH LLVM-exception OR MIT") == ["mit"]
    assert hub_licenses("(MIT OR Apache-2.0) AND Unicode-DFS-2016") == ["other"]
