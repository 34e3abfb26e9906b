"""The crate is compiled once for all tests."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def target(tmp_path_factory) -> Path:
    """Folder for cargo's output."""
    return tmp_path_factory.mktemp("target")
