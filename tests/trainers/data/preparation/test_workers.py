"""Worker processes: they share the work, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from trainers.data.preparation.workers import check_num_workers, run_tasks

PROGRAM = """
import os, sys, time
from pathlib import Path
from trainers.data.preparation.workers import run_tasks

def work(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(run_tasks(work, sys.argv[1:], 2))
"""


def double(number: int) -> int:
    if number < 0:
        raise ValueError(f"number must be positive, got {number}")
    return 2 * number


def test_every_task_is_done_once_by_other_processes():
    assert dict(run_tasks(double, range(5), 2)) == {number: 2 * number for number in range(5)}


def test_an_error_in_a_worker_is_the_error_of_the_call():
    with pytest.raises(ValueError, match="got -1"):
        list(run_tasks(double, [1, -1, 2], 2))


def test_workers_end_when_their_parent_is_killed(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    files = [tmp_path / "first", tmp_path / "second"]
    parent = subprocess.Popen([sys.executable, program, *files], env=os.environ)
    workers = [int(_content(file)) for file in files]
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    gone, alive = psutil.wait_procs([psutil.Process(each) for each in workers if psutil.pid_exists(each)], timeout=10)
    assert not alive


def test_the_number_of_workers_must_be_positive():
    with pytest.raises(ValueError, match="num_workers must be at least 1, got 0"):
        check_num_workers(0)


def _content(file: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and file.read_text():
            return file.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{file} was not written")
