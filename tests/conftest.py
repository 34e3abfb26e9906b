"""Settings of the whole test suite."""

import gc
import os

import huggingface_hub.constants
import pytest
import torch
from hypothesis import settings

from tests.helpers.hub_server import TOKEN, Hub
from tests.helpers.paths import ROOT

# Processes that tests start import this checkout and its tests, wherever they run.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

# The same examples in every run, and no limit on the time of one: machines are slow now and then.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Recipes use all cores. Here several tests run at a time, and models so small only wait for a second thread."""
    monkeypatch.setattr("recipes.pipeline.start.use_processors", lambda hardware: [])


@pytest.fixture
def no_clean_process(monkeypatch):
    """The closing report loads the model in a new process; a test of the whole pipeline is enough to see it do so."""
    monkeypatch.setattr("recipes.pipeline.report.complete_in_clean_process", lambda folder, prompt, **_: prompt)


def pytest_collection_finish():
    """
    Leave what is imported by now out of all garbage collections. Trainers and accelerate start them again and again,
    and each takes 0.3 s to look through the objects of PyTorch and Transformers.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def hub(monkeypatch):
    """A Hub on loopback, with a token that may write; large files go by Git LFS, whose requests show the content."""
    with Hub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nonexistent")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
