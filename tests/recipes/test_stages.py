"""Stages: every stage starts from where the one before ended."""

import json
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from evaluation.machine import Machine
from evaluation.rust.sandbox.runner import CodeExecutionNotAllowed
from recipes.__main__ import all_recipes
from recipes.pipeline import prepare
from recipes.pipeline import start as beginning
from recipes.pipeline.fields import meaning, names
from recipes.pipeline.options import model_meanings
from recipes.pipeline.plan.fit import step_of
from recipes.pipeline.run import finish, how_to_go_on
from recipes.pipeline.settings import sections, with_settings
from recipes.pipeline.settings import settings as settings_of
from recipes.pipeline.stages.ouro import OURO, with_ouro_schedule
from recipes.pipeline.stages.pretrain import Pretrain
from recipes.pipeline.stages.reinforced import Reinforced
from recipes.pipeline.stages.stage import StageResult
from recipes.pipeline.stages.text import TextStage
from recipes.pipeline.start import start
from tests.helpers.tiny_recipe import command, tiny_recipe, with_later
from trainers.callbacks import DivergenceCallback, TrainingDiverged
from trainers.data.pack import regroup_blocks
from trainers.data.sources import Document
from trainers.data.sources.table import TableSource

TOKEN_IDS = ("model.pad_token_id", "model.bos_token_id", "model.eos_token_id")


def test_the_ouro_schedule_has_the_papers_stages_at_the_size_of_the_recipe(tmp_path):
    recipe = tiny_recipe(tmp_path, total_steps=100_000, batch_size=64)
    stages = [stage for stage in with_ouro_schedule(recipe).active_stages if isinstance(stage, Pretrain)]
    assert [stage.num_loops for stage in stages] == [8, 4, 4, 4, 4]
    assert [stage.seq_len // 32 for stage in stages] == [1, 1, 4, 16, 8]
    assert [stage.tokens_per_step // (64 * 32) for stage in stages] == [1, 2, 2, 2, 2]
    assert [stage.peak_lr / 1e-2 for stage in stages] == pytest.approx([1, 1, 1 / 10, 1 / 30, 1 / 30])
    tokens = [stage.total_steps * stage.tokens_per_step for stage in stages]
    assert sum(tokens) == pytest.approx(100_000 * 64 * 32, rel=0.01)
    assert tokens[2] / tokens[0] == pytest.approx(OURO[2].tokens / OURO[0].tokens, rel=0.01)
    becoming_ternary = recipe.changed(pretrain={"ternary_warmup": 0.5, "dead_zone_residual": 0.1})
    stages = [stage for stage in with_ouro_schedule(becoming_ternary).active_stages if isinstance(stage, Pretrain)]
    assert [stage.ternary_warmup + stage.dead_zone_residual for stage in stages] == [0.6, 0, 0, 0, 0]


def test_a_schedule_of_ternary_weights_reaches_the_trainer_and_is_refused_of_a_float_model(tmp_path):
    schedule = {"ternary_warmup": 0.5, "ternary_schedule": "layers", "dead_zone_residual": 0.1}
    recipe = tiny_recipe(tmp_path).changed(pretrain=schedule)
    for stage in (recipe.stages[0], recipe.stages[0].toy(recipe, 1)):
        assert isinstance(stage, Pretrain) and schedule.items() <= stage.training_arguments(recipe.training).items()
    for name, value in (("ternary_warmup", 0.5), ("dead_zone_residual", 0.1)):
        with pytest.raises(ValueError, match=f"pretrain.{name} must be 0 with model.ternary=False, got {value}"):
            tiny_recipe(tmp_path).changed(model={"ternary": False}, pretrain={name: value})


def test_the_gate_trains_with_adamw_in_every_recipe_which_trainer_and_plan_take(tmp_path):
    recipe = tiny_recipe(tmp_path).changed(training={"optimizer": "muon_lion"}, gate={"total_steps": 2})
    for stage, name in (("pretrain", "muon_lion"), ("gate", "adamw")):
        trained = recipe.stage(stage)
        assert isinstance(trained, TextStage) and trained.training_arguments(recipe.training)["optimizer"] == name
        assert step_of(recipe, trained, 1, None).optimizer == name


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(seq_len=1), "s.seq_len must be at least 2, got 1"),
        (dict(peak_lr=float("nan")), "s.peak_lr must be finite, got nan"),
        (dict(peak_lr=0.0), "s.peak_lr must be above 0, got 0.0"),
        (dict(schedule="step"), "s.schedule must be one of wsd, cosine, constant, got 'step'"),
        (dict(warmup_steps=9, decay_steps=2), "s.warmup_steps must be at most total_steps=10"),
        (dict(ternary_warmup=1.5), "s.ternary_warmup must be at most 1, got 1.5"),
        (dict(repeated_tokens=1.5), "s.repeated_tokens must be at most 1, got 1.5"),
        (dict(ternary_schedule="loops"), "s.ternary_schedule must be one of blend, layers, got 'loops'"),
    ],
)
def test_impossible_stages_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message):
        Pretrain(**(dict(name="s", total_steps=10, batch_size=1, seq_len=8, peak_lr=1.0) | changes))


def staged_recipe(folder):
    later = Pretrain(
        name="deeper",
        total_steps=2,
        batch_size=2,
        seq_len=64,
        peak_lr=1e-3,
        schedule="constant",
        num_loops=5,
        exit_entropy_weight=0.3,
        rope_theta=5e4,
        mix={"text": 1.0},
    )
    recipe = tiny_recipe(
        folder, total_steps=2, decay_steps=0, save_steps=1, optimizer="muon_lion", muon_lr=0.02, lion_lr=1e-3
    )
    return with_later(recipe, later)


@pytest.mark.slow
def test_a_stage_continues_from_the_one_before_with_its_own_settings(tmp_path, capsys, no_clean_process):
    recipe = staged_recipe(tmp_path)
    command(recipe, [])
    folders = (recipe.run_dir / name / "model" for name in ("pretrain", "deeper"))
    first, second = map(AutoModelForCausalLM.from_pretrained, folders)
    assert (second.config.num_loops, second.config.exit_entropy_weight) == (5, 0.3)
    assert second.config.rope_parameters["rope_theta"] == 5e4
    lines = [json.loads(line) for line in (recipe.run_dir / "deeper" / "metrics.jsonl").open()]
    logs = [line for line in lines if "loss" in line]
    # The peaks of the parts scale by the stage's share of the recipe's peak, 1e-3 of 1e-2.
    assert [(log["muon_lr"], log["lion_lr"]) for log in logs] == [(pytest.approx(2e-3), pytest.approx(1e-4))] * 2
    assert "loop_5_loss" in logs[0] and logs[-1]["tokens_seen"] == 2 * 2 * 64
    moved = max((a - b).abs().max() for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert 0 < moved < 0.1
    assert (recipe.run_dir / "deeper" / "metrics.png").stat().st_size > 10_000
    assert "Stage deeper: 2 steps of 128 tokens" in capsys.readouterr().out


def test_a_stage_reads_its_own_mix(tmp_path):
    for name, text in (("web", "fn web() { let x = 1; }\n"), ("book", "struct Book { pages: u32 }\n")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(40):
            (tmp_path / "data" / name / f"{index}.rs").write_text(f"// {index}\n" + text)
    recipe = staged_recipe(tmp_path)
    recipe = recipe.changed(
        data=dict(data_dir=tmp_path / "data", verified_sample=0, near_duplicates=0), deeper=dict(mix={"book": 1.0})
    )
    prepared = start(recipe)
    read = {
        name: "".join(prepared.tokenizer.batch_decode([row["input_ids"] for row in blocks]))
        for name, blocks in prepared.training.items()
    }
    assert "fn web" in read["pretrain"] and "struct Book" in read["pretrain"]
    assert "fn web" not in read["deeper"] and "struct Book" in read["deeper"]


def test_repeated_tokens_take_their_share_of_the_blocks_from_the_text(tmp_path):
    recipe = tiny_recipe(tmp_path).changed(data=dict(verified_sample=0))
    prepared = start(recipe)
    stage = recipe.stages[0]
    assert isinstance(stage, Pretrain)
    text = stage.trainer_settings(recipe, prepared, 2)["train_dataset"]
    quarter, whole = (replace(stage, repeated_tokens=share) for share in (0.25, 1))
    mixed = quarter.trainer_settings(recipe, prepared, 2)["train_dataset"]
    assert len(mixed) == pytest.approx(len(text) / 0.75, abs=1)
    assert quarter.epochs(recipe, prepared)["all"] == pytest.approx(stage.epochs(recipe, prepared)["all"] * 0.75)
    assert len(whole.trainer_settings(recipe, prepared, 2)["train_dataset"]) == stage.total_steps * stage.batch_size
    assert list(whole.reads(recipe, prepared)) == ["Stage pretrain reads no text"]
    both = replace(prepared, training={name: prepared.training["pretrain"] for name in ("pretrain", "other")})
    stages = (whole, replace(whole, name="other"))
    blocks = [each.trainer_settings(recipe, both, 2)["train_dataset"] for each in stages]
    assert (blocks[0][0]["input_ids"] != blocks[1][0]["input_ids"]).any(), "stages read different blocks"


def test_the_blocks_of_a_mix_are_found_again_whether_its_shares_are_whole_numbers_or_floats():
    # The name that a run of an earlier version gave to the blocks of this mix.
    assert prepare.mix_folder({"tasks": 2, "text": 1}) == "training-c6d6565c"
    assert prepare.mix_folder({"text": 1.0, "tasks": 2.0}) == "training-c6d6565c"
    assert prepare.mix_folder({"tasks": 2.5, "text": 1}) != prepare.mix_folder({"tasks": 2, "text": 1})


def test_a_mix_of_groups_keeps_a_share_of_all_real_text_beside_the_users_folder(tmp_path, monkeypatch):
    for index in range(40):
        (tmp_path / "data" / "src").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "src" / f"{index}.rs").write_text(f"// {index}\nfn own() {{ let x = 1; }}\n")
    docs = [
        Document.of("std", f"{i}", "file", "MIT", f"// {i}\nstruct Documented {{ pages: u32 }}\n") for i in range(40)
    ]
    (tmp_path / "docs.jsonl").write_text("".join(json.dumps(vars(each)) + "\n" for each in docs))
    documented = TableSource(tmp_path / "docs.jsonl")
    monkeypatch.setattr("trainers.data.sources.default.default_sources", lambda: [documented])
    recipe = staged_recipe(tmp_path)
    recipe = recipe.changed(
        data=dict(data_dir=tmp_path / "data", toolchain_docs=True, verified_sample=0, near_duplicates=0),
        deeper=dict(mix={"data_dir": 3, "text": 1}),
    )
    prepared = start(recipe)

    def shares(blocks):
        text = "".join(prepared.tokenizer.batch_decode([row["input_ids"] for row in blocks]))
        own, documented = text.count("fn own"), text.count("struct Documented")
        return own / (own + documented)

    assert shares(prepared.validation) == 1, "what is held out is of the folder"
    assert 0.3 < shares(prepared.training["pretrain"]) < 0.6
    assert 0.75 < shares(prepared.training["deeper"]) < 0.95


def test_a_recipe_about_a_project_asks_for_its_folder_before_any_work(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(replace(all_recipes()["project"], output_dir=tmp_path), [])
    assert "stage project trains on a project of yours: name its folder with --data-dir" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_text_that_is_repeated_many_times_is_told_before_it_is(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path)
    recipe = replace(recipe, data=replace(recipe.data, verified_sample=0))
    for steps, told in ((6, False), (4000, True)):
        start(recipe.changed(pretrain={"total_steps": steps}))
        shown = " ".join(capsys.readouterr().out.split())
        assert bool(re.search(r"Stage pretrain reads all [\d,]+ times", shown)) == told


def test_a_stage_without_the_one_before_it_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(staged_recipe(tmp_path), ["--stage", "deeper"])
    assert "--stage deeper needs the stage before it, pretrain, to be finished" in capsys.readouterr().err


@given(st.integers(1, 9), st.integers(2, 40), st.integers(2, 40))
def test_regrouped_blocks_are_the_same_tokens_in_the_same_order(count, before, after):
    from datasets import Dataset

    tokens = torch.arange(count * before).reshape(count, before).tolist()
    blocks = Dataset.from_dict({"input_ids": tokens})
    if count * before < after:
        with pytest.raises(ValueError, match=f"at least one block of seq_len={after} tokens"):
            regroup_blocks(blocks, after)
        return
    found = regroup_blocks(blocks, after)["input_ids"]
    assert [len(row) for row in found] == [after] * (count * before // after)
    assert [token for row in found for token in row] == list(range(count * before // after * after))


def test_every_setting_of_every_recipe_has_a_meaning_and_can_be_set_to_what_it_is():
    explained = model_meanings()
    for name, recipe in all_recipes().items():
        for section, part in sections(recipe):
            assert all(len(meaning(type(part), field)) > 20 for field in names(type(part))), section
        for setting, value in settings_of(recipe).items():
            if setting.startswith("model.") and setting not in ("model.use_cache", *TOKEN_IDS):
                assert setting.removeprefix("model.") in explained, setting
            if setting != "data.data_dir":
                changed = with_settings(recipe, [f"{setting}={value}"])
                assert settings_of(changed) == settings_of(recipe), (name, setting)


@pytest.mark.parametrize(
    "change, message",
    [
        ("pretrain.peek_lr=1", "pretrain.peek_lr is no setting of this recipe; the nearest is pretrain.peak_lr"),
        ("hardware.banana=1", "hardware.banana is no setting of this recipe; hardware has dataloader_num_workers, "),
        ("pretrain.peak_lr", "--set needs name=value"),
        ("pretrain.total_steps=many", "pretrain.total_steps must be a whole number, got 'many'"),
        ("training.total_steps=1.5", "pretrain.total_steps must be a whole number, got 1.5"),
        ("training.compile_blocks=2", "training.compile_blocks must be True or False, got 2"),
        ("training.optimizer=sgd", "training.optimizer must be one of muon_lion, adamw, got 'sgd'"),
        ("stages.deeper.num_loops=banana", "deeper.num_loops must be a whole number or None, got 'banana'"),
        ("model.rope_parameters=banana", "model.rope_parameters must be a dictionary or None, got 'banana'"),
        ("model.rope_parameters={1: 2}", "model.rope_parameters must be a dictionary by names, got {1: 2}"),
        ("pretrain.peak_lr=True", "pretrain.peak_lr must be a number, got True"),
        ("model.num_loops=0", "num_loops must be an integer >= 1"),
        ("deeper.seq_len=1", "deeper.seq_len must be at least 2"),
        ("data.mix={'web': -1}", "data.mix must be None or map names of sources to positive shares, got {'web': -1"),
        ("deeper.mix=web", "deeper.mix must be a dictionary such as"),
        ("training.report_to=mail", "training.report_to must be one of none, tensorboard, trackio, got 'mail'"),
        ("model.vocab_size=100", "model.vocab_size must be at least data.vocab_size=300, got 100"),
    ],
)
def test_a_wrong_setting_is_one_line_before_any_work(tmp_path, capsys, change, message):
    with pytest.raises(SystemExit):
        command(staged_recipe(tmp_path), ["--set", change])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        (
            "data.mix={'web': 1}",
            "a mix must name existing sources (all, builtin_rust, crates, data_dir, high_quality_rust, text), got web",
        ),
        ("deeper.seq_len=99999999", "deeper.seq_len must be at most"),
    ],
)
def test_what_the_data_cannot_give_is_known_before_training(tmp_path, capsys, change, message):
    with pytest.raises(SystemExit):
        command(staged_recipe(tmp_path), ["--set", change])
    assert message in capsys.readouterr().err


def test_a_tracker_that_is_not_installed_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(beginning, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        command(staged_recipe(tmp_path), ["--set", "training.report_to=tensorboard"])
    assert 'report_to=tensorboard needs a package: pip install -e ".[track]"' in capsys.readouterr().err


def test_the_gpus_of_a_recipe_share_the_batches_of_the_ouro_schedule_evenly():
    recipe = with_ouro_schedule(all_recipes()["config_b"])
    for stage in recipe.active_stages:
        stage.check_machine(recipe, recipe.num_gpus)


@pytest.mark.slow
def test_the_ouro_schedule_trains_its_five_stages_each_with_its_own_loops_and_length(
    tmp_path, capsys, no_clean_process
):
    command(tiny_recipe(tmp_path), ["--schedule", "ouro", "--show"])
    assert "stage stage_4:" in capsys.readouterr().out
    recipe = replace(with_ouro_schedule(tiny_recipe(tmp_path)).toy(), output_dir=tmp_path)
    finish(recipe, start(recipe))
    for stage, row in zip(recipe.active_stages, OURO, strict=False):
        config = AutoModelForCausalLM.from_pretrained(recipe.stage_dir(stage) / "model").config
        assert (config.num_loops, config.exit_entropy_weight) == (row.num_loops, row.exit_entropy_weight)
    losses = json.loads((recipe.run_dir / "report.json").read_text())["held_out_loss"]
    assert [len(each) for each in losses.values()] == [8, 4, 4, 4, 4]
    command(tiny_recipe(tmp_path), ["--schedule", "ouro", "--dry-run"])
    assert "The dry run finished" in capsys.readouterr().out


@pytest.mark.parametrize("name", all_recipes())
def test_every_recipe_shows_itself(name, capsys):
    recipe = all_recipes()[name]
    first = recipe.active_stages[0].name
    command(recipe, ["--show"])
    shown = capsys.readouterr().out
    assert f"{first}.peak_lr" in shown and "parameters" in shown and f"stage {first}" in shown


@pytest.mark.slow
def test_a_stage_of_reinforcement_learning_waits_for_consent_is_measured_and_not_repeated(
    tmp_path, monkeypatch, capsys, no_clean_process
):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    monkeypatch.setattr("sys.argv", ["recipes/debug.py"])
    toy = all_recipes()["debug"].toy()
    stages = tuple(stage for stage in toy.stages if stage.name != "tasks")
    recipe = toy.changed(
        data={"tasks": 40, "synthetic_samples": 0, "verified_sample": 0},
        training={"eval_prompts": 0},
        stages=stages,
        output_dir=tmp_path,
    ).changed(export={"gguf": None}, maxrl={"eval_steps": 2})
    blocked = finish(recipe, start(recipe))
    told = " ".join(capsys.readouterr().out.split())
    assert "Stage maxrl runs programs that the model writes and needs HF_ALLOW_CODE_EVAL=1, which is not set" in told
    command = f"HF_ALLOW_CODE_EVAL=1 accelerate launch recipes/debug.py --resume --output-dir {tmp_path}"
    assert blocked.name == "maxrl" and command in how_to_go_on(recipe, blocked)
    assert (recipe.run_dir / "pretrain" / "finished.json").exists() and not (recipe.run_dir / "maxrl").exists()
    with pytest.raises(CodeExecutionNotAllowed, match="stage maxrl: This runs programs that a model wrote"):
        start(recipe, resume=True)

    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    assert finish(recipe, start(recipe, resume=True)) is None
    results = json.loads((recipe.run_dir / "report.json").read_text())
    assert results["tokens_seen"] == 2 * recipe.stages[0].tokens_per_step and results["tokens_per_second"] > 0
    assert list(results["held_out_loss"]) == ["pretrain", "maxrl"] and results["last_stage"] == "maxrl"
    told = capsys.readouterr().out
    assert "Stage maxrl: 2 steps of 4 completions" in told and "that compile" in told
    folder = recipe.run_dir / "maxrl"
    found = Reinforced.read(folder / "finished.json")
    assert found.tasks == 1 and 0 <= found.compiles[0].low < found.compiles[0].high <= 1
    pretrained = StageResult.read(recipe.run_dir / "pretrain" / "finished.json")
    assert pretrained.seconds and pretrained.machines == found.machines == (Machine.this(),)
    assert len(list((folder / "samples").glob("step_*.html"))) == 2
    assert [json.loads(line)["step"] for line in (folder / "evaluations.jsonl").open()] == [2]

    # Killed while it measured for the last time: nothing is trained again.
    weights = (folder / "model" / "model.safetensors").read_bytes()
    (folder / "finished.json").unlink()
    finish(recipe, start(recipe, resume=True), "maxrl")
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert not (folder / "checkpoint-3").exists()
    assert found.seconds and Reinforced.read(folder / "finished.json").seconds == found.seconds
    assert [json.loads(line)["step"] for line in (folder / "evaluations.jsonl").open()] == [2]


def diverging(losses):
    callback, state = DivergenceCallback(spike=1.0, window=5, patience=2), type("State", (), {"global_step": 7})
    for loss in losses:
        callback.on_log(None, state, None, logs={"loss": loss, "grad_norm": 1.0})


@pytest.mark.parametrize("losses", [[float("nan")], [3.0, float("inf")], [3.0] * 5 + [4.5, 4.5]])
def test_a_diverging_training_ends_with_the_reason(losses):
    with pytest.raises(TrainingDiverged, match="step 7. Continue from the last checkpoint"):
        diverging(losses)


@pytest.mark.parametrize("losses", [[9.0, 3.0] * 9, [3.0] * 5 + [4.5, 3.0] * 4, [3.0] * 9 + [3.9] * 9])
def test_noise_does_not_end_a_training(losses):
    diverging(losses)


def test_stages_whose_blocks_are_the_packed_ones_follow_their_length(tmp_path):
    recipe = staged_recipe(tmp_path)
    changed = with_settings(recipe, ["data.seq_len=16"])
    lengths = {stage.name: stage.longest_block for stage in changed.stages}
    assert lengths == {"pretrain": 16, "deeper": 64, "gate": 16, "export": 0}
    assert with_settings(recipe, ["data.seq_len=16", "pretrain.seq_len=8"]).stages[0].longest_block == 8
