"""A judge of this machine, and the same judge behind a server."""

from contextlib import contextmanager

import pytest

from evaluation.http_server import address_of
from evaluation.models.llama_server import ServerSettings, listening_socket
from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from evaluation.rust.service.server import judge_server

TOKEN = "a token"


@contextmanager
def serving(judge, capacity=64, port=0, token=TOKEN):
    """Run the server of a judge; yields its queue and its address."""
    settings = ServerSettings(port=port, api_key=token)
    with listening_socket(settings) as listener:
        address = address_of(listener, settings.host)
        with judge_server(judge, token, capacity, listener) as queue:
            yield queue, address


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def judge():
    with RustVerifier(workers=1, timeout=2, run_timeout=1.0) as verifier:
        yield LocalJudge(verifier)


@pytest.fixture(scope="module")
def served(judge):
    with serving(judge) as running:
        yield running
