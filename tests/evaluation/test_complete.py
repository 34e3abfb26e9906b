"""`evaluation/complete.py` is a program of its own, and a command of this project as well."""

import argparse
import json
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


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "folder with the model's code, got .* without modeling_x.py: nanochat-ternary chat brings its own"),
        (["--temperature", "-1"], "--temperature must be at least 0, got -1.0"),
        (["--top-p", "2"], "--top-p must be above 0 and at most 1, got 2.0"),
        (["--max-new-tokens", "0"], "--max-new-tokens must be at least 1, got 0"),
        (["--prompt", " "], "--prompt must be a text to continue, got ' '"),
    ],
)
def test_bad_options_are_refused_before_the_model_is_loaded(tmp_path, options, message):
    config = {"auto_map": {"AutoModelForCausalLM": "modeling_x.Model", "AutoConfig": "someone/else--configuration.C"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    if options:
        (tmp_path / "modeling_x.py").write_text("")
    parser = argparse.ArgumentParser()
    complete.add_options(parser)
    with pytest.raises(ValueError, match=message):
        complete.run(parser.parse_args(["--model", str(tmp_path), *options]))


def test_a_gguf_file_is_sent_to_the_command_that_runs_it():
    parser = argparse.ArgumentParser()
    complete.add_options(parser)
    with pytest.raises(ValueError, match="got model.gguf: nanochat-ternary chat runs GGUF files"):
        complete.run(parser.parse_args(["--model", "./model.gguf"]))


def test_a_clean_process_has_none_of_this_projects_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{name}*" for name in OWN_PACKAGES} == set(packages)
