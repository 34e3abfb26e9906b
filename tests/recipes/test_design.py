"""The large recipes follow the design document key by key, and its names are understood where settings are given."""

import subprocess
import sys

import pytest

from recipes.config_a import config_a
from recipes.config_b import config_b
from recipes.config_c import config_c
from recipes.pipeline.design.configurations import CONFIGURATION, KEYS
from recipes.pipeline.design.hints import OTHER_NAMES
from recipes.pipeline.design.page import PARTS, design_rows, page
from recipes.pipeline.settings import settings, with_settings
from recipes.project import project
from tests.helpers.paths import ROOT

RECIPES = {make.__name__: make() for make in (config_a, config_b, config_c)}


def test_the_configurations_have_all_their_keys():
    assert {name: len(values) for name, values in CONFIGURATION.values.items()} == {
        "config_a": 40,
        "config_b": 47,
        "config_c": 41,
    }


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_every_value_of_the_document_is_that_of_the_recipe_or_the_row_says_why_not(part):
    rows = design_rows(RECIPES, part)
    other = [row for row in rows if row.key.setting is not None and not row.is_equal]
    assert [(row.where, row.key.name, row.value, row.here) for row in other if not row.key.difference] == []
    # A reason for a difference that is gone would be false.
    unfounded = {key.name for key in part.keys if key.difference} - {row.key.name for row in other}
    assert unfounded == set()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.title)
def test_every_key_has_a_setting_or_a_sentence_and_is_in_a_configuration(part):
    known = {name for recipe in RECIPES.values() for name in settings(recipe)}
    for key in part.keys:
        assert key.setting in known if key.setting is not None else len(key.sentence) >= len("No setting."), key.name
        assert any(key.name in values for values in part.values.values()), key.name
    names = [key.name for key in part.keys]
    assert len(names) == len(set(names))


def test_the_page_is_the_one_that_is_generated_from_the_recipes_now():
    written = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert written == page(RECIPES), "write it again: python -m recipes.pipeline.design --output docs/recipes.md"


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-m", "recipes.pipeline.design", "--output", tmp_path / "none" / "recipes.md"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert finished.returncode == 2 and not list(tmp_path.iterdir())
    (line,) = finished.stderr.splitlines()
    assert line.startswith("python -m recipes.pipeline.design: --output must name a file in a folder that exists")


@pytest.mark.parametrize(
    "given, instead",
    [
        ("model.dim", "use model.hidden_size"),
        ("dim", "use model.hidden_size"),
        ("model.n_heads", "use model.num_attention_heads"),
        ("model.n_layers", "use model.num_shared_layers"),
        ("model.n_loops", "use model.num_loops"),
        ("model.max_seq_len", "use model.max_position_embeddings"),
        ("model.group_size", "use model.ternary_group_size"),
        ("model.mhc_n_streams", "use model.mhc_num_streams"),
        ("training.entropy_weight", "use model.exit_entropy_weight"),
        ("long_context.entropy_weight", "use long_context.exit_entropy_weight"),
        ("training.accumulation_steps", "use training.micro_batch_size. Follows: batch_size over the rows"),
        ("data.num_workers", "use hardware.dataloader_num_workers"),
        ("data.dataset_mix", "use data.mix"),
        ("lr", "use pretrain.peak_lr or maxrl.learning_rate"),
        ("gate.lr", "use gate.peak_lr"),
        ("maxrl.lr", "use maxrl.learning_rate"),
        ("hardware.tensor_parallel_size", "Each GPU has the whole model"),
        ("distributed.backend", "accelerate chooses NCCL on GPUs"),
    ],
)
def test_a_name_of_the_document_or_of_another_library_is_answered_with_ours(given, instead):
    recipe = RECIPES["config_a"]
    with pytest.raises(ValueError, match=f"--set {given} is no setting of this recipe: {instead}"):
        with_settings(recipe, [f"{given}=3"])
    section, _, name = given.rpartition(".")
    if section not in ("", "distributed"):
        with pytest.raises(ValueError, match=f"{given} does not exist, got {name}=3: {instead}"):
            recipe.changed(**{section: {name: 3}})


def test_a_name_of_a_kind_of_stage_is_answered_with_the_stages_of_this_recipe():
    refused = "is no setting of this recipe: use"
    with pytest.raises(ValueError, match=f"--set sft.total_steps {refused} project.total_steps$"):
        with_settings(project(), ["sft.total_steps=3"])
    with pytest.raises(ValueError, match=f"--set lr {refused} pretrain.peak_lr$"):
        with_settings(project(), ["lr=3"])


def test_a_field_that_a_recipe_does_not_have_is_answered_in_python_too():
    with pytest.raises(ValueError, match="recipe config_a has no field dim: use model.hidden_size"):
        RECIPES["config_a"].changed(dim=3)
    with pytest.raises(ValueError, match="recipe config_a has no field color: it has name, description, model"):
        RECIPES["config_a"].changed(color="red")


def test_hints_name_settings_that_exist_and_hide_no_key_of_the_document():
    known = set(settings(RECIPES["config_a"])) | set(settings(RECIPES["config_b"]))
    assert {name for names in OTHER_NAMES.values() for name in names} <= known
    # A name of another library that is a key of the document would never be reached.
    assert OTHER_NAMES.keys().isdisjoint(key.name.rpartition(".")[2] for key in KEYS)
