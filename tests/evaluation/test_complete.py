"""`evaluation/complete.py` is a program of its own, and a command of this project as well."""

import argparse
import subprocess
import sys
import tomllib

import pytest

from evaluation import complete
from evaluation.clean_process import OWN_PACKAGES
from tests.helpers.paths import ROOT


def test_its_help_needs_neither_this_project_nor_any_other_package():
    command = [sys.executable, "-I", "-S", str(ROOT / "evaluation" / "complete.py"), "--help"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--model MODEL" in asked.stdout and asked.stderr == ""


def test_the_model_may_be_given_without_the_options_name():
    parser = argparse.ArgumentParser()
    complete.add_options(parser)
    assert parser.parse_args(["folder", "--seed", "1"]) == parser.parse_args(["--seed", "1", "--model", "folder"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--seed", "1"])


def test_a_folder_that_is_no_model_is_refused_with_its_name(tmp_path):
    parser = argparse.ArgumentParser()
    complete.add_options(parser)
    with pytest.raises(ValueError, match=f"must be the folder of a saved model or a Hub name, got '{tmp_path}'"):
        complete.run(parser.parse_args(["--model", str(tmp_path)]))


def test_a_clean_process_has_none_of_this_projects_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{name}*" for name in OWN_PACKAGES} == set(packages)
