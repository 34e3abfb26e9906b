"""The folder of a run: one process works in it, it remembers its settings, and it says how what ended it goes on."""

import errno
import json
import os
import signal
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors import SafetensorError

from evaluation.rust.sandbox.runner import SandboxFailure
from recipes.pipeline import file_names
from recipes.pipeline.folder import (
    SETTINGS_FILE,
    RunLock,
    as_kept,
    kept_settings,
    must_prepare,
    next_folder,
    remembered,
    take_place,
)
from recipes.pipeline.former_runs import FIRST
from recipes.pipeline.schema import Recipe
from tests.helpers.tiny_recipe import command, tiny_recipe, with_later


@pytest.mark.parametrize(
    "content", [None, "{}", '{"name": "pancakes"}', '{"model": {', '{"model": 1, "data": 2, "training": 3}']
)
def test_files_that_are_no_run_are_never_deleted(tmp_path, capsys, content):
    recipe = tiny_recipe(tmp_path)
    recipe.run_dir.mkdir()
    (recipe.run_dir / "thesis.tex").write_text("years of work")
    if content is not None:
        (recipe.run_dir / "recipe.json").write_text(content)
    for option in ("--overwrite", "--resume"):
        with pytest.raises(SystemExit):
            command(recipe, [option])
    errors = capsys.readouterr().err
    assert "holds files that are no run" in errors and "--resume needs a run to continue, got none" in errors
    assert (recipe.run_dir / "thesis.tex").exists()


def begin(recipe: Recipe) -> None:
    """A run that has trained some steps, as far as its folder shows."""
    prepared = next_folder(recipe) / "prepare"
    prepared.mkdir()
    (prepared / "finished.json").write_text("{}")
    take_place(recipe)
    (recipe.run_dir / "pretrain").mkdir()
    (recipe.run_dir / "pretrain" / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n')


@pytest.fixture
def existing_run(tmp_path):
    recipe = tiny_recipe(tmp_path)
    begin(recipe)
    (recipe.run_dir / "notes.txt").write_text("mine")
    return recipe


def test_bad_input_deletes_nothing(existing_run, tmp_path, capsys):
    (existing_run.run_dir / "sources").mkdir()
    (existing_run.run_dir / "sources" / "lib.rs").write_text("fn command() {}")
    large = tmp_path / "one file" / "lib.rs"
    large.parent.mkdir()
    large.write_text("/" * 100_000)
    for arguments, message in (
        (["--data-dir", str(tmp_path / "none")], "data.data_dir must be a folder with .rs files"),
        (["--data-dir", str(tmp_path / "none")], "which does not exist"),
        (["--data-dir", str(large.parent)], "got 1 of 100,000 bytes in"),
        (["--data-dir", str(existing_run.run_dir / "sources")], "data.data_dir must lie outside the run's folder"),
        (["--seed", "-1"], "training.seed must be at least 0, got -1"),
        (
            ["--total-steps", "0"],
            "must be such that the first one with steps trains on text",
        ),
        (["--total-steps", "1" + 400 * "0"], "pretrain.total_steps must be at most 1e"),
    ):
        with pytest.raises(SystemExit):
            command(existing_run, ["--overwrite", *arguments])
        assert message in capsys.readouterr().err
        assert (existing_run.run_dir / "prepare" / "finished.json").exists()


def test_overwriting_deletes_what_a_run_makes_and_nothing_else(existing_run):
    assert must_prepare(existing_run, resume=False, overwrite=True)
    next_folder(existing_run)
    assert (existing_run.run_dir / "pretrain" / "metrics.jsonl").exists()
    take_place(existing_run)
    assert sorted(path.name for path in existing_run.run_dir.iterdir()) == ["notes.txt", "recipe.json"]


def test_a_prepared_run_resumes_without_its_sources(existing_run, tmp_path):
    assert not must_prepare(existing_run, resume=True, overwrite=False)
    moved = replace(existing_run, data=replace(existing_run.data, data_dir=tmp_path / "gone"))
    with pytest.raises(ValueError, match="data.data_dir: .*builtin_rust' in the run, .*gone' now"):
        must_prepare(moved, resume=True, overwrite=False)


def test_an_overwrite_that_the_data_refuse_leaves_the_old_run_whole(existing_run, tmp_path, capsys):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "lib.rs").write_text("pub fn f() {}")
    before = {path: path.read_bytes() for path in existing_run.run_dir.rglob("*") if path.is_file()}
    for arguments, message in (
        (
            ["--data-dir", str(tmp_path / "small")],
            "data.data_dir must hold at least two .rs files of 512 bytes together",
        ),
        (["--set", "data.mix={'web': 1}"], "a mix must name existing sources"),
    ):
        with pytest.raises(SystemExit):
            command(existing_run, ["--overwrite", *arguments])
        assert message in capsys.readouterr().err
        assert {path: path.read_bytes() for path in before} == before
    later = replace(existing_run.stages[0], name="later")
    with pytest.raises(SystemExit):
        command(with_later(existing_run, later), ["--overwrite", "--stage", "later"])
    assert "--stage later needs the stage before it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_that_never_trained_gives_way_without_an_option(tmp_path):
    recipe = tiny_recipe(tmp_path)
    begin(recipe)
    (recipe.run_dir / "pretrain" / "metrics.jsonl").unlink()
    assert not must_prepare(recipe, resume=False, overwrite=False), "what is prepared is used"
    other = replace(recipe, training=replace(recipe.training, seed=3))
    assert must_prepare(other, resume=False, overwrite=False)
    next_folder(other)
    take_place(other)
    assert kept_settings(recipe)["training"]["seed"] == 3


def test_a_preparation_is_continued_only_by_a_run_of_equal_settings(tmp_path):
    recipe = tiny_recipe(tmp_path)
    (next_folder(recipe) / "own_tasks.jsonl").write_text("half\n")
    (next_folder(recipe) / "prepare").mkdir()
    assert (next_folder(recipe) / "own_tasks.jsonl").exists() and kept_settings(recipe) is not None
    other = replace(recipe, training=replace(recipe.training, seed=3))
    assert [path.name for path in next_folder(other).iterdir()] == [SETTINGS_FILE]


def test_generated_programs_are_kept_while_their_own_settings_are_equal(tmp_path):
    recipe = tiny_recipe(tmp_path)
    names = {"synthetic.jsonl", "tasks.jsonl", "compile_tasks.jsonl"}
    for name in names:
        (next_folder(recipe) / name).write_text("half\n")
    other = recipe.changed(data={"fim_rate": 0.5, "synthetic_samples": 3})
    assert {path.name for path in next_folder(other).iterdir()} == {SETTINGS_FILE, *names} - {"synthetic.jsonl"}
    other = other.changed(data={"max_task_tier": 2})
    assert [path.name for path in next_folder(other).iterdir()] == [SETTINGS_FILE]


def test_programs_of_unknown_settings_are_made_again(tmp_path):
    recipe = tiny_recipe(tmp_path)
    folder = next_folder(recipe)
    (folder / "tasks.jsonl").write_text("half\n")
    (folder / SETTINGS_FILE).unlink()
    assert [path.name for path in next_folder(recipe).iterdir()] == [SETTINGS_FILE]


def test_a_new_run_replaces_every_file_of_the_last_one(tmp_path):
    recipe = tiny_recipe(tmp_path)
    begin(recipe)
    files = {name for file, name in vars(file_names).items() if file.isupper()}
    for name in files - {"prepare", "source"}:
        (recipe.run_dir / name).write_text("old")
    next_folder(recipe)
    take_place(recipe)
    assert not files & {path.name for path in recipe.run_dir.iterdir()}


def test_a_second_process_in_the_folder_is_refused_by_the_first_ones_number(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path)
    begin(recipe)
    with closing(RunLock(recipe.run_dir)):
        for options in (["--overwrite"], ["--resume"], []):
            with pytest.raises(SystemExit):
                command(recipe, options)
            assert f"is in use by process {os.getpid()} on" in capsys.readouterr().err
    assert (recipe.run_dir / "pretrain" / "metrics.jsonl").exists()
    assert not (recipe.run_dir / "lock").exists()


def test_a_killed_owner_holds_no_folder(tmp_path):
    run_dir = tmp_path / "run"
    child = os.fork()
    if child == 0:
        RunLock(run_dir)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (run_dir / "lock").exists()
    with closing(RunLock(run_dir)):
        pass
    assert not list(run_dir.iterdir())


def test_a_claim_on_a_folder_that_is_not_there_leaves_none(tmp_path):
    with closing(RunLock(tmp_path / "runs" / "debug")):
        pass
    assert not list(tmp_path.iterdir())


def test_a_resumed_run_has_its_own_settings_and_an_option_that_differs_is_told_with_both_values(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path)
    begin(recipe.changed(training={"seed": 4}, pretrain={"total_steps": 40}))
    restored = remembered(recipe, kept_settings(recipe))
    assert (restored.stages[0].total_steps, restored.training.seed, restored.data) == (40, 4, recipe.data)
    assert not must_prepare(restored, resume=True, overwrite=False)
    with pytest.raises(SystemExit):
        command(recipe, ["--resume", "--seed", "5", "--set", "training.grad_clip=2"])
    shown = capsys.readouterr()
    assert "training.grad_clip: 1.0 in the run, 2.0 now\ntraining.seed: 4 in the run, 5 now" in shown.err
    assert "pretrain.total_steps: 40 in the run, 6 now" in shown.out


def test_too_little_data_is_one_line_and_the_next_try_needs_no_option(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path / "out")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "lib.rs").write_text("pub fn f() {}")
    with pytest.raises(SystemExit):
        command(recipe, ["--data-dir", str(tmp_path / "small")])
    assert "data.data_dir must hold at least two .rs files of 512 bytes together" in capsys.readouterr().err
    assert must_prepare(recipe, resume=False, overwrite=False)


@pytest.mark.parametrize(
    "error, told",
    [
        (KeyboardInterrupt(), "Interrupted. Continue with: accelerate launch"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space is left on the disk of"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "No space is left on the disk of"),
        (
            OSError(errno.ENOSPC, "no checkpoint was written: it needs about 1.00 GB"),
            "no checkpoint was written: it needs about 1.00 GB). Make room. Continue with: accelerate launch",
        ),
        (SandboxFailure("the server was killed"), "Stopped: the server was killed. Continue with: accelerate launch"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "CUDA out of memory. What needs less: --set training"),
    ],
)
def test_what_ends_a_training_from_outside_is_one_line_that_says_how_to_go_on(
    tmp_path, capsys, monkeypatch, error, told
):
    def fail(*_):
        raise error

    monkeypatch.setattr("sys.argv", ["recipes/debug.py"])
    monkeypatch.setattr("recipes.pipeline.command_line.start", lambda *_: None)
    monkeypatch.setattr("recipes.pipeline.command_line.finish", fail)
    with pytest.raises(SystemExit) as ended:
        command(tiny_recipe(tmp_path), [])
    shown = capsys.readouterr().err
    assert told in shown and len(shown.splitlines()) == 1 and ended.value.code != 0


def test_a_fault_of_the_code_keeps_its_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.pipeline.command_line.start", lambda *_: None)
    monkeypatch.setattr("recipes.pipeline.command_line.finish", lambda *_: [][0])
    with pytest.raises(IndexError):
        command(tiny_recipe(tmp_path), [])


def test_a_run_of_before_stages_had_sections_is_continued(tmp_path):
    recipe = with_later(tiny_recipe(tmp_path), replace(tiny_recipe(tmp_path).stages[0], name="deeper", num_loops=2))
    begin(recipe)
    kept = kept_settings(recipe)
    first, gate = kept.pop("pretrain"), kept.pop("gate")
    kept["training"] |= {name: first[name] for name in FIRST} | {"gate_steps": 3, "gate_lr": 0.01}
    for name in ("deeper", "export"):
        values = {field: value for field, value in kept.pop(name).items() if field != "kind"}
        kept["export" if name == "export" else f"stages.{name}"] = values
    (recipe.run_dir / SETTINGS_FILE).write_text(json.dumps(kept))
    assert "kind" not in json.dumps(kept) and gate["total_steps"] == 0
    restored = remembered(recipe, kept_settings(recipe))
    assert as_kept(restored) == as_kept(recipe.changed(gate={"total_steps": 3}))
    assert not must_prepare(restored, resume=True, overwrite=False)
