"""Versions of libraries: pyproject.toml, README.md and the environment of the tests agree."""

import re
import tomllib
from importlib.metadata import version

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.helpers.paths import ROOT
from tests.helpers.pretraining import make_trainer
from trainers.versions import NEWEST_TESTED_TORCH

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()


def allowed(name: str, requirements: list[str] = PROJECT["dependencies"]) -> SpecifierSet:
    return next(found.specifier for found in map(Requirement, requirements) if found.name == name)


def bound(specifier: SpecifierSet, operator: str) -> Version:
    return next(Version(each.version) for each in specifier if each.operator == operator)


def test_the_readme_names_all_versions_of_transformers_that_are_allowed_and_one_is_installed():
    named = re.search(r"transformers (5\.\d+) or (5\.\d+)", README).groups()
    specifier = allowed("transformers")
    assert [f"5.{minor}" for minor in range(100) if f"5.{minor}" in specifier] == list(named)
    assert version("transformers") in specifier


def test_torch_is_tested_from_the_oldest_allowed_to_the_newest_in_the_tests_environment():
    lower = bound(allowed("torch"), ">=")
    tested = SpecifierSet(f">={lower},<{bound(allowed('torch', PROJECT['optional-dependencies']['dev']), '<')}")
    assert NEWEST_TESTED_TORCH in tested and f"2.{Version(NEWEST_TESTED_TORCH).minor + 1}" not in tested
    assert f"torch {lower} to {NEWEST_TESTED_TORCH}" in README


@pytest.mark.parametrize(
    "installed, warns", [("2.11.0", False), ("2.13.1+cpu", False), ("2.14.0", True), ("3.0", True)]
)
def test_a_trainer_warns_of_a_torch_newer_than_those_tested(installed, warns, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(torch, "__version__", installed)
    make_trainer(tmp_path)
    assert any("newer than 2.13" in str(warning.message) for warning in recwarn) == warns
