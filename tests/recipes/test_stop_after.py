"""`--stop-after`: a run ends at a checkpoint when its time is over, and goes on as if it had not been stopped."""

import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from modeling_nanochat import LoopLMForCausalLM
from recipes.pipeline.run import finish
from recipes.pipeline.start import start
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.pretraining import last_complete_checkpoint
from trainers.stopping import OutOfTime, TimeLimit


def over() -> TimeLimit:
    return TimeLimit(1.0, started=time.monotonic() - 1.0)


def test_a_run_that_is_stopped_at_every_log_ends_with_the_weights_of_one_that_is_not(tmp_path):
    weights = []
    for name, limited in (("whole", False), ("parts", True)):
        recipe = tiny_recipe(tmp_path / name, total_steps=4, warmup_steps=0, decay_steps=0, save_steps=4)
        training = {"max_shard_size": "40KB" if limited else None, "logging_steps": 2}
        recipe = recipe.changed(data={"verified_sample": 0}, training=training)
        stage = recipe.stages[0]
        recipe = replace(recipe, stages=(stage,))
        prepared = start(recipe)
        stops = []
        if limited:
            with pytest.raises(OutOfTime, match="before stage pretrain"):
                finish(replace(recipe, time_limit=over()), prepared)
            with pytest.raises(OutOfTime, match="at step 2 of 4"):
                stage.run(replace(recipe, time_limit=over()), prepared, None)
            stops.append(last_complete_checkpoint(recipe.stage_dir(stage)))
            assert stops[0] is not None and stops[0].name == "checkpoint-2"
            assert not stage.is_finished(recipe)
            assert len(list(stops[0].glob("model-*.safetensors"))) > 1
        stage.run(recipe, prepared, None)
        folder = recipe.stage_dir(stage) / "model"
        merged: dict[str, torch.Tensor] = {}
        for file in folder.glob("*.safetensors"):
            merged |= load_file(file)
        weights.append(merged)
        assert sum(len(load_file(file)) for file in folder.glob("*.safetensors")) == len(merged)
        LoopLMForCausalLM.from_pretrained(folder)
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_a_time_that_cannot_be_kept_is_refused_before_any_work(tmp_path, capsys, seconds):
    with pytest.raises(SystemExit) as ended:
        command(tiny_recipe(tmp_path), [f"--stop-after={seconds}"])
    assert ended.value.code == 2
    assert "--stop-after must be a number of seconds above 0" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("others", [["--plan"], ["--show"], ["--dry-run"], ["--stage", "prepare"]])
def test_a_time_is_refused_where_nothing_is_trained(tmp_path, capsys, others):
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path), ["--stop-after=60", *others])
    assert "--stop-after ends a training: leave it out" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("size", ["14", "0MB", "14 MB", "1.5GB"])
def test_a_shard_size_without_a_unit_is_refused(tmp_path, size):
    with pytest.raises(ValueError, match="training.max_shard_size must be a number with KB, MB or GB"):
        tiny_recipe(tmp_path).changed(training={"max_shard_size": size})
