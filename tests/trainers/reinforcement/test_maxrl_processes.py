"""Reinforcement learning that is killed and continued, loses its compiler, or is shared between two processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.helpers.maxrl_process import train
from tests.helpers.paths import HELPERS
from trainers.reinforcement.advantages import maxrl_advantages
from trainers.reinforcement.rewards import RewardUnavailable

SCRIPT = HELPERS / "maxrl_process.py"
SETTINGS = dict(max_steps=6, per_device_train_batch_size=8, num_generations=4)
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "HF_ALLOW_CODE_EVAL": "1", "PYTHONFAULTHANDLER": "1"}


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def command(folder: Path, settings: dict, launcher: tuple[str, ...] = (sys.executable,)) -> list[str]:
    return [*launcher, str(SCRIPT), str(folder), json.dumps(settings)]


def run(folder: Path, settings: dict, launcher: tuple[str, ...]) -> subprocess.CompletedProcess:
    return subprocess.run(command(folder, settings, launcher), capture_output=True, text=True, env=ENVIRONMENT)


def metrics(folder: Path) -> list[tuple]:
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    names = ("step", "loss", "grad_norm", "success_rate", "groups/zero_variance", "entropy", "verdict/valid")
    return [tuple(entry[name] for name in names) for entry in entries if "loss" in entry]


def weights(folder: Path, rank: int = 0) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"weights_{rank}.pt")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
def test_killed_it_continues_to_the_same_model(tmp_path):
    # Only what is killed needs a process of its own: each loads PyTorch and TRL for several seconds.
    train(tmp_path / "whole", SETTINGS)
    process = subprocess.Popen(
        command(tmp_path / "killed", SETTINGS),
        start_new_session=True,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(metrics(tmp_path / "killed")) < 3:
        time.sleep(0.01)
    assert process.poll() is None, "it must be killed while it trains"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    train(tmp_path / "killed", SETTINGS, resume=True)
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    assert max(success for _, _, _, success, *_ in metrics(tmp_path / "whole")) > 0
    assert equal(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


@pytest.mark.slow
def test_without_a_compiler_it_stops_with_the_reason_and_its_checkpoint(tmp_path):
    with pytest.raises(RewardUnavailable, match="completions can no longer be judged"):
        train(tmp_path, SETTINGS, break_compiler_at=3)
    assert [step for step, *_ in metrics(tmp_path)] == [1, 2, 3]
    assert (tmp_path / "checkpoint-2" / "trainer_state.json").exists()
    train(tmp_path, SETTINGS, resume=True)
    assert [step for step, *_ in metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_two_processes_share_groups_and_agree(tmp_path):
    settings = SETTINGS | dict(per_device_train_batch_size=6, num_generations=4, max_steps=3, save_strategy="no")
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2")
    finished = run(tmp_path, settings, launcher=launcher)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("processes 2") == 2
    parts = [map(json.loads, (tmp_path / f"process_{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)]
    for first, second in zip(*parts, strict=True):
        assert first["success"] == second["success"]
        success = torch.tensor(first["success"])
        # The second group lies on both.
        expected = maxrl_advantages(success.view(3, 4)).flatten().float()
        assert expected.tolist() == first["advantages"] + second["advantages"]
    assert equal(weights(tmp_path, 0), weights(tmp_path, 1))


@pytest.mark.slow
def test_accelerate_launches_one_process(tmp_path):
    accelerate = Path(sys.executable).with_name("accelerate")
    launcher = (str(accelerate), "launch", "--num_processes", "1", "--cpu")
    finished = run(tmp_path, SETTINGS | {"max_steps": 1}, launcher=launcher)
    assert finished.returncode == 0 and "processes 1" in finished.stdout, finished.stderr
