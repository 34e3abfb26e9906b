"""`--init-from`: a run starts from a saved model with its tokenizer, and refuses what cannot work before any work."""

import json
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.finetune import finetune
from recipes.pipeline.command_line import with_data
from recipes.pipeline.folder import kept_settings, remembered
from recipes.pipeline.initial_model import InitialModel
from recipes.pipeline.pretrain import build_model, pretrain
from recipes.pipeline.schema import Recipe
from recipes.pipeline.settings import with_settings
from recipes.pipeline.stages.ouro import with_ouro_schedule
from recipes.pipeline.stages.pretrain import Pretrain
from recipes.pipeline.start import start
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny import tiny_config
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.data.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A model as `convert` writes it: float weights in bf16, norms around each sublayer, another vocabulary."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(7)
    config = tiny_config(mhc_num_streams=1, vocab_size=320, ternary=False, sandwich_norm=True, num_loops=2)
    LoopLMForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    train_tokenizer([path.read_text() for path in BUILTIN.glob("*.rs")], 310, 32).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def first_stage(recipe: Recipe) -> Pretrain:
    stage = recipe.stages[0]
    assert isinstance(stage, Pretrain)
    return stage


def first_model(recipe: Recipe) -> LoopLMForCausalLM:
    assert recipe.init_from is not None
    return build_model(recipe, recipe.init_from.tokenizer(), first_stage(recipe))


def test_the_first_stage_starts_from_the_saved_weights_with_the_saved_tokenizer(saved, tmp_path):
    recipe = tiny_recipe(tmp_path, total_steps=1, warmup_steps=0, decay_steps=0, save_steps=1, peak_lr=1e-9)
    recipe = recipe.changed(data={"verified_sample": 0})
    recipe = with_settings(recipe, ["model.exit_entropy_weight=0.7"], InitialModel.read(saved))
    prepared = start(recipe)
    assert prepared.tokenizer.get_vocab() == PreTrainedTokenizerFast.from_pretrained(saved).get_vocab()
    pretrain(recipe, first_stage(recipe), prepared, None)
    trained = recipe.stage_dir(first_stage(recipe)) / "model"
    config = LoopLMConfig.from_pretrained(trained)
    assert (config.exit_entropy_weight, config.sandwich_norm, config.ternary, config.num_loops) == (
        0.7,
        True,
        False,
        2,
    )
    before, after = (load_file(path / "model.safetensors") for path in (saved, trained))
    for name, value in before.items():
        assert after[name].dtype == torch.float32 and torch.allclose(after[name], value.float(), atol=1e-6), name
    kept = kept_settings(recipe)
    assert kept is not None and kept["init_from"]["folder"] == str(saved)
    assert remembered(tiny_recipe(tmp_path), kept).init_from == recipe.init_from


def test_special_tokens_are_the_tokenizers_wherever_the_saved_model_has_others(folder, tmp_path):
    for name in ("config.json", "generation_config.json"):
        settings = json.loads((folder / name).read_text()) | {"bos_token_id": 7, "eos_token_id": [9, 8]}
        (folder / name).write_text(json.dumps(settings))
    recipe = with_settings(tiny_recipe(tmp_path), [], InitialModel.read(folder))
    model = first_model(recipe)
    assert model.generation_config.bos_token_id == 1 and model.config.eos_token_id == 2


def test_ternary_training_may_start_from_float_weights(saved, tmp_path):
    recipe = with_settings(tiny_recipe(tmp_path), ["model.ternary=True"], InitialModel.read(saved))
    model = first_model(recipe)
    assert model.config.ternary and model.model.layers[0].mlp.up_proj.weight.dtype == torch.float32


def test_the_ouro_schedule_starts_from_a_saved_model(saved, tmp_path):
    recipe = with_settings(with_ouro_schedule(tiny_recipe(tmp_path)), [], InitialModel.read(saved))
    assert first_model(recipe).config.num_loops == 8


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def no_pad_token(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"pad_token": None}))


def too_many_tokens(folder):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([f"token_{index}" for index in range(11)])
    tokenizer.save_pretrained(folder)


def packed(folder):
    config = tiny_config(mhc_num_streams=1, vocab_size=320)
    LoopLMForCausalLM(config).eval().pack().save_pretrained(folder)


def of_ouro(folder):
    (folder / "config.json").write_text('{"model_type": "ouro"}')


def of_llama(folder):
    (folder / "config.json").write_text('{"model_type": "llama"}')


def of_gpt2(folder):
    (folder / "config.json").write_text('{"model_type": "gpt2"}')


def not_a_number(folder):
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"][5, 5] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def half_copied(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def another_shape(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"intermediate_size": 96}))


@pytest.mark.parametrize(
    "damage, options, message",
    [
        (shutil.rmtree, [], "--init-from must be the folder of a saved model with its config.json, got"),
        (no_tokenizer, [], "it has no tokenizer.json"),
        (no_pad_token, [], "must have a pad_token, got none"),
        (too_many_tokens, [], "for every token of its tokenizer, got vocab_size=320 for 321 tokens"),
        (packed, [], "latent weights, got packed ones in"),
        (of_ouro, [], "convert it with nanochat-ternary convert --model"),
        (of_llama, [], "a checkpoint of llama in"),
        (of_gpt2, [], "model_type 'nanochat_looplm', got 'gpt2'"),
        (not_a_number, [], "model.embed_tokens.weight is not"),
        (half_copied, [], "model.safetensors is damaged"),
        (another_shape, [], "must have the shape (96, 32), got (64, 32)"),
        (None, ["--set", "model.hidden_size=64"], "model.hidden_size=64 must leave the weights of the model in"),
        (None, ["--set", "model.mhc_num_streams=2"], "model.mhc_num_streams=2 must leave the weights of the model in"),
        (None, ["--set", "data.vocab_size=300"], "data.vocab_size must be 310, the number of tokens of the tokenizer"),
        (
            None,
            ["--set", "data.seq_len=512"],
            "data.seq_len must be at most model.max_position_embeddings=256, got 512",
        ),
        (None, ["--set", "data.fim_rate=0.5"], "the tokenizer must have <|fim_prefix|>"),
        (None, ["--set", "export.gguf=f16"], "LoopLMConfig.sandwich_norm must be False"),
    ],
)
def test_a_model_that_cannot_be_started_from_is_one_line_before_any_work(
    folder, tmp_path, capsys, damage, options, message
):
    if damage is not None:
        damage(folder)
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path / "runs"), ["--init-from", str(folder), *options])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_model_in_the_folder_that_the_run_would_replace_is_refused(folder, tmp_path, capsys):
    recipe = replace(tiny_recipe(tmp_path), name="copy")
    with pytest.raises(SystemExit):
        command(recipe, ["--init-from", str(folder), "--overwrite"])
    assert f"--init-from must lie outside the run's folder {folder}" in capsys.readouterr().err
    assert (folder / "model.safetensors").exists()


def test_a_resumed_run_notices_another_model_until_its_first_stage_is_finished(folder, tmp_path, capsys):
    recipe = tiny_recipe(tmp_path).changed(data={"verified_sample": 0})
    begun = with_settings(recipe, [], InitialModel.read(folder))
    start(begun)
    start(begun, resume=True)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match="where model.safetensors has changed since the run was started"):
        start(begun, resume=True)
    with pytest.raises(SystemExit):
        command(recipe, ["--resume", "--init-from", str(folder)])
    assert "is another model, or has changed. Leave it out" in capsys.readouterr().err
    stage = begun.run_dir / "pretrain"
    stage.mkdir()
    (stage / "finished.json").write_text("{}")
    shutil.rmtree(folder)
    start(begun, resume=True)


def test_a_resumed_run_is_not_told_how_its_model_differs_from_the_recipes(folder, tmp_path, capsys):
    recipe = tiny_recipe(tmp_path).changed(data={"verified_sample": 0})
    start(with_settings(recipe, ["pretrain.peak_lr=0.003"], InitialModel.read(folder)))
    capsys.readouterr()
    options = Namespace(output_dir=None, resume=True, init_from=None, changes=[], data_dir=None, sources=[])
    resumed = with_data(recipe, options)
    told = capsys.readouterr().out
    assert "pretrain.peak_lr: 0.003 in the run" in told and "model." not in told and "--init-from" not in told
    assert resumed.init_from is not None and resumed.init_from.folder == folder


@pytest.mark.slow
def test_a_run_from_a_saved_model_runs_dry_with_its_own_tokenizer(saved, tmp_path, capsys, no_clean_process):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    command(tiny_recipe(tmp_path), ["--init-from", str(saved), "--dry-run"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "The dry run finished" in shown and "started from" in shown
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_saved_model_learns_tasks_in_a_dry_run(tmp_path, capsys, monkeypatch, no_clean_process):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    config = tiny_config(mhc_num_streams=1, vocab_size=320, activation_bits=8, num_loops=3)
    LoopLMForCausalLM(config).save_pretrained(tmp_path / "saved")
    tokenizer = train_tokenizer([path.read_text() for path in BUILTIN.glob("*.rs")], 320, 32)
    tokenizer.save_pretrained(tmp_path / "saved")
    options = ["--init-from", str(tmp_path / "saved"), "--set", "model.num_loops=2", "--dry-run"]
    command(replace(finetune(), output_dir=tmp_path / "runs"), options)
    shown = " ".join(capsys.readouterr().out.split())
    assert "stage sft" in shown.lower() and "The dry run finished" in shown
    assert not (tmp_path / "runs").exists()
