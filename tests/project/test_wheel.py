"""The wheel holds all that the recipes need: installed elsewhere, they run from any folder."""

import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.helpers.paths import ROOT

PACKAGES = ("modeling_nanochat", "runtime", "evaluation", "trainers", "recipes", "model_cards", "nanochat_ternary")
pytestmark = pytest.mark.wheel


def test_a_recipe_runs_dry_from_an_installed_wheel_in_another_folder(tmp_path):
    source, environment, elsewhere = tmp_path / "source", tmp_path / "environment", tmp_path / "elsewhere"
    # A build writes beside its source.
    left_out = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, source, ignore=left_out)
    elsewhere.mkdir()

    # This checkout must be neither imported nor taken for an installation.
    environment_variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command) -> str:
        finished = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, cwd=elsewhere, env=environment_variables
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    pip = sys.executable, "-m", "pip", "--disable-pip-version-check"
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", wheel)
    # The libraries, which take minutes to install, are this environment's; this project's own folder is not.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))

    assert (packages / "recipes" / "launch" / "fsdp2_2.yaml").is_file()
    assert [name for name in PACKAGES if not (packages / name / "py.typed").is_file()] == []
    text = packages / "trainers" / "data" / "builtin_rust"
    command = environment / "bin" / "nanochat-ternary", "train", "project"
    shown = run(*command, "--data-dir", text, "--dry-run", "--set", "data.toolchain_docs=False")
    assert "The dry run finished" in shown
    assert not list(elsewhere.iterdir())
