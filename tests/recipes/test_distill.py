"""A stage of distillation in a recipe: refused before any work, planned, run dry, trained, killed and resumed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from modeling_nanochat import LoopLMForCausalLM
from recipes.pipeline.fields import changed
from recipes.pipeline.initial_model import InitialModel, write_stand_in
from recipes.pipeline.pretrain import pretrain
from recipes.pipeline.schema import Recipe
from recipes.pipeline.settings import with_settings
from recipes.pipeline.stages.distill import Distill
from recipes.pipeline.start import start
from tests.helpers.teachers import rust_tokenizer, save_teacher
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.callbacks import MetricsFileCallback


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return rust_tokenizer()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tokenizer) -> Path:
    """A teacher whose embedding is padded beyond the student's."""
    return save_teacher(tmp_path_factory.mktemp("teacher"), tokenizer, padding=20)


def recipe_of(folder: Path, tokenizer: PreTrainedTokenizerFast, teacher: Path, **settings) -> Recipe:
    """A recipe that begins with distillation, from an untrained model with the teacher's tokenizer."""
    recipe = tiny_recipe(folder / "runs")
    recipe = recipe.changed(data={"verified_sample": 0}, training={"save_steps": 2})
    torch.manual_seed(0)
    write_stand_in(recipe.model, tokenizer, folder / "student")
    initial = InitialModel.read(folder / "student")
    recipe = with_settings(recipe, [], initial)
    stage = Distill(
        teacher=str(teacher),
        total_steps=4,
        batch_size=4,
        seq_len=32,
        peak_lr=1e-2,
        schedule="constant",
        hard_weight=0.5,
        self_distillation_weight=0.5,
    )
    return replace(recipe, stages=(changed(stage, **settings), recipe.stage("export")))


def stage_of(recipe: Recipe) -> Distill:
    """The stage of distillation."""
    stage = recipe.stage("distill")
    assert isinstance(stage, Distill)
    return stage


def logs(recipe: Recipe) -> list[dict[str, float]]:
    names = ("step", "loss", "grad_norm", "teacher_kl", "depth_kl", "loop_3_loss")
    lines = map(json.loads, (recipe.run_dir / "distill" / "metrics.jsonl").read_text().splitlines())
    return [{name: line[name] for name in names} for line in lines if "loss" in line]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, dict(teacher_top_k=8), dict(attention_relation_weight=2.0, attention_relation_heads=2)], ids=str
)
def test_killed_and_resumed_it_has_the_losses_of_an_undisturbed_run(
    tmp_path, tokenizer, teacher, monkeypatch, settings
):
    folders = [tmp_path / name for name in ("undisturbed", "killed")]
    recipes = []
    for folder in folders:
        folder.mkdir()
        recipes.append(recipe_of(folder, tokenizer, teacher, **settings))
    for recipe, dies in zip(recipes, (False, True), strict=True):
        prepared = start(recipe)
        if dies:
            with monkeypatch.context() as patched:
                patched.setattr(MetricsFileCallback, "on_step_end", killed_after(3), raising=False)
                with pytest.raises(Killed):
                    pretrain(recipe, stage_of(recipe), prepared, None)
            prepared = start(recipe, resume=True)
        pretrain(recipe, stage_of(recipe), prepared, None)
    assert logs(recipes[0]) == logs(recipes[1]) and len(logs(recipes[0])) == 4
    models = [load_file(recipe.run_dir / "distill" / "model" / "model.safetensors") for recipe in recipes]
    assert all(value.equal(models[1][name]) for name, value in models[0].items())


def killed_after(step: int):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise Killed

    return on_step_end


@pytest.mark.slow
def test_a_recipe_with_it_runs_from_its_start_to_the_report(tmp_path, tokenizer, teacher, capsys, no_clean_process):
    recipe = recipe_of(tmp_path, tokenizer, teacher, total_steps=2, teacher_top_k=4)
    command(recipe, [])
    told = " ".join(capsys.readouterr().out.split())
    assert "Stage distill keeps 4 predictions of the teacher for each of" in told
    assert "Stage distill: the teacher reads" in told
    report = json.loads((recipe.run_dir / "report.json").read_text())
    assert report["last_stage"] == "distill" and len(report["held_out_loss"]["distill"]) == 3
    LoopLMForCausalLM.from_pretrained(recipe.run_dir / "distill" / "model")


def test_a_changed_teacher_is_refused_when_the_stage_goes_on(tmp_path, tokenizer):
    teacher = save_teacher(tmp_path / "teacher", tokenizer)
    recipe = recipe_of(tmp_path, tokenizer, teacher)
    prepared = start(recipe)
    stage_of(recipe).trainer_settings(recipe, prepared, 2)
    start(recipe, resume=True)
    save_teacher(teacher, tokenizer, seed=1)
    with pytest.raises(ValueError, match="whose model.safetensors has changed since then"):
        start(recipe, resume=True)


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["whole", "dry"])
def test_a_teacher_with_another_vocabulary_is_refused_before_any_work(tmp_path, tokenizer, capsys, dry_run):
    teacher = save_teacher(tmp_path / "teacher", rust_tokenizer(290))
    with pytest.raises(SystemExit):
        command(recipe_of(tmp_path, tokenizer, teacher), dry_run)
    assert "must have the student's tokenizer, whose token ids its logits are about" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("teacher=nowhere", "model must be the folder of a saved model or a Hub name, got 'nowhere'"),
        ("teacher_top_k=301", "distill.teacher_top_k must be None or at most model.vocab_size=300, got 301"),
        ("temperature=0", "distill.temperature must be above 0, got 0"),
        ("kl_weight=0", None),
        ("seq_len=512", "distill.seq_len must be at most 256, the positions of the teacher"),
    ],
)
def test_impossible_settings_are_one_line_before_any_work(tmp_path, tokenizer, teacher, capsys, change, message):
    recipe = recipe_of(tmp_path, tokenizer, teacher)
    if message is None:
        recipe, message = recipe.changed(distill={"hard_weight": 0.0, "kl_weight": 1.0}), "distill.kl_weight must be"
    with pytest.raises(SystemExit):
        command(recipe, ["--set", f"distill.{change}"])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("attention_relation_heads=7", "attention_relation_heads must divide"),
        ("attention_relation_layer=99", "attention_relation_layer must be from 0 to"),
        ("teacher_top_k=8", "distill.teacher_top_k must be None with attention_relation_weight=1"),
    ],
)
def test_impossible_attention_relations_are_one_line_before_any_work(
    tmp_path, tokenizer, teacher, capsys, change, message
):
    with pytest.raises(SystemExit):
        command(
            recipe_of(tmp_path, tokenizer, teacher, attention_relation_weight=1.0, attention_relation_heads=2),
            ["--set", f"distill.{change}"],
        )
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_the_plan_counts_the_teachers_memory_and_work(tmp_path, tokenizer, teacher, capsys):
    recipe = recipe_of(tmp_path, tokenizer, teacher)
    stage = stage_of(recipe)
    size = stage.teacher_size(recipe.changed(hardware={"mixed_precision": "no"}))
    weights = load_file(teacher / "model.safetensors")
    assert size.weights == sum(value.nbytes for value in weights.values())
    assert 0 < size.flops < 2 * sum(value.numel() for value in weights.values())
    kept = stage_of(recipe.changed(distill={"teacher_top_k": 8})).teacher_size(recipe)
    assert kept.weights == kept.flops == 0 and kept.kept == 9 * 2 + 8 * 4
    command(recipe, ["--plan"])
    assert "teacher" in capsys.readouterr().out


@pytest.mark.slow
def test_a_dry_run_has_a_teacher_of_its_own(tmp_path, tokenizer, teacher, capsys, no_clean_process):
    command(recipe_of(tmp_path, tokenizer, teacher, teacher_top_k=8), ["--dry-run"])
    assert "The dry run finished" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
