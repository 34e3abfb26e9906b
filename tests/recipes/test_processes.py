"""Training as real processes: killed at any moment, continued in a new one, shared between two."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.helpers.paths import HELPERS
from tests.helpers.recipe_process import train as train_here

SCRIPT = HELPERS / "recipe_process.py"
MUON = dict(optimizer="muon_lion", checkpointing="loop", muon_lr=0.01)


def command(output_dir: Path, settings: dict, processes: int = 1) -> list[str]:
    launch = [sys.executable]
    if processes > 1:
        launch += ["-m", "torch.distributed.run", "--nproc_per_node", str(processes)]
    return [*launch, str(SCRIPT), str(output_dir), json.dumps(settings)]


def train(output_dir: Path, settings: dict, processes: int = 1, *options: str) -> None:
    finished = subprocess.run(
        [*command(output_dir, settings, processes), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert finished.returncode == 0, finished.stderr


def folder(output_dir: Path) -> Path:
    return output_dir / "tiny" / "pretrain"


def metrics(output_dir: Path) -> list[dict]:
    path = folder(output_dir) / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def train_and_kill(output_dir: Path, settings: dict, logs: int, seconds: float, *options: str) -> None:
    """SIGKILL for the whole group, some time after so many new logs."""
    before = len(metrics(output_dir))
    process = subprocess.Popen(
        [*command(output_dir, settings), *options],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and len(metrics(output_dir)) < min(before, 1) + logs:
        time.sleep(0.01)
    time.sleep(seconds)
    assert process.poll() is None, "it must be killed while it trains"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def trained(output_dir: Path) -> list[tuple]:
    names = ("step", "loss", "grad_norm", "learning_rate", "loop_1_loss", "eval_loss")
    return [tuple(entry.get(name) for name in names) for entry in metrics(output_dir) if "train_loss" not in entry]


@pytest.mark.slow
@pytest.mark.parametrize("settings, seed", [(MUON, 0), ({}, 1), ({}, 2), (MUON, 1), (MUON, 2)])
def test_killed_at_random_moments_a_training_ends_as_the_undisturbed_one(tmp_path, settings, seed):
    settings = settings | dict(total_steps=24, save_steps=4, eval_steps=8)
    chance = random.Random(seed)
    train_here(tmp_path / "undisturbed", settings, resume=False)
    train_and_kill(tmp_path / "killed", settings, chance.randint(1, 10), chance.random())
    train_and_kill(tmp_path / "killed", settings, chance.randint(1, 6), chance.random() / 2, "--resume")
    train(tmp_path / "killed", settings, 1, "--resume")
    assert trained(tmp_path / "killed") == trained(tmp_path / "undisturbed")
    models = [folder(tmp_path / name) / "model" / "model.safetensors" for name in ("undisturbed", "killed")]
    assert models[0].read_bytes() == models[1].read_bytes()


# Like test_two_ranks.py, which `make test` runs, with the other optimizer.
@pytest.mark.slow
def test_two_processes_train_with_muon_and_lion_as_one(tmp_path):
    train_here(tmp_path / "1", MUON, resume=False)
    train(tmp_path / "2", MUON, processes=2)
    one, two = trained(tmp_path / "1"), trained(tmp_path / "2")
    for expected, found in zip(one, two, strict=True):
        assert found[:-1] == pytest.approx(expected[:-1], rel=2e-4)
    states = [load_file(folder(tmp_path / name) / "model" / "model.safetensors") for name in ("1", "2")]
    for name, value in states[0].items():
        # Lion moves a weight whose gradient is all rounding by a whole step either way.
        assert (states[1][name] - value).abs().mean() < 1e-4, name
