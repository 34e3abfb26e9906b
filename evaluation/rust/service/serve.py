"""Serve a judge until a signal ends it."""

import os
import signal
import sys
import time
from collections.abc import Callable

from evaluation.http_server import address_of
from evaluation.models.llama_server import ServerSettings, listening_socket
from evaluation.rust.arguments import check_count
from evaluation.rust.judging import LocalJudge
from evaluation.rust.sandbox.runner import LEVELS, require_consent
from evaluation.rust.service.address import TOKEN_VARIABLE
from evaluation.rust.service.queue import JudgeQueue
from evaluation.rust.service.server import HEALTH, JUDGE, MAX_ITEMS, judge_server

LOG_SECONDS = 10.0


def serve_judge(make_judge: Callable[[], LocalJudge], settings: ServerSettings, capacity: int) -> int:
    """
    Serve a judge until SIGINT or SIGTERM, and then end the process with status 0.

    Args:
        make_judge: Starts the judge, once the address is known to be free.
        settings: Host, port and token (`api_key`) of the server.
        capacity: Maximum number of codes that wait or are judged.

    Raises:
        ValueError: A setting is out of range, or other machines can reach the host and there is no token.
        OSError: The server cannot listen on the address.
        CodeExecutionNotAllowed: `HF_ALLOW_CODE_EVAL` is not 1.
        ToolchainUnavailable, SandboxUnavailable: Programs cannot be judged on this machine.
    """
    # A smaller queue would have no room for a whole request.
    check_count("capacity", capacity, MAX_ITEMS)
    require_consent()
    # SIGTERM as Ctrl-C. Background jobs of a shell ignore SIGINT by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with listening_socket(settings, TOKEN_VARIABLE) as listener:
        judge = make_judge()
        try:
            with judge_server(judge, settings.api_key, capacity, listener) as queue:
                print(_invitation(judge, address_of(listener, settings.host), settings.api_key), flush=True)
                _report(queue)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print(f"Stopped after {_counts(queue)}.", flush=True)
        # Threads that still judge would be waited for. Their programs end with this process.
        os._exit(0)


def _report(queue: JudgeQueue) -> None:
    """Print a line every `LOG_SECONDS` in which something was judged, until Ctrl-C."""
    before, since = 0, time.monotonic()
    while True:
        # Not `signal.pause`, which misses a signal that arrives just before it.
        time.sleep(1)
        seconds = time.monotonic() - since
        if seconds >= LOG_SECONDS and queue.judged > before:
            rate = (queue.judged - before) / seconds
            waiting = f"{queue.waiting:,} waiting, {queue.running:,} being judged"
            print(f"{_counts(queue)}; {rate:,.1f} per second; {waiting}", file=sys.stderr, flush=True)
        if seconds >= LOG_SECONDS:
            before, since = queue.judged, time.monotonic()


def _counts(queue: JudgeQueue) -> str:
    return f"{queue.judged:,} verdicts, {queue.cached:,} of them cached"


def _invitation(judge: LocalJudge, address: str, token: str | None) -> str:
    resources = judge.verifier.resources
    header = "" if token is None else f' -H "Authorization: Bearer ${TOKEN_VARIABLE}"'
    with_token = "" if token is None else ", with a token"
    body = '{"items": [{"code": "fn main() {}", "tests": null}], "rules": "data"}'
    return (
        f"rustc {resources.toolchain.version}, edition {judge.verifier.edition}, sandbox level "
        f"{LEVELS[resources.sandbox.level]}, {resources.workers} compilers at a time\n"
        f"Judging at {address}{with_token}; {HEALTH} tells the settings; stop with Ctrl-C. Try:\n\n"
        f"curl {address}{JUDGE} -H 'Content-Type: application/json'{header} -d '{body}'\n"
    )
