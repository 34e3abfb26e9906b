"""The adapters with their frameworks, which are installed beside the packages of this environment."""

import os
import subprocess
import sys
import sysconfig
import tomllib

import pytest

from tests.helpers.paths import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "test"), [("verifiers", "verifiers_tasks"), ("openenv", "openenv_environment")])
def test_an_adapter_runs_with_its_framework(tmp_path, extra, test):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    # What is installed here need not be installed again.
    (site / "outer.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([python, "-m", "pip", "install", "--quiet", *EXTRAS[extra]], check=True, timeout=1200)
    command = [python, "-m", "pytest", "-q", "-rs", f"tests/evaluation/adapters/test_{test}.py"]
    finished = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0 and "1 passed" in finished.stdout, finished.stdout + finished.stderr
