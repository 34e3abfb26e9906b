"""What is refused before any work, dry runs, and recipes under the launcher."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from recipes.__main__ import all_recipes
from recipes.pipeline import start as beginning
from recipes.pipeline.stages.text import TextStage
from tests.helpers.paths import ROOT
from tests.helpers.tiny_recipe import command, tiny_recipe

FSDP, TENSOR_PARALLEL = {"ACCELERATE_USE_FSDP": "true"}, {"PARALLELISM_CONFIG_TP_SIZE": "2"}


FSDP_ON_GPU = FSDP | {"GPU": "1"}


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["whole", "dry"])
@pytest.mark.parametrize(
    "name, options, environment, message",
    [
        ("config_b", [], FSDP, "FSDP needs GPUs: without them nothing is sharded"),
        ("config_b", [], TENSOR_PARALLEL, "recipes do not train with tensor parallelism"),
        ("config_b", [], FSDP_ON_GPU, "reinforcement learning needs the whole model in every process, and FSDP"),
        (
            "config_b",
            ["maxrl.total_steps=0", "training.lion_impl=bitsandbytes_8bit"],
            FSDP_ON_GPU,
            "training.lion_impl must be bitsandbytes or torch with FSDP",
        ),
        ("config_b", ["pretrain.batch_size=5"], {"PROCESSES": "2"}, "pretrain.batch_size must be a multiple of"),
        (
            "config_b",
            ["maxrl.prompts_per_step=3", "maxrl.num_generations=3"],
            {"PROCESSES": "4"},
            "maxrl.prompts_per_step must be such that 4 processes share",
        ),
        ("config_b", ["export.gguf=q4_0"], {}, "mhc_num_streams must be 1, got 2"),
        ("nano", ["export.gguf=tq2_0"], {}, "ternary_group_size must be a multiple of 256"),
        ("nano", ["model.exit_threshold=0.5"], {}, "model.exit_threshold must be at least 1 for stage maxrl"),
        ("nano", ["model.weight_format=packed"], {}, "packed weights cannot be trained"),
        ("nano", ["data.tasks=0"], {}, "data.tasks must be at least 32, for maxrl.prompts_per_step=16"),
        ("nano", ["pretrain.total_steps=0"], {}, "the first one with steps trains on text"),
        ("finetune", [], {}, "stage sft continues from a model, and no stage before it builds one"),
    ],
)
def test_what_cannot_work_together_is_refused_before_data_is_prepared(
    tmp_path, capsys, monkeypatch, name, options, environment, message, dry_run
):
    settings = [word for option in options for word in ("--set", option)]
    environment = dict(environment)
    monkeypatch.setattr(beginning, "prepare_folder", lambda *_: pytest.fail("data was prepared"))
    if environment.pop("GPU", None):
        monkeypatch.setattr(beginning, "has_no_accelerator", lambda: False)
    processes = int(environment.pop("PROCESSES", 1))
    monkeypatch.setattr(beginning, "process_state", lambda: SimpleNamespace(num_processes=processes))
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit):
        command(replace(all_recipes()[name], output_dir=tmp_path), [*dry_run, *settings])
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in all_recipes() if name != "project"])
def test_a_dry_run_keeps_mix_ratios_of_lengths_accumulation_streams_and_recomputation(name):
    recipe = all_recipes()[name]
    toy = recipe.toy()
    assert toy.data.mix == recipe.data.mix and toy.model.mhc_num_streams == recipe.model.mhc_num_streams
    assert toy.training.checkpointing == recipe.training.checkpointing and toy.data.limit == 32
    stages = [stage for stage in recipe.active_stages if isinstance(stage, TextStage)]
    shortest = min(recipe.data.seq_len, *(stage.seq_len for stage in stages))
    for stage in stages:
        small = toy.stage(stage.name)
        assert isinstance(small, TextStage)
        assert small.mix == stage.mix and small.seq_len / 32 == min(16, stage.seq_len // shortest)
        whole, little = (
            each.batch_size // each.micro_batch_size(of, 1) for each, of in ((stage, recipe), (small, toy))
        )
        assert (whole > 1) == (little > 1), stage.name


@pytest.mark.parametrize(("name", "processes"), [("config_a", 4), ("debug", 2)])
def test_the_processes_of_a_run_share_the_batches_of_its_dry_run_evenly(name, processes):
    recipe = all_recipes()[name]
    for stage in recipe.toy(processes).active_stages:
        stage.check_machine(recipe.toy(processes), processes)


def test_a_dry_run_gives_real_text_the_shares_of_sources_that_it_lacks_and_reads_few_texts_of_those_named(tmp_path):
    recipe = tiny_recipe(tmp_path).changed(data={"sources": ("crates=vendor",), "limit": 9})
    recipe = recipe.changed(data={"mix": {"std-examples": 1, "text": 1, "tasks": 2, "documentation": 3}})
    toy = recipe.toy()
    assert toy.data.mix == {"text": 4, "documentation": 3}
    assert (toy.data.sources, toy.data.limit) == (("crates=vendor",), 9)


def test_a_dry_run_of_crates_that_are_verified_needs_consent(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    options = ["--dry-run", "--source", f"crates={tmp_path}", "--set", "data.verify=True"]
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path / "runs"), options)
    assert "build scripts" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted((ROOT / "recipes" / "launch").glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_every_launch_file(path):
    config = load_config_from_file(str(path))
    assert config.num_processes == (2 if path.stem.endswith("_2") else 1)
    size = config.parallelism_config.get("parallelism_config_tp_size", 1)
    assert size == (2 if path.stem == "tp_2" else 1)


def launch(*arguments, processes=1, **environment):
    """A recipe as users start it: by accelerate's launcher, which has a traceback of its own for a failed process."""
    command = [Path(sys.executable).with_name("accelerate"), "launch", "--cpu"]
    command += ["--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"]
    command += ["--dynamo_backend", "no", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.mark.slow
def test_a_refusal_under_the_launcher_is_one_line(tmp_path):
    found = launch("recipes/debug.py", "--output-dir", tmp_path, "--set", "training.grad_clip=0")
    assert found.returncode != 0 and "Traceback" not in found.stderr
    assert "debug.py: error: training.grad_clip must be above 0, got 0" in found.stderr.splitlines()[-1]


@pytest.mark.slow
def test_two_processes_refuse_as_one_and_run_dry_in_one_folder(tmp_path):
    recipe = ("recipes/debug.py", "--output-dir", tmp_path)
    (tmp_path / "debug").mkdir()
    (tmp_path / "debug" / "thesis.tex").write_text("years of work")
    found = launch(*recipe, processes=2)
    assert found.returncode != 0 and "Traceback" not in found.stderr
    assert found.stderr.count("holds files that are no run") == 1
    found = launch(*recipe, "--dry-run", "--stage", "tasks", processes=2)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("The dry run finished") == 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_config_b_runs_dry_on_the_processor_in_one_process_and_in_two(tmp_path, processes):
    found = launch("recipes/config_b.py", "--dry-run", processes=processes, HF_ALLOW_CODE_EVAL="1")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("The dry run finished") == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in all_recipes() if name != "finetune"])
def test_every_recipe_runs_dry(name, tmp_path):
    script = ROOT / "recipes" / f"{name}.py"
    finished = subprocess.run(
        [sys.executable, script, "--dry-run"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"HF_ALLOW_CODE_EVAL": "1"},
    )
    assert finished.returncode == 0, finished.stderr
    assert "The dry run finished" in finished.stdout
    assert not list(tmp_path.iterdir())
