"""A judge of this machine, and the same judge behind a server."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.judge_service import serving


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
