"""Progress that is read later: lines, and few of them."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from evaluation import progress
from evaluation.progress import show_progress

SCRIPT = """
from evaluation import progress
progress.LEAST_SECONDS_BETWEEN_LINES = 0
with progress.show_progress("Sampling", 1000, "completions") as advance:
    for _ in range(1000):
        advance(1)
"""


def test_in_a_pipe_every_tenth_is_a_line_and_nothing_returns_to_its_start():
    shown = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True).stderr
    assert "\r" not in shown and shown.endswith("\n")
    shares = [line.split("%")[0] for line in shown.splitlines()]
    assert shares == [f"Sampling: {share}" for share in range(10, 101, 10)]


def test_on_a_terminal_it_is_a_bar():
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    subprocess.run([sys.executable, "-c", SCRIPT], stderr=slave, timeout=60)
    os.set_blocking(master, False)
    shown = os.read(master, 1 << 16)
    os.close(slave)
    os.close(master)
    assert b"\rSampling" in shown


def test_what_is_quick_says_nothing(capsys):
    with show_progress("Verifying", 3) as advance:
        advance(3)
    assert capsys.readouterr().err == ""


def test_work_of_unknown_size_is_told_by_the_clock(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with show_progress("Reading", None, "rows") as advance:
        advance(1_500)
    assert capsys.readouterr().err == "Reading: 1,500 rows, 0 s\n"


@pytest.mark.parametrize("size, told", [(999, "999B"), (2_500_000, "2.50MB")])
def test_bytes_are_told_in_their_units(monkeypatch, capsys, size, told):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with show_progress("Copying", None, "B") as advance:
        advance(size)
    assert told in capsys.readouterr().err
