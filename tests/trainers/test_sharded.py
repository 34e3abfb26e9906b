"""Two processes that share the weights (FSDP2) train as one, and go on from a checkpoint as if never killed."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.helpers.paths import HELPERS
from tests.helpers.pretraining import make_trainer
from tests.helpers.sharded_process import ROWS
from tests.helpers.tiny import tiny_model
from trainers import optimizers
from trainers.pretraining import last_complete_checkpoint

SCRIPT = HELPERS / "sharded_process.py"
TRAINING = dict(max_steps=4, save_steps=2, logging_steps=1, bf16=False, save_total_limit=None, disable_tqdm=True)
MUON = TRAINING | dict(optimizer="muon_lion", lion_lr=1e-3)
ADAMW = TRAINING | dict(optimizer="adamw", learning_rate=1e-2)


def start(folder: Path, settings: dict) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), json.dumps(settings)],
            env=os.environ | common | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"errors_{rank}.txt").open("w"),
        )
        for rank in ("0", "1")
    ]


def train(folder: Path, settings: dict) -> None:
    folder.mkdir(exist_ok=True)
    for rank, process in enumerate(start(folder, settings)):
        assert process.wait() == 0, (folder / f"errors_{rank}.txt").read_text()


def train_and_kill(folder: Path, settings: dict) -> None:
    """SIGKILL for both, once there is a checkpoint."""
    folder.mkdir()
    processes = start(folder, settings)
    while last_complete_checkpoint(folder) is None and all(process.poll() is None for process in processes):
        time.sleep(0.01)
    for process in processes:
        process.kill()
        process.wait()
    assert not (folder / "model").exists(), "it must be killed while it trains"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    train(folder, MUON)
    return folder


@pytest.mark.slow
def test_killed_after_a_checkpoint_and_continued_a_training_ends_with_the_same_bits(undisturbed, tmp_path):
    killed = tmp_path / "killed"
    train_and_kill(killed, MUON)
    train(killed, MUON)
    weights = [folder / "model" / "model.safetensors" for folder in (undisturbed, killed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    expected, found = (torch.load(folder / "checkpoint-4" / "optimizer.bin") for folder in (undisturbed, killed))
    assert [group["lr"] for group in found["param_groups"]] == [group["lr"] for group in expected["param_groups"]]
    for name, state in expected["state"].items():
        assert torch.equal(found["state"][name]["momentum_buffer"], state["momentum_buffer"]), name


@pytest.mark.slow
@pytest.mark.parametrize("settings", [ADAMW, MUON], ids=["adamw", "muon_lion"])
def test_sharded_parameters_train_as_whole_ones(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(optimizers, "has_fast_bf16", lambda: False)
    train(tmp_path / "shards", settings)
    trainer = make_trainer(tmp_path / "one", model=tiny_model(), rows=ROWS, per_device_train_batch_size=16, **settings)
    trainer.train()
    logs = json.loads((tmp_path / "shards" / "checkpoint-4" / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["loss"] for entry in logs] == pytest.approx(losses, rel=1e-4)


@pytest.mark.slow
def test_a_model_saved_from_shards_is_loaded_as_any_other(undisturbed):
    model = AutoModelForCausalLM.from_pretrained(undisturbed / "model", trust_remote_code=True)
    assert type(model).__name__ == "LoopLMForCausalLM"
    assert not list((undisturbed / "model").glob("_fsdp*"))


@pytest.mark.slow
def test_without_gpus_sharding_is_refused(undisturbed):
    assert "fsdp needs GPUs" in (undisturbed / "refusal.txt").read_text()
