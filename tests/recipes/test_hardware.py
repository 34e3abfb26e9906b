"""The machine of a run: what it can do is used, what it cannot is said, and neither changes what is trained."""

import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest
import torch
from safetensors.torch import load_file

from recipes.config_a import config_a
from recipes.config_b import config_b
from recipes.config_c import config_c
from recipes.pipeline.file_names import PREPARED
from recipes.pipeline.folder import (
    NEXT,
    SETTINGS_FILE,
    Kept,
    keep_settings,
    kept_settings,
    must_prepare,
    next_folder,
    remembered,
)
from recipes.pipeline.hardware import num_processors, trainer_arguments, use_gpu, use_precision, use_processors
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.pretrain import pretrain
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.pretrain import Pretrain
from recipes.pipeline.stages.stage import FINISHED
from tests.helpers.paths import BUILTIN
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.callbacks import MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.tokenizer import train_tokenizer
from trainers.pretraining import pretraining_arguments

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.fixture
def processors() -> Iterator[set[int]]:
    """Leave the threads and processors of this process as they were."""
    threads, allowed = torch.get_num_threads(), os.sched_getaffinity(0)
    yield allowed
    torch.set_num_threads(threads)
    os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="module")
def prepared():
    texts = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]
    tokenizer = train_tokenizer(texts, 300, 32)
    training, validation = (pack_blocks(part, tokenizer, 32) for part in (texts[1:], texts[:1]))
    return Prepared(tokenizer, {"pretrain": training}, validation)


def kept(recipe: Recipe) -> Kept:
    """Settings in the folder of a run."""
    found = kept_settings(recipe)
    assert found is not None
    return found


class Interrupt(RuntimeError):
    """Stands for a kill between two checkpoints."""


@pytest.mark.slow
def test_processes_that_load_data_change_neither_the_losses_nor_a_resumed_run(tmp_path, prepared, monkeypatch):
    def train(name, workers):
        hardware = HardwareSettings(dataloader_num_workers=workers, dataloader_prefetch_factor=3)
        recipe = replace(tiny_recipe(tmp_path), name=name, hardware=hardware)
        stage = recipe.stages[0]
        assert isinstance(stage, Pretrain)
        pretrain(recipe, stage, prepared, None)
        lines = map(json.loads, (tmp_path / name / "pretrain" / "metrics.jsonl").open())
        losses = [(line["step"], line["loss"], line["grad_norm"]) for line in lines if "loss" in line]
        return losses, load_file(tmp_path / name / "pretrain" / "model" / "model.safetensors")

    original = MetricsFileCallback.on_log

    def interrupt(self, args, state, control, **kwargs):
        original(self, args, state, control, **kwargs)
        if state.global_step == 5:
            raise Interrupt

    losses, weights = train("alone", 0)
    monkeypatch.setattr(MetricsFileCallback, "on_log", interrupt)
    with pytest.raises(Interrupt):
        train("helped", 2)
    monkeypatch.undo()
    found, resumed = train("helped", 2)
    assert len(losses) == 6 and found == losses
    assert all(torch.equal(resumed[name], value) for name, value in weights.items())


@needs_no_gpu
def test_what_a_small_machine_lacks_of_the_large_recipes_is_one_sentence_each(processors):
    few, *_ = processors
    os.sched_setaffinity(0, {few})
    for recipe, number in ((config_a(), 5), (config_b(), 5), (config_c(), 6)):
        lacks = [*use_processors(recipe.hardware), *use_gpu(recipe.hardware)]
        # Where the machine is fast in bf16 or used such threads before there is one less or more.
        named = [each for each in lacks if "mixed_precision" not in each and "stays" not in each]
        assert len(named) == len(set(named)) >= number, named
        assert all("\n" not in each and each.startswith("hardware") for each in lacks)
        assert torch.get_num_threads() == 1
        workers = recipe.hardware.dataloader_num_workers
        assert f"hardware.dataloader_num_workers={workers} is reduced to 1, the number of processors" in lacks
        assert trainer_arguments(recipe.hardware)["dataloader_num_workers"] == 1
    assert os.sched_getaffinity(0) == {few}, "a recipe does not take processors that the run was not given"


def test_a_run_that_asks_for_nothing_is_told_nothing(processors):
    assert use_processors(HardwareSettings()) + use_gpu(HardwareSettings()) == []


def test_threads_are_divided_among_the_processes_of_a_machine(processors, monkeypatch):
    hardware = HardwareSettings(cpu_threads=num_processors(), dataloader_num_workers=10**6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(num_processors()))
    use_processors(hardware)
    assert torch.get_num_threads() == 1
    assert trainer_arguments(hardware)["dataloader_num_workers"] == 1


def test_processors_are_those_that_are_named(processors):
    last = max(processors)
    assert use_processors(HardwareSettings(cpu_affinity=f"{last}")) == []
    assert os.sched_getaffinity(0) == {last}
    (lack,) = use_processors(HardwareSettings(cpu_affinity="99998-99999"))
    assert "the run has none of these processors" in lack and os.sched_getaffinity(0) == {last}


@pytest.mark.parametrize("policy, is_interleaved", [("interleave:0-1", True), ("default", False)])
def test_memory_that_is_not_interleaved_is_told_with_the_command_that_interleaves_it(
    processors, tmp_path, monkeypatch, policy, is_interleaved
):
    for name in ("node0", "node1", "has_cpu"):
        (tmp_path / name).mkdir()
    (tmp_path / "numa_maps").write_text(f"00400000 {policy} file=/usr/bin/python3 mapped=4 N0=4\n")
    monkeypatch.setattr("recipes.pipeline.hardware.NODES", tmp_path)
    monkeypatch.setattr("recipes.pipeline.hardware.MEMORY_POLICY", tmp_path / "numa_maps")
    assert use_processors(HardwareSettings(numa_nodes=2, numa="bind")) == []
    lacks = use_processors(HardwareSettings(numa_nodes=4, numa="interleave"))
    assert lacks[0] == "hardware.numa_nodes=4, but the machine has 2 NUMA nodes (a setting of its BIOS)"
    command = f"`numactl --interleave=all {shlex.join(psutil.Process().cmdline())}`"
    assert len(lacks) == (1 if is_interleaved else 2) and all(command in each for each in lacks[1:])


@pytest.mark.parametrize("affinity", ["", "all", "3-1", "0-", "1,,2", "0-999999999"])
def test_malformed_processors_are_refused_by_name(affinity):
    with pytest.raises(ValueError, match="hardware.cpu_affinity must be numbers of processors such as '0-111'"):
        HardwareSettings(cpu_affinity=affinity)


def test_two_choices_of_the_processors_are_refused():
    with pytest.raises(ValueError, match="hardware.cpu_affinity must be None with numa=bind"):
        HardwareSettings(cpu_affinity="0", numa="bind")


def test_the_precision_of_the_recipe_holds_against_the_launchers(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    for wanted, is_fast, found in (("no", True, "no"), ("bf16", False, "no"), ("bf16", True, "bf16")):
        monkeypatch.setattr("recipes.pipeline.hardware.has_fast_bf16", lambda is_fast=is_fast: is_fast)
        hardware = HardwareSettings(mixed_precision=wanted)
        arguments = pretraining_arguments(output_dir=str(tmp_path), **trainer_arguments(hardware))
        use_precision(arguments, hardware)
        assert (arguments.bf16, arguments.mixed_precision) == (found == "bf16", found)


def test_a_continued_run_may_use_its_machine_otherwise_but_not_train_otherwise(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path).changed(hardware={"dataloader_num_workers": 1})
    (recipe.run_dir / PREPARED).mkdir(parents=True)
    (recipe.run_dir / PREPARED / FINISHED).write_text("{}")
    keep_settings(recipe, recipe.run_dir)
    restored = remembered(tiny_recipe(tmp_path), kept(recipe))
    assert restored.hardware == recipe.hardware
    assert not must_prepare(restored.changed(hardware={"dataloader_num_workers": 2}), resume=True, overwrite=False)
    with pytest.raises(SystemExit):
        command(recipe, ["--resume", "--set", "hardware.mixed_precision=no", "--set", "hardware.cpu_threads=1"])
    shown = capsys.readouterr().err
    assert "hardware.mixed_precision: None in the run, 'no' now" in shown and "cpu_threads" not in shown


def test_a_run_of_before_there_were_hardware_settings_has_those_that_say_nothing(tmp_path):
    recipe = tiny_recipe(tmp_path).changed(hardware={"cpu_threads": 1, "mixed_precision": "no"})
    recipe.run_dir.mkdir()
    keep_settings(recipe, recipe.run_dir)
    path = recipe.run_dir / SETTINGS_FILE
    sections = json.loads(path.read_text())
    del sections["hardware"]
    path.write_text(json.dumps(sections))
    assert remembered(recipe, kept(recipe)).hardware == HardwareSettings()


def test_other_hardware_does_not_begin_an_interrupted_preparation_again(tmp_path):
    recipe = tiny_recipe(tmp_path)
    (next_folder(recipe) / "half").write_text("prepared")
    other = recipe.changed(hardware={"preparation_workers": 1})
    assert (next_folder(other) / "half").exists()
    assert kept(recipe)["hardware"]["preparation_workers"] == 1
    next_folder(other.changed(data={"fim_rate": 0.5}))
    assert not (recipe.run_dir / NEXT / "half").exists()
