"""The pipeline of every recipe: from Rust text to a model that loads elsewhere, resumable, and careful with files."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from evaluation.results import Results
from evaluation.training_curves import read_metrics
from model_cards.gguf.file import read_gguf
from modeling_nanochat import LoopLMConfig
from recipes.debug import debug
from recipes.pipeline.export import export, export_plan
from recipes.pipeline.prepare import Prepared
from recipes.pipeline.pretrain import build_model, pretrain
from recipes.pipeline.program import find_recipe
from recipes.pipeline.settings import with_settings
from recipes.pipeline.stages.export import Export
from recipes.pipeline.stages.exported import Exported
from recipes.pipeline.stages.maxrl import MaxRL
from tests.helpers.paths import BUILTIN, ROOT
from tests.helpers.tiny_recipe import command, tiny_recipe, with_later
from trainers.callbacks import MetricsFileCallback
from trainers.data.pack import pack_blocks
from trainers.data.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def prepared():
    texts = [path.read_text() for path in sorted(BUILTIN.glob("*.rs"))]
    tokenizer = train_tokenizer(texts, 300, 32)
    training = {"pretrain": pack_blocks(texts[1:], tokenizer, 32)}
    return Prepared(tokenizer, training, pack_blocks(texts[:1], tokenizer, 32))


def test_the_whole_pipeline_leaves_a_model_a_report_and_a_table(tmp_path, capsys, monkeypatch):
    # An untrained model ends no function; long completions would only take longer.
    monkeypatch.setattr("recipes.pipeline.report.EVALUATED_TOKENS", 8)
    recipe = tiny_recipe(tmp_path, eval_steps=6, eval_prompts=2, eval_seconds=0.1)
    model = LoopLMConfig.from_dict(
        recipe.model.to_dict() | {"max_position_embeddings": 1024, "ternary_group_size": 32}
    )
    recipe = replace(recipe, model=model).changed(export={"gguf": "q8_0"})
    command(recipe, [])
    shown = capsys.readouterr().out
    results = json.loads((tmp_path / "tiny" / "report.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny" / "pretrain" / "model", trust_remote_code=True)
    assert results["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert results["tokens_seen"] == 6 * 4 * 32 and len(results["held_out_loss"]["pretrain"]) == 3
    assert results["completion"].startswith("fn") and "the model continues:\n\nfn" in shown
    for loss in results["held_out_loss"]["pretrain"]:
        assert f"{loss:.4f}" in shown
    assert f"{results['parameters']:,}" in shown
    exported = read_gguf(tmp_path / "tiny" / "export" / "tiny-q8_0.gguf")
    assert results["export"]["file_sizes"]["tiny-q8_0.gguf"] == exported.nbytes
    assert f"{results['export']['agreement']['kl']:.1e}" in shown and "13 of 13 texts" in shown
    packed = AutoModelForCausalLM.from_pretrained(tmp_path / "tiny" / "export" / "packed", trust_remote_code=True)
    tokens = torch.arange(3, 20)[None]
    assert packed.config.weight_format == "packed" and torch.equal(packed(tokens).logits, model(tokens).logits)
    rate = Results.read(tmp_path / "tiny" / "evaluation" / "report" / "compilation_success_rate.json")
    assert rate.num_problems == 2 and rate.metrics["compiles@1"].value == results["compile_rate"]
    assert "completions that compile, of 2" in shown
    written = len(list(BUILTIN.glob("*.rs")))
    assert results["verified_sample"]["counts"] == {"valid": written}
    assert f"rustc on {written} of {written} texts" in shown and f"{written} valid" in shown
    logs, evaluations = read_metrics(tmp_path / "tiny" / "pretrain")
    assert [log["step"] for log in logs] == [1, 2, 3, 4, 5, 6]
    assert [each["step"] for each in evaluations] == [6] and "eval_loop_3_loss" in evaluations[0]
    assert evaluations[0]["eval_compiles_of"] == 8

    with pytest.raises(SystemExit):
        command(recipe, [])
    assert "already holds a run: continue it with --resume, delete it with --overwrite" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command(recipe, ["--resume", "--seed", "5"])
    assert "training.seed: 0 in the run, 5 now" in capsys.readouterr().err


class Interrupt(RuntimeError):
    """Stands for a kill between two checkpoints."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, dict(optimizer="muon_lion", checkpointing="loop", muon_lr=0.01), dict(repeated_tokens=0.5)]
)
def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path, prepared, monkeypatch, settings):
    def train(name):
        recipe = replace(tiny_recipe(tmp_path, **settings), name=name)
        found = pretrain(recipe, recipe.stages[0], prepared, None)
        return found, load_file(tmp_path / name / "pretrain" / "model" / "model.safetensors")

    _, undisturbed = train("undisturbed")

    original = MetricsFileCallback.on_log

    def interrupt(self, args, state, control, **kwargs):
        original(self, args, state, control, **kwargs)
        if state.global_step == 5:
            raise Interrupt

    monkeypatch.setattr(MetricsFileCallback, "on_log", interrupt)
    with pytest.raises(Interrupt):
        train("interrupted")
    monkeypatch.undo()
    # A checkpoint that was not written to its end must not be taken for one.
    unfinished = tmp_path / "interrupted" / "pretrain" / "checkpoint-5"
    unfinished.mkdir()
    (unfinished / "trainer_state.json").write_text('{"global_st')

    found, resumed = train("interrupted")
    for name, value in undisturbed.items():
        assert torch.equal(resumed[name], value), name

    def logged(folder):
        lines = map(json.loads, (tmp_path / folder / "pretrain" / "metrics.jsonl").open())
        return [(line["step"], line["loss"]) for line in lines if "loss" in line]

    assert logged("interrupted") == logged("undisturbed")
    assert train("interrupted")[0] == found, "a finished run is not trained again"


def test_the_debug_recipe_builds_its_model_for_any_tokenizer_of_its_vocabulary(prepared):
    model = build_model(debug(), prepared.tokenizer)
    assert model.config.vocab_size == debug().data.vocab_size
    assert model.generation_config.eos_token_id == model.config.eos_token_id == prepared.tokenizer.eos_token_id


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(save_steps=3, logging_steps=2), "training.save_steps must be a multiple of logging_steps=2"),
        (dict(eval_steps=3), "training.eval_steps must be a multiple of save_steps=2"),
        (dict(seed=2**32), "training.seed must be below 4"),
        (dict(total_steps=10**10), "pretrain.total_steps must be at most 1e"),
        (dict(peak_lr=0.0), "pretrain.peak_lr must be above 0, got 0.0"),
        (dict(peak_lr=1.0, min_lr=1.0), "pretrain.peak_lr must be above min_lr, got 1.0"),
        (dict(peak_lr=float("nan")), "pretrain.peak_lr must be finite, got nan"),
        (dict(warmup_steps=5), "pretrain.warmup_steps must be at most total_steps=6 together with decay_steps=2"),
        (dict(grad_clip=0), "training.grad_clip must be above 0, got 0"),
        (dict(adam_beta2=1), "training.adam_beta2 must be below 1, got 1"),
    ],
)
def test_impossible_training_settings_are_refused_by_name(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_recipe(tmp_path, **settings)


def test_impossible_data_settings_are_refused_by_name(tmp_path):
    recipe = tiny_recipe(tmp_path)
    for changes, message in (
        (dict(seq_len=1), "data.seq_len must be at least 2, got 1"),
        (dict(vocab_size=200), "data.vocab_size must be at least 259, got 200"),
        (dict(validation_fraction=0.5), "data.validation_fraction must be below 0.5, got 0.5"),
        (dict(max_validation_blocks=0), "data.max_validation_blocks must be at least 1, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(recipe.data, **changes)
    with pytest.raises(ValueError, match="data.seq_len must be at most model.max_position_embeddings=256, got 257"):
        replace(recipe, data=replace(recipe.data, seq_len=257))


@pytest.mark.parametrize(
    "name, value, message",
    [
        (
            "weight_format",
            "packed",
            "model.weight_format must be latent: packed weights cannot be trained, got 'packed'",
        ),
        ("exit_at_loop", "3", "model.exit_at_loop must be at most longer.num_loops=2, got 3"),
        ("exit_threshold", "0.8", "model.exit_threshold must be at least 1 for stage maxrl, which samples .* got 0.8"),
        ("kv_reuse", "last", "model.kv_reuse must be none for stage maxrl, which samples completions .* got 'last'"),
    ],
)
def test_models_that_a_stage_cannot_train_are_refused_before_the_first(tmp_path, name, value, message):
    recipe = tiny_recipe(tmp_path)
    longer = replace(recipe.stages[0], name="longer", num_loops=2)
    maxrl = MaxRL(total_steps=1, prompts_per_step=2, max_completion_length=8)
    recipe = with_later(recipe.changed(data={"tasks": 4}), longer, maxrl)
    with pytest.raises(ValueError, match=message):
        with_settings(recipe, [f"model.{name}={value}"])
    if name in ("exit_threshold", "kv_reuse"):
        with_settings(with_later(recipe), [f"model.{name}={value}"])


def test_other_stages_and_settings_of_theirs_are_changed_together(tmp_path):
    recipe = tiny_recipe(tmp_path)
    first, gate, export = recipe.stages
    changed = recipe.changed(pretrain={"total_steps": 9}, gate={"total_steps": 3}, stages=(first, gate))
    assert [(stage.name, stage.total_steps) for stage in changed.stages] == [("pretrain", 9), ("gate", 3)]
    with pytest.raises(ValueError, match="no stage export, only pretrain, gate"):
        recipe.changed(export={"gguf": None}, stages=(first, gate))
    with pytest.raises(ValueError, match="of different names"):
        recipe.changed(pretrain={"total_steps": 9}, stages=(first, first, export))


def test_a_stretched_schedule_keeps_its_proportions(tmp_path):
    recipe = tiny_recipe(tmp_path, total_steps=100, warmup_steps=10, decay_steps=30, save_steps=10)
    longer = recipe.with_total_steps(1000).stages[0]
    assert (longer.total_steps, longer.warmup_steps, longer.decay_steps) == (1000, 100, 300)
    with pytest.raises(ValueError, match="must be such that the first one with steps"):
        recipe.with_total_steps(0)


def test_a_batch_is_divided_among_the_processes_or_refused(tmp_path):
    recipe = tiny_recipe(tmp_path, batch_size=12, micro_batch_size=5)
    stage = recipe.stages[0]
    assert [stage.micro_batch_size(recipe, processes) for processes in (1, 2, 3, 4, 6)] == [4, 3, 4, 3, 2]
    longer = replace(stage, seq_len=64)
    assert [longer.micro_batch_size(recipe, processes) for processes in (1, 2, 3)] == [2, 2, 2]
    assert replace(stage, seq_len=3200).micro_batch_size(recipe, 1) == 1
    with pytest.raises(
        ValueError,
        match=r"multiple of the number of processes, 5 \(--set pretrain.batch_size=10\), got 12",
    ):
        stage.micro_batch_size(recipe, 5)


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path / "file"), [])
    assert "Not a directory" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_train_to_the_weights_of_one(tmp_path):
    states = []
    for processes in (1, 2):
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
        arguments = ["--data-dir", BUILTIN, "--output-dir", tmp_path / str(processes), "--total-steps", "4"]
        arguments += ["--set", "tasks.total_steps=0", "--set", "maxrl.total_steps=0"]
        finished = subprocess.run(
            [*torchrun, ROOT / "recipes" / "debug.py", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout.count("tokens to train on") == 1
        run_dir = tmp_path / str(processes) / "debug"
        assert json.loads((run_dir / "report.json").read_text())["tokens_seen"] == 4 * 2 * 512
        states.append(AutoModelForCausalLM.from_pretrained(run_dir / "pretrain" / "model").state_dict())
    for name, value in states[0].items():
        # Adam moves a weight whose gradient is all rounding by a whole step either way, so single ones may differ.
        assert (states[1][name] - value).abs().mean() < 1e-5, name


def test_resume_without_a_run_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(tiny_recipe(tmp_path), ["--resume"])
    assert "--resume needs a run to continue, got none" in capsys.readouterr().err


def test_a_recipe_started_without_the_project_installed_says_what_to_do(tmp_path):
    script = ROOT / "recipes" / "debug.py"
    finished = subprocess.run([sys.executable, "-S", "-E", script], capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 1
    assert finished.stderr == "nanochat-ternary is not installed: run `make install`, or `pip install -e .`\n"


def test_an_export_that_was_killed_is_made_anew_and_tells_its_stage(tmp_path, prepared):
    recipe = tiny_recipe(tmp_path)
    config = LoopLMConfig.from_dict(recipe.model.to_dict() | {"max_position_embeddings": 64, "ternary_group_size": 32})
    recipe = replace(recipe, model=config).changed(export={"gguf": "f32"})
    folder = recipe.run_dir / "tasks" / "model"
    build_model(recipe, prepared.tokenizer).save_pretrained(folder)
    left = recipe.run_dir / "export" / "packed"
    left.mkdir(parents=True)
    (left / "model.safetensors.index.json").write_text("{}")
    half = ("packed/model-00002-of-00003.safetensors", "tiny-q4_0.gguf", "tiny-f32.gguf.0a1b.partial")
    for name in (*half, "mine.txt"):
        (left.parent / name).write_bytes(b"half")
    exported = export(recipe, recipe.stage("export"), folder, prepared.tokenizer)
    assert exported.agreement["problems"] == []
    assert [path.name for path in left.glob("*.safetensors*")] == ["model.safetensors"]
    found = sorted(path.name for path in left.parent.iterdir())
    assert found == ["finished.json", "mine.txt", "packed", "tiny-f32.gguf"]
    assert Exported.read(left.parent / "finished.json").stage == "tasks"


@pytest.mark.parametrize(
    "settings, said",
    [
        (dict(ternary_group_size=32), "--set export.gguf=q4_0"),
        (dict(ternary_group_size=16), "--set export.gguf=f16"),
        (dict(ternary=False), "--set export.gguf=f16"),
        (dict(sandwich_norm=True), "llama.cpp cannot run this model: LoopLMConfig.sandwich_norm must be False"),
    ],
)
def test_a_run_says_at_the_start_what_llama_cpp_will_make_of_it(tmp_path, settings, said):
    recipe = tiny_recipe(tmp_path)
    model = LoopLMConfig.from_dict(recipe.model.to_dict() | settings)
    assert said in export_plan(model, Export())


@pytest.mark.parametrize(
    "streams, said, found",
    [
        (
            2,
            "packed weights alone. There is no GGUF file, because llama.cpp cannot run this model:",
            ["packed weights"],
        ),
        (1, "a GGUF file for llama.cpp, its matrices in q4_0", ["packed weights", "tiny-q4_0.gguf"]),
    ],
)
def test_the_automatic_type_of_gguf_packs_streams_and_says_why(tmp_path, prepared, streams, said, found):
    recipe = tiny_recipe(tmp_path)
    changes = {"max_position_embeddings": 64, "ternary_group_size": 32, "mhc_num_streams": streams}
    recipe = replace(recipe, model=LoopLMConfig.from_dict(recipe.model.to_dict() | changes))
    stage = Export(gguf="auto")
    stage.check_machine(recipe, 1)
    assert said in stage.plan(recipe)
    folder = recipe.run_dir / "pretrain" / "model"
    build_model(recipe, prepared.tokenizer).save_pretrained(folder)
    exported = export(recipe, stage, folder, prepared.tokenizer)
    assert list(exported.file_sizes) == found
    rows = dict(exported.rows(stage))
    assert ("--set model.mhc_num_streams=1" in rows.get("not exported", "")) == (streams > 1)


def test_the_large_recipes_ask_for_gguf_and_get_it_with_one_stream():
    for name in ("config_a", "config_b", "config_c", "nano"):
        recipe = with_settings(find_recipe(name)(), ["model.mhc_num_streams=1"])
        assert "its matrices in q4_0" in recipe.stage("export").plan(recipe), name


def test_an_export_that_cannot_be_made_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    recipe = tiny_recipe(tmp_path)
    streams = LoopLMConfig.from_dict(recipe.model.to_dict() | {"mhc_num_streams": 2})
    for changed, message in (
        (recipe.changed(export={"gguf": "tq2_0"}), "hidden_size must be a multiple of 256, got 32"),
        (replace(recipe, model=streams).changed(export={"gguf": "f32"}), "mhc_num_streams must be 1, got 2"),
    ):
        with pytest.raises(SystemExit):
            command(changed, [])
        assert message in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(SystemExit):
        command(recipe.changed(export={"gguf": "f32"}), [])
    error = capsys.readouterr().err
    assert 'export.gguf=f32 needs xllamacpp: pip install -e ".[gguf]"' in error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="export.gguf must be one of f32, .*, or None, got 'tq3_0'"):
        Export(gguf="tq3_0")


def test_a_model_that_cannot_be_exported_is_said_so_and_costs_nothing_else(tmp_path, prepared):
    recipe = tiny_recipe(tmp_path).changed(export={"gguf": "f32"})
    model = build_model(recipe, prepared.tokenizer)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "tiny" / "pretrain" / "model")
    exported = export(recipe, recipe.stage("export"), tmp_path / "tiny" / "pretrain" / "model", prepared.tokenizer)
    assert "lm_head.weight must be finite" in exported.problem and exported.agreement is None
    assert sorted(path.name for path in (tmp_path / "tiny" / "export").iterdir()) == ["finished.json", "packed"]
