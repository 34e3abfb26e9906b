"""The judge of an adapter: a server, or this machine."""

import atexit
from functools import cache

from evaluation.rust import RustVerifier
from evaluation.rust.judging import Judge, LocalJudge
from evaluation.rust.sandbox.runner import require_consent
from evaluation.rust.service.client import RemoteJudge

RUN_TIMEOUT = 1.0
"""Seconds of processor time of a program with its tests, as in rewards."""


@cache
def judge_of(url: str | None) -> Judge:
    """
    Return the judge at an address, or that of this machine; it lives as long as the process.

    Args:
        url: Address of `nanochat-ternary serve-judge`, whose token is in `NANOCHAT_JUDGE_TOKEN`; None: this machine.

    Raises:
        ValueError: No judge answers at the address.
        CodeExecutionNotAllowed: This machine is to judge, and `HF_ALLOW_CODE_EVAL` is not 1.
    """
    if url is not None:
        return RemoteJudge(url)
    require_consent()
    judge = LocalJudge(RustVerifier(run_timeout=RUN_TIMEOUT))
    atexit.register(judge.close)
    return judge
