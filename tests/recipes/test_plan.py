"""The plan of a recipe: counts, FLOPs, speed, micro-batches, and the page."""

import re
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from recipes.pipeline.plan.__main__ import RECIPES
from recipes.pipeline.plan.activations import MODES
from recipes.pipeline.plan.counts import count_parameters
from recipes.pipeline.plan.fit import step_of
from recipes.pipeline.plan.flops import flops_per_token
from recipes.pipeline.plan.gpus import MEMORY_GIB, find_gpu
from recipes.pipeline.plan.memory import GIB, peak_memory
from recipes.pipeline.plan.page import page
from recipes.pipeline.plan.parallel import parallelisms
from recipes.pipeline.plan.plan import make_plan
from recipes.pipeline.plan.tables import needed, size
from recipes.pipeline.plan.targets import verdicts
from recipes.pipeline.program import find_recipe, recipe_names
from recipes.pipeline.settings import parameters, with_settings
from recipes.pipeline.stages.text import TextStage
from recipes.pipeline.start import prepare_only
from tests.helpers.paths import ROOT
from tests.helpers.tiny import tiny_config
from tests.helpers.tiny_recipe import command, tiny_recipe
from trainers.hardware import PEAK_FLOPS
from trainers.training_statistics import training_flops_per_token

OUTSIDE = dict(num_prelude_layers=1, num_coda_layers=2, loop_update="scaled")
LAST = OUTSIDE | dict(loop_loss="final")


def first_stage(recipe) -> TextStage:
    stage = recipe.stage("pretrain")
    assert isinstance(stage, TextStage)
    return stage


def planned(recipe, capsys, *options) -> str:
    command(recipe, ["--plan", *options])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_plan_whose_counts_are_the_models(name, capsys):
    recipe = find_recipe(name)()
    total, ternary = parameters(recipe)
    assert f"{total:,} parameters, {ternary:,} of them ternary" in planned(recipe, capsys)


def test_a_token_passes_through_the_core_once_in_every_loop():
    model = LoopLMForCausalLM(config := tiny_config(num_loops=3, **OUTSIDE))
    core, blocks = (
        sum(parameter.numel() for layer in layers for parameter in layer.parameters())
        for layers in (model.model.layers[1:3], model.model.layers)
    )
    counts = count_parameters(config)
    assert counts.blocks == blocks == 2.5 * core
    assert counts.unique == sum(parameter.numel() for parameter in model.parameters())
    assert counts.applied == counts.unique + 2 * core


def test_the_size_of_packed_weights_is_that_of_the_file(tmp_path):
    model = LoopLMForCausalLM(config := tiny_config(hidden_size=128, intermediate_size=256, vocab_size=400))
    model.pack().save_pretrained(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    assert count_parameters(config).packed_bytes == pytest.approx(file.stat().st_size, rel=0.05)


@pytest.mark.parametrize("checkpointing", MODES)
@pytest.mark.parametrize(
    "streams, shape", [(1, {}), pytest.param(4, {}, marks=pytest.mark.slow), (1, OUTSIDE), (1, LAST)]
)
def test_flops_are_those_that_pytorch_counts(streams, shape, checkpointing):
    config = LoopLMConfig(
        vocab_size=384,
        hidden_size=256,
        intermediate_size=640,
        num_shared_layers=3,
        num_loops=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        mhc_num_streams=streams,
        **shape,
    )
    config._attn_implementation = "eager"
    model = LoopLMForCausalLM(config).train()
    if checkpointing != "none":
        options = {"use_reentrant": False, "granularity": checkpointing}
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
    tokens = torch.randint(3, 384, (1, 64))
    with FlopCounterMode(display=False) as counter, torch.autocast("cpu", torch.bfloat16):
        model(tokens, labels=tokens, use_cache=False).loss.backward()
    # Written as single products, attention is computed over the whole square, twice the causal half.
    found = flops_per_token(config, 2 * 64, checkpointing, compiled=False).executed
    assert found == pytest.approx(counter.get_total_flops() / 64, rel=0.02)


def test_flops_of_mfu_are_those_that_the_trainer_logs():
    config = tiny_config()
    assert flops_per_token(config, 64, "loop", True).model == training_flops_per_token(config, 64)


def test_flops_without_streams_and_recomputation_are_those_of_mfu():
    flops = flops_per_token(find_recipe("nano")().model, 1024, "none", compiled=True)
    assert flops.executed == pytest.approx(flops.model, rel=1e-3)


def test_every_gpu_with_a_peak_has_a_memory():
    assert MEMORY_GIB.keys() == PEAK_FLOPS.keys()


def test_an_unknown_gpu_ends_with_one_line_that_names_the_known_ones(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path), ["--plan", "--gpu", "GeForce 2"])
    error = capsys.readouterr().err
    assert "--gpu must be one of" in error and "RTX 4090" in error and "'GeForce 2'" in error


def test_gpus_without_plan_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path), ["--gpu", "H100"])
    assert "--gpu and --num-gpus need --plan" in capsys.readouterr().err


def test_gpus_that_cannot_share_the_batch_are_refused(tmp_path):
    with pytest.raises(ValueError, match="multiple of the number of processes, 3"):
        make_plan(tiny_recipe(tmp_path), "H100", 3)


def test_a_plan_with_a_stage_ends_with_it(tmp_path, capsys):
    command(find_recipe("config_a")(), ["--plan", "--stage", "pretrain"])
    text = capsys.readouterr().out
    assert "stage pretrain at its peak" in text and "long_context" not in text


def test_no_gpu_and_an_unknown_stage_are_refused_by_their_options(tmp_path, capsys):
    for options, message in (
        (["--num-gpus", "0"], "--num-gpus must be at least 1, got 0"),
        (["--stage", "x"], "no stage x"),
    ):
        with pytest.raises(SystemExit):
            command(tiny_recipe(tmp_path), ["--plan", *options])
        assert message in capsys.readouterr().err


def test_a_plan_neither_makes_a_folder_nor_needs_one(tmp_path, capsys):
    text = planned(tiny_recipe(tmp_path / "runs"), capsys)
    assert "No data is prepared" in text
    assert not (tmp_path / "runs").exists()


def test_a_plan_says_how_often_prepared_text_is_read(tmp_path, capsys):
    recipe = tiny_recipe(tmp_path)
    prepare_only(recipe)
    capsys.readouterr()
    text = planned(recipe, capsys)
    assert re.search(r"Stage pretrain has [\d,]+ prepared tokens. Stage pretrain reads, in epochs: all \d", text)
    other = planned(with_settings(recipe, ["training.micro_batch_size=4"]), capsys)
    assert "prepared for other settings: training.micro_batch_size" in other


def test_the_largest_micro_batch_fits_and_the_next_does_not():
    recipe = find_recipe("config_a")()
    plan = make_plan(recipe)
    memory, limit = plan.memories[0], find_gpu("RTX PRO 6000").memory * recipe.hardware.gpu_memory_fraction
    assert plan.limit == int(limit) < plan.gpu.memory
    step = step_of(recipe, first_stage(recipe), 1, None)
    for fit in memory.fits:
        sizes = {
            rows: peak_memory(replace(step, checkpointing=fit.checkpointing, tokens=rows * 8192)).total
            for rows in (1, 2, 4, 8, 16, 32)
        }
        assert fit.largest == max((rows for rows, size in sizes.items() if size <= limit), default=0)


def test_the_cheapest_recomputation_is_the_first_with_which_a_row_fits():
    memory = make_plan(find_recipe("config_b")()).memories[0]
    assert [fit.largest > 0 for fit in memory.fits] == sorted(fit.largest > 0 for fit in memory.fits)
    assert memory.cheapest == next(fit for fit in memory.fits if fit.largest)


@pytest.mark.parametrize("name", ["config_a", "config_b", "config_c"])
def test_auto_trains_every_stage_within_the_recipes_gpu_by_the_cheapest_recomputation(name):
    recipe = find_recipe(name)()
    assert recipe.training.checkpointing == "auto"
    for memory in make_plan(recipe).memories:
        assert memory.memory.total <= memory.limit and memory.cheapest is not None
        assert memory.checkpointing == memory.cheapest.checkpointing
        assert 1 <= memory.micro_batch <= memory.rows


def test_auto_without_a_gpu_recomputes_nothing_and_beyond_one_takes_what_needs_least():
    recipe = find_recipe("config_a")()
    stage = first_stage(recipe)
    assert step_of(recipe, stage, 1, None).checkpointing == "none"
    assert step_of(recipe, stage, 1, GIB).checkpointing == "group"
    assert step_of(recipe, stage, 1, GIB).tokens == stage.seq_len


def test_a_stage_that_trains_the_gate_alone_recomputes_nothing():
    recipe = find_recipe("config_b")().changed(gate={"total_steps": 2}, training={"checkpointing": "loop"})
    gate = recipe.stage("gate")
    assert isinstance(gate, TextStage) and step_of(recipe, gate, 1, None).checkpointing == "none"


def test_shared_weights_need_less_memory_than_copies():
    recipe = find_recipe("config_b")()
    plan = make_plan(recipe)
    copies, shared = parallelisms(recipe, first_stage(recipe), find_gpu("RTX 4090"), 2, plan.limit)
    assert shared.memory.total < copies.memory.total
    # Each of two GPUs sends half of the gradients twice, in fp32.
    assert copies.bytes_per_step == 4 * count_parameters(recipe.model).unique


def test_a_speed_above_the_peak_is_not_reachable():
    findings = dict(verdicts(make_plan(find_recipe("config_c")())))
    assert "needs 104% of the card's peak" in findings["about 6,000 tokens/s"]
    assert "not reachable" in findings["about 6,000 tokens/s"]
    assert "0.96 B parameters" in findings["5B in the model's name"]


def test_a_recipe_of_the_users_has_no_targets(tmp_path):
    assert list(verdicts(make_plan(tiny_recipe(tmp_path), "H100"))) == []


def test_a_plan_says_that_its_gpu_was_assumed_and_which_stages_it_leaves_out(monkeypatch):
    for module in ("gpus", "plan"):
        monkeypatch.setattr(f"recipes.pipeline.plan.{module}.local_gpu", lambda: None)
    laptop = find_recipe("laptop")()
    assert "no GPU whose speed is known, so that one was assumed" in size(make_plan(laptop))
    assert "assumed" not in size(make_plan(laptop, "H100"))
    assert needed(make_plan(laptop)).endswith(
        " M tokens, repetitions included. Time and memory of maxrl are not planned."
    )


def test_the_page_is_what_the_code_writes_now():
    assert (ROOT / "docs" / "plan.md").read_text(encoding="utf-8") == page(RECIPES), "python -m recipes.pipeline.plan"
