"""The preparation of a recipe's data: what it refuses, what it notices, and the parts of a mix."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from evaluation.rust import CodeExecutionNotAllowed
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.file_names import COMPILE_FUNCTIONS_FILE, COMPILE_TASKS_FILE, TASKS_FILE
from recipes.pipeline.folder import next_folder
from recipes.pipeline.prepare import MADE_FILE, _groups, read_prepared
from recipes.pipeline.start import prepare_folder, prepare_only
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny_recipe import tiny_recipe
from trainers.data.blocks import TokenBlocks
from trainers.data.row_index import RowIndex
from trainers.data.sources import Document
from trainers.data.tasks.task import read_tasks


def rows_below(folder):
    return "".join(path.read_text() for path in sorted((folder / "prepare" / "corpus" / "rows").glob("*.jsonl")))


@pytest.fixture
def recipe(tmp_path):
    """A recipe that reads a copy of some files, and verifies nothing."""
    (tmp_path / "code").mkdir()
    for path in BUILTIN.glob("*.rs"):
        (tmp_path / "code" / path.name).write_bytes(path.read_bytes())
    recipe = tiny_recipe(tmp_path)
    return recipe.changed(data={"data_dir": tmp_path / "code", "verified_sample": 0})


@pytest.mark.parametrize("kind", ["documentation", "crate-examples", "rust-by-example", "crates"])
def test_a_row_is_in_each_part_of_a_mix_once(tmp_path, kind):
    documents = [Document.of("book", f"{n}.rs", "example", "MIT", f"fn f_{n}() {{}}") for n in range(5)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(asdict(each) | {"mix": "documentation"}) + "\n" for each in documents))
    groups = _groups(RowIndex.of([path]), np.arange(5), [kind])
    assert all(sorted(rows.tolist()) == list(range(5)) for rows in groups.values())


def test_changed_files_are_prepared_again_but_a_run_that_is_continued_keeps_its_data(recipe, tmp_path, capsys):
    prepare_only(recipe, num_workers=1)
    before = rows_below(recipe.run_dir)
    (tmp_path / "code" / "new.rs").write_text("pub fn new_today() -> u8 { 1 }\n")
    prepare_only(recipe, resume=True, num_workers=1)
    assert rows_below(recipe.run_dir) == before
    capsys.readouterr()
    prepare_only(recipe, num_workers=1)
    assert "new_today" in rows_below(recipe.run_dir)
    assert "The inputs have changed" in capsys.readouterr().out


def test_only_repeated_programs_of_a_mix_are_renamed(recipe):
    def packed(rename):
        named = recipe.changed(
            name=f"renamed_{rename}",
            data={"tasks": 8, "max_task_tier": 0, "mix": {"tasks": 1, "text": 1}, "rename_repetitions": rename},
        )
        prepare_only(named, num_workers=1)
        blocks = read_prepared(named, named.run_dir / "prepare")
        (tokens,) = blocks.training.values()
        assert isinstance(tokens, TokenBlocks)
        ids = tokens.regroup(tokens.num_tokens)[0]["input_ids"]
        return str(blocks.tokenizer.decode(ids)).split(blocks.tokenizer.eos_token)

    plain, renamed = packed(False), packed(True)
    changed = [(old, new) for old, new in zip(plain, renamed, strict=True) if old != new]
    assert changed and len(changed) < len(plain)
    assert {old for old, _ in changed} <= set(renamed), "a program is read as it is at least once"


def test_tasks_to_compile_are_harder_than_the_others_and_not_read(recipe):
    named = recipe.changed(data={"tasks": 8, "max_task_tier": 0, "compile_tasks": 4, "mix": {"tasks": 1, "text": 1}})
    prepare_only(named, num_workers=1)
    tasks, compiled = (read_tasks(named.run_dir / name) for name in (TASKS_FILE, COMPILE_TASKS_FILE))
    assert {task.tier for task in tasks} == {0} and {task.tier for task in compiled} <= {1, 2, 3, 4}
    made = (named.run_dir / "prepare" / "corpus" / MADE_FILE).read_text()
    assert len(compiled) == 4 and made and not any(json.dumps(task.code)[1:-1] in made for task in compiled)


def test_functions_of_the_text_are_taken_to_be_compiled(recipe):
    named = recipe.changed(data={"compile_functions": 2})
    prepare_only(named, num_workers=1)
    found = read_tasks(named.run_dir / COMPILE_FUNCTIONS_FILE)
    assert len(found) == 2 and all(task.tests.blank and task.prompt.startswith(("///", "use std")) for task in found)


def test_functions_that_compile_alone_are_a_source_of_the_mix_without_those_that_are_asked_for(recipe):
    data = {"functions": 50, "compile_functions": 2, "mix": {"functions": 1, "text": 1}}
    named = recipe.changed(data=data)
    prepare_only(named, num_workers=1)
    rows = (named.run_dir / "prepare" / "corpus" / MADE_FILE).read_text().splitlines()
    functions = [json.loads(row) for row in rows]
    assert len(functions) > 2 and {row["source"] for row in functions} == {"functions"}
    heads = [task.prompt.rstrip().splitlines()[-1] for task in read_tasks(named.run_dir / COMPILE_FUNCTIONS_FILE)]
    assert not any(head in row["code"] for head in heads for row in functions)
    (parts,) = read_prepared(named, named.run_dir / "prepare").epochs.values()
    assert parts.keys() == {"functions", "text"}


@pytest.mark.parametrize("setting", ["compile_functions", "functions"])
def test_a_text_without_functions_is_an_error_before_programs_are_made(recipe, tmp_path, setting):
    (tmp_path / "text").mkdir()
    for number in range(40):
        (tmp_path / "text" / f"{number}.rs").write_text(f'fn main() {{\n    println!("number {number}");\n}}\n')
    named = recipe.changed(data={setting: 2, "tasks": 2, "data_dir": tmp_path / "text", "sources": ()})
    with pytest.raises(ValueError, match=f"data.{setting} must be 0 for this text"):
        prepare_only(named, num_workers=1)
    assert not list(tmp_path.rglob("*tasks.jsonl*"))


def test_bad_input_does_not_cost_an_interrupted_preparation(recipe, tmp_path):
    shard = next_folder(recipe) / "prepare" / "corpus" / "rows" / "00000.jsonl"
    shard.parent.mkdir(parents=True)
    shard.write_text("hours of work")
    typo = recipe.changed(data={"sources": (f"table={tmp_path / 'typo.jsonl'}",)})
    for other, workers, message in (
        (typo, 1, "table must be a folder, got .*typo.jsonl, which does not exist"),
        (recipe.changed(data={"licenses": ("MITT",)}), 1, "licenses must be SPDX identifiers .*got MITT"),
        (recipe.changed(data={"limit": 1}), 0, "num_workers must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare_folder(other, resume=False, overwrite=False, num_workers=workers)
        assert shard.read_text() == "hours of work"


def test_half_written_files_of_a_killed_preparation_are_deleted_when_it_is_continued(recipe):
    prepare_only(recipe, num_workers=1)
    # As if the process had been killed while it wrote.
    recipe.run_dir.joinpath("prepare", "finished.json").unlink()
    killed = next_folder(recipe) / "prepare"
    (recipe.run_dir / "prepare").rename(killed)
    (killed / "corpus" / "rows" / "00-code-00001.jsonl.0a1b2c3d.partial").write_text("{")
    (killed / ".tokenizer.0a1b2c3d.partial").mkdir()
    prepare_only(recipe, num_workers=1)
    assert not list(recipe.run_dir.rglob("*.partial"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": ("folder=a", "folder=a")}, "data.sources must be different from each other, got 'folder=a'"),
        ({"difficulty": {"easyy": 1.0}}, "data.difficulty must map easy, medium, hard to shares"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=message):
        DataSettings(**settings)


def test_examples_of_crates_need_consent_before_anything_is_written(recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    with pytest.raises(CodeExecutionNotAllowed, match="build scripts"):
        prepare_only(recipe.changed(data={"verify": True, "sources": (f"crate-examples={tmp_path}",)}))
    assert not recipe.run_dir.exists()
