"""On a machine that lacks something, `make` says in one line what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make_environment(folder: Path, **programs: str) -> subprocess.CompletedProcess:
    """`make environment` with nothing on the path but a shell and `programs`, name -> script."""
    for name in ("sh", "make"):
        (folder / name).symlink_to(shutil.which(name))
    for name, script in programs.items():
        (folder / name).write_text(f"#!{shutil.which('sh')}\n{script}\n")
        (folder / name).chmod(0o755)
    return subprocess.run(
        ["make", "--silent", "-C", ROOT, "environment"],
        env={"PATH": str(folder), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
    )


REAL_PYTHON = f'exec {sys.executable} "$@"'
GOOD_RUSTC = "echo 'rustc 1.95.0 (59807616e 2026-04-14)'"


def test_a_complete_machine_passes(tmp_path):
    finished = make_environment(tmp_path, python3=REAL_PYTHON, rustc=GOOD_RUSTC)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize(
    "programs, message",
    [
        (
            dict(python3="echo Python 3.9.2; exit 1", rustc=GOOD_RUSTC),
            "Python 3.11 or newer is needed, found: Python 3.9",
        ),
        (dict(rustc=GOOD_RUSTC), "Python 3.11 or newer is needed, found: none."),
        (dict(python3=REAL_PYTHON), "rustc 1.89 or newer is needed, found: none. Install it from"),
        (
            dict(python3=REAL_PYTHON, rustc="echo 'rustc 1.70.0 (x)'"),
            "rustc 1.89 or newer is needed, found: rustc 1.70.0",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path, programs, message):
    finished = make_environment(tmp_path, **programs)
    assert finished.returncode != 0
    lines = [line for line in (finished.stdout + finished.stderr).splitlines() if not line.startswith("make")]
    assert len(lines) == 1 and lines[0].startswith(message), lines
