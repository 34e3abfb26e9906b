"""A saved model loads, generates and resumes training where this project is not installed."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest
import torch

from modeling_nanochat import BitLinear, LoopLMForCausalLM
from modeling_nanochat.ternary_nanochat import quantize_weight
from tests.helpers.paths import HELPERS, ROOT
from tests.helpers.tiny import random_tokens, tiny_model
from trainers.data.tokenizer import train_tokenizer
from trainers.pretraining import LoopLMTrainer, pretraining_arguments

MODEL_FILES = {path.name for path in (ROOT / "modeling_nanochat").glob("*_nanochat.py")}
SETTINGS = dict(
    max_steps=4,
    per_device_train_batch_size=2,
    learning_rate=0.01,
    logging_steps=1,
    save_steps=2,
    disable_tqdm=True,
    use_cpu=True,
    report_to="none",
)


def latent_model(group_size):
    shape = dict(hidden_size=256, intermediate_size=512, num_shared_layers=1, mhc_num_streams=1)
    return tiny_model(ternary_group_size=group_size, activation_bits=8, initializer_range=0.04, **shape)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """One process for all tests here: starting it costs more than what it does."""
    work = tmp_path_factory.mktemp("clean_process")
    parts = dict(num_shared_layers=1, num_prelude_layers=1, num_coda_layers=1, loop_update="scaled")
    model = tiny_model(activation_bits=8, mhc_num_streams=2, **parts)
    tokens, rows = random_tokens(2, 7), random_tokens(12, 8, seed=1)
    model.save_pretrained(work / "saved")
    for group_size in (128, 256, -1):
        latent_model(group_size).pack().save_pretrained(work / "packed" / str(group_size))
    train_tokenizer(["fn main() {}"], vocab_size=300, max_length=64).save_pretrained(work / "saved")
    expected = {
        "hidden_state": model.model(tokens).last_hidden_state.detach(),
        "logits": model(tokens).logits.detach(),
        "logits_of_five_loops": model(tokens, num_loops=5).logits.detach(),
        "greedy": model.generate(tokens, max_new_tokens=8, do_sample=False),
    }
    torch.save({"tokens": tokens, "rows": rows}, work / "inputs.pt")
    (work / "settings.json").write_text(json.dumps(SETTINGS))
    trainer = LoopLMTrainer(
        # Of a model with loop_update="scaled", transformers' own Trainer would put loop_scale in another group.
        model=tiny_model(activation_bits=8, mhc_num_streams=2),
        args=pretraining_arguments(output_dir=str(work / "run"), **SETTINGS, bf16=False),
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
    )
    trainer.train()
    expected["weights"] = trainer.model.state_dict()
    expected["losses"] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    # The resumed run must go by the checkpoint alone.
    shutil.rmtree(work / "run" / "checkpoint-4")

    script = HELPERS / "clean_process.py"
    # The options keep the child from seeing this folder, PYTHONPATH and the installed project.
    finished = subprocess.run(
        [sys.executable, "-I", "-S", str(script), sysconfig.get_path("purelib"), str(work)],
        env=os.environ
        | {
            "HF_MODULES_CACHE": str(work / "modules"),
            "HF_HUB_OFFLINE": "1",
            # Sums over another number of threads round differently.
            "OMP_NUM_THREADS": str(torch.get_num_threads()),
        },
        cwd=work,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    return work, expected, torch.load(work / "outputs.pt"), json.loads((work / "result.json").read_text())


def test_the_process_cannot_import_the_project(process):
    _, _, _, result = process
    assert result["importable"] == []
    assert result["modules"] == ["transformers_modules"]


def test_both_auto_classes_load_what_one_of_them_saved(process):
    _, expected, outputs, result = process
    assert result["classes"] == ["LoopLMModel", "LoopLMForCausalLM"]
    for name in ("hidden_state", "logits", "logits_of_five_loops", "greedy"):
        assert torch.equal(outputs[name], expected[name]), name


def test_the_native_engine_is_said_to_be_missing_only_where_it_is_asked_for(process):
    assert process[3]["native"].startswith(
        'engine="native" needs the project nanochat-ternary, which is not installed'
    )
    assert "pip install" in process[3]["native"]


def test_the_tokenizer_comes_along(process):
    assert process[3]["text"] == "fn main() {}"


@pytest.mark.parametrize("group_size", [128, 256, -1])
def test_packed_folders_hold_the_latent_models_weights_in_every_type(process, group_size):
    _, _, outputs, _ = process
    latent = latent_model(group_size)
    layers = {name: layer for name, layer in latent.named_modules() if isinstance(layer, BitLinear)}
    expected_logits = latent(torch.load(process[0] / "inputs.pt")["tokens"]).logits.detach()
    for dtype in ("float32", "bfloat16", "auto"):
        loaded = outputs[f"packed/{group_size}/{dtype}"]
        assert loaded["dtype"] == (torch.bfloat16 if dtype == "bfloat16" else torch.float32,) * 2
        assert loaded["weights"].keys() == layers.keys()
        for name, layer in layers.items():
            assert torch.equal(loaded["weights"][name], quantize_weight(layer.weight, group_size).detach()), name
        if dtype != "bfloat16":
            assert torch.equal(loaded["logits"], expected_logits)
        assert torch.isfinite(loaded["logits"]).all()


def test_every_saved_folder_holds_the_code_and_all_auto_classes(process):
    work, _, _, _ = process
    for folder in ("saved", "saved_again", "run/checkpoint-2"):
        assert "modeling_nanochat.py" in MODEL_FILES
        files = {path.name for path in (work / folder).iterdir()}
        assert MODEL_FILES <= files, folder
        auto_map = json.loads((work / folder / "config.json").read_text())["auto_map"]
        assert auto_map == {
            "AutoConfig": "configuration_nanochat.LoopLMConfig",
            "AutoModel": "modeling_nanochat.LoopLMModel",
            "AutoModelForCausalLM": "modeling_nanochat.LoopLMForCausalLM",
        }, folder
    assert LoopLMForCausalLM.from_pretrained(work / "saved_again").config.num_loops == 3


def test_a_checkpoint_resumes_in_a_new_process_to_the_same_losses_and_weights(process):
    _, expected, outputs, result = process
    assert result["steps"] == 4
    assert result["losses"] == expected["losses"]
    for name, value in expected["weights"].items():
        assert torch.equal(outputs["weights"][name], value), name
