"""A recipe that adapts a model: its source is made once, checked before any work, and taught by what it was."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from modeling_nanochat import LoopLMConfig
from recipes.pipeline.file_names import SOURCE
from recipes.pipeline.program import find_recipe
from recipes.pipeline.schema import Recipe
from recipes.pipeline.settings import with_settings
from recipes.pipeline.source import make_source
from recipes.pipeline.source_settings import SourceSettings
from recipes.pipeline.stages.distill import Distill
from tests.helpers.teachers import rust_tokenizer, save_teacher
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.conversion.looping import loop_model
from trainers.conversion.stand_in import write_random_checkpoint

PUBLISHED: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "vocab_size": 300,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A random checkpoint with the tokenizer of the tests."""
    folder = tmp_path_factory.mktemp("checkpoint") / "llama"
    write_random_checkpoint(PUBLISHED, rust_tokenizer(), folder)
    return folder


def adapting(folder: Path, checkpoint: Path, **settings) -> Recipe:
    """A recipe that adapts a checkpoint."""
    loops: dict[str, Any] = dict(num_loops=2, core="1:3", group_size=16)
    source = SourceSettings(model=str(checkpoint), published=PUBLISHED, **(loops | settings))
    recipe = tiny_recipe(folder / "runs")
    stage = Distill(teacher=SOURCE, total_steps=1, batch_size=2, seq_len=32, peak_lr=1e-3, schedule="constant")
    stages = (stage, recipe.stage("export"))
    recipe = replace(recipe, model=source.model_config(), source=source, stages=stages)
    return recipe.changed(data={"verified_sample": 0}, training={"save_steps": 1})


def refused(recipe: Recipe, options: list[str], capsys) -> str:
    with pytest.raises(SystemExit):
        command(recipe, options)
    return capsys.readouterr().err


def test_steps_are_made_once_and_a_killed_one_again_with_equal_bytes(tmp_path, checkpoint):
    recipe = adapting(tmp_path, checkpoint)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    made = make_source(recipe, whole)
    (killed / SOURCE / ".looped.x1y2").mkdir(parents=True)
    shutil.copytree(whole / SOURCE / "dense", killed / SOURCE / "dense")
    kept = {path: path.stat().st_mtime_ns for path in (killed / SOURCE / "dense").iterdir()}
    again = make_source(recipe, killed)
    assert made.init_from is not None and again.init_from is not None
    assert made.init_from.files == again.init_from.files and again.init_from.folder == killed / SOURCE / "ternary"
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert sorted(path.name for path in (killed / SOURCE).iterdir()) == ["dense", "finished.json", "looped", "ternary"]
    before = (killed / SOURCE / "ternary" / "model.safetensors").stat().st_mtime_ns
    assert make_source(recipe, killed) == again
    assert (killed / SOURCE / "ternary" / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_trains_the_looped_ternary_model_with_the_dense_one_as_teacher(
    tmp_path, checkpoint, capsys, no_clean_process
):
    recipe = adapting(tmp_path, checkpoint).changed(model={"exit_entropy_weight": 0.3})
    command(recipe, [])
    config = LoopLMConfig.from_pretrained(recipe.run_dir / "distill" / "model")
    assert (config.num_loops, config.num_shared_layers, config.ternary, config.exit_entropy_weight) == (
        2,
        2,
        True,
        0.3,
    )
    report = json.loads((recipe.run_dir / "report.json").read_text())
    assert report["init_from"] == str((recipe.run_dir / SOURCE / "ternary").resolve())
    dense = load_file(recipe.run_dir / SOURCE / "dense" / "model.safetensors")
    original = load_file(checkpoint / "model.safetensors")
    assert all(dense[name].equal(value) for name, value in original.items())
    teacher = json.loads((recipe.run_dir / "distill" / "teacher.json").read_text())
    initial = json.loads((recipe.run_dir / SOURCE / "finished.json").read_text())["files"]
    assert teacher["model.safetensors"] != initial["model.safetensors"]
    capsys.readouterr()
    command(recipe, ["--resume"])
    assert "Source:" not in capsys.readouterr().out


def test_a_core_that_is_chosen_elsewhere_than_planned_is_the_models(tmp_path, checkpoint):
    recipe = adapting(tmp_path, checkpoint, core=None, core_layers=1).changed(model={"exit_entropy_weight": 0.3})
    folder = tmp_path / "run" / SOURCE
    make_source(
        adapting(tmp_path, checkpoint, num_loops=None, core=None, ternary=False, group_size=None), folder.parent
    )
    (folder / "finished.json").unlink()
    # The choice, which is slow, is as if it had been made.
    loop_model(folder / "dense", folder / "looped", core=(2, 3))
    model = make_source(recipe, folder.parent).model
    assert recipe.model.num_prelude_layers == 1 and model.num_prelude_layers == 2
    assert model.ternary and model.exit_entropy_weight == 0.3


def test_a_tokenizer_without_the_tokens_of_training_gets_those_that_end_a_text(tmp_path, checkpoint):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "model"))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"bos_token": None, "pad_token": None}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 5, "pad_token_id": None}))
    made = make_source(adapting(tmp_path, folder), tmp_path / "run")
    assert made.init_from is not None
    tokenizer = made.init_from.tokenizer()
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id) == (5, tokenizer.eos_token_id) and len(tokenizer) == 300


def test_a_source_that_cannot_be_adapted_is_one_line_and_leaves_no_data(tmp_path, checkpoint, capsys):
    recipe = adapting(tmp_path, checkpoint)
    other = tmp_path / "gpt2"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "gpt2"}')
    layers = PUBLISHED | {"num_hidden_layers": 5}
    cases = {
        f"source.model={tmp_path / 'none.gguf'}": "source.model must be a folder or a GGUF file that exists",
        f"source.model={other}": "model_type must be one of ouro, llama",
        f"source.published={layers}": "source.published has num_hidden_layers=5, but the model in",
        "source.core=3:5": "core must be START:END with 0 <= START < END <= 4, got 3:5",
        "source.core_layers=2": "source.core, core_layers and whole_stack exclude each other",
        "source.group_size=24": "32",
        "model.num_loops=3": "model.num_loops must be 2, which the settings of source decide, got 3",
        "data.vocab_size=299": "data.vocab_size must be 300, the number of tokens of the tokenizer of",
    }
    for change, message in cases.items():
        assert message in refused(recipe, ["--set", change], capsys), change
    assert not list((tmp_path / "runs").rglob("prepare"))


def test_a_teacher_with_another_vocabulary_is_refused_before_data_is_prepared(tmp_path, checkpoint, capsys):
    teacher = save_teacher(tmp_path / "teacher", rust_tokenizer(290))
    message = refused(adapting(tmp_path, checkpoint), ["--set", f"distill.teacher={teacher}"], capsys)
    assert "must have the student's tokenizer" in message
    assert not list((tmp_path / "runs").rglob("prepare"))


def test_the_source_is_a_teacher_only_of_a_recipe_that_adapts_a_model(tmp_path, checkpoint, capsys):
    recipe = adapting(tmp_path, checkpoint)
    make_source(recipe, tmp_path / "run")
    folder = str(tmp_path / "run" / SOURCE / "ternary")
    assert "distill.teacher must be a folder or a name" in refused(recipe, ["--init-from", folder], capsys)
    options = ["--init-from", folder, "--set", "source.num_loops=3"]
    assert "--init-from takes the place of the model" in refused(recipe, options, capsys)


@pytest.mark.parametrize("name", ["adapt_smollm2", "adapt_qwen_coder_0_5b", "adapt_ouro"])
def test_settings_of_the_source_change_the_model_that_is_planned(name):
    recipe = find_recipe(name)()
    assert recipe.model.ternary and recipe.model.num_hidden_layers > recipe.source.dense_config().num_shared_layers
    changed = with_settings(recipe, ["source.ternary=False", "source.group_size=None", "distill.ternary_warmup=0"])
    assert not changed.model.ternary and changed.model.exit_entropy_weight == recipe.model.exit_entropy_weight
    if name != "adapt_ouro":
        assert with_settings(recipe, ["source.num_loops=3"]).model.num_loops == 3
