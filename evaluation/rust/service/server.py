"""The HTTP server of a judge: routes, access, and answers."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from evaluation.http_server import MAX_BODY_BYTES, has_token, running
from evaluation.rust.judging import JudgeSettings, LocalJudge
from evaluation.rust.sandbox.runner import LEVELS
from evaluation.rust.service.queue import FAILURES, JudgeQueue, QueueFull, QueueStopped, Waiting
from evaluation.rust.service.requests import BadRequest, read_judge_request, read_tests_request
from evaluation.rust.verdict import NOT_REACHED, Diagnostic, Verdict

JUDGE, CHECK_TESTS, HEALTH = "/judge", "/check-tests", "/health"
MAX_ITEMS = 1024
RETRY_AFTER = {"Retry-After": "1"}


class JudgeServer:
    """
    Request handlers of a judge.

    Args:
        judge: Gives the verdicts.
        token: Bearer token that clients must send; None: none.
        capacity: Maximum number of codes that wait or are judged.
    """

    def __init__(self, judge: LocalJudge, token: str | None, capacity: int):
        resources = judge.verifier.resources
        self.queue = JudgeQueue(judge, capacity)
        self._settings = JudgeSettings.of(judge.verifier)
        self._token = token
        self._most = min(MAX_ITEMS, capacity)
        self._constant: dict[str, Any] = {
            "version": version("nanochat-ternary"),
            "compiler": resources.toolchain.identity,
            "sandbox": LEVELS[resources.sandbox.level],
            "workers": resources.workers,
            "settings": asdict(self._settings),
            "limits": {"items": self._most, "bytes": MAX_BODY_BYTES, "capacity": capacity},
        }

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._checked])
        application.router.add_get(HEALTH, self._health)
        application.router.add_post(JUDGE, self._judge)
        application.router.add_post(CHECK_TESTS, self._check_tests)
        application.router.add_route("*", "/{path:.*}", self._unknown)
        application.on_shutdown.append(self._stop)
        return application

    async def _stop(self, application: web.Application) -> None:
        await self.queue.stop()

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse clients without the token, and give every error the same form."""
        if request.path != HEALTH and not has_token(request, self._token):
            return _error(401, "the request must have the judge's token", headers={"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except BadRequest as error:
            return _error(400, str(error), error.index)
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"the body of a request must have at most {MAX_BODY_BYTES} bytes")
        except QueueFull:
            return _error(429, "too many codes wait; ask again later", headers=RETRY_AFTER)
        except QueueStopped:
            return _error(503, "the judge is being stopped", headers=RETRY_AFTER)
        except FAILURES as error:
            return _error(503, f"the judge fails: {error}", headers=RETRY_AFTER)

    async def _health(self, request: web.Request) -> web.Response:
        queue = self.queue
        counts = {"waiting": queue.waiting, "running": queue.running, "judged": queue.judged, "cached": queue.cached}
        return web.json_response({"status": "ok", **self._constant, **counts})

    async def _unknown(self, request: web.Request) -> web.Response:
        routes = f"GET {HEALTH}, POST {JUDGE} and POST {CHECK_TESTS}"
        return _error(404, f"the server has {routes}, got {request.method} {request.path}")

    async def _judge(self, request: web.Request) -> web.Response:
        asked = read_judge_request(await request.read(), self._most)
        waiting = self.queue.ask(asked.questions)
        try:
            if waiting:
                await asyncio.wait({each.outcome for each in waiting}, timeout=asked.deadline)
        except asyncio.CancelledError:
            # The client has disconnected. Past a deadline, in contrast, it will ask again.
            self.queue.leave(waiting)
            raise
        late = [index for index, each in enumerate(waiting) if not each.outcome.done()]
        verdicts = [self._verdict(index, each, asked.deadline).to_dict() for index, each in enumerate(waiting)]
        return web.json_response({"verdicts": verdicts, "late": late, "settings": asdict(self._settings)})

    def _verdict(self, index: int, waiting: Waiting, deadline: float) -> Verdict:
        if not waiting.outcome.done():
            reason = Diagnostic(None, "other", f"there was no verdict within the deadline of {deadline} seconds")
            settings = self._settings
            edition, rustc = settings.edition, settings.rustc or ""
            return Verdict("unavailable", dict(NOT_REACHED), (reason,), edition=edition, rustc=rustc)
        outcome = waiting.outcome.result()
        if isinstance(outcome, ValueError):
            raise BadRequest(str(outcome), index)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def _check_tests(self, request: web.Request) -> web.Response:
        tests = read_tests_request(await request.read(), self._most)
        try:
            await self.queue.check_tests(tests)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return web.json_response({"settings": asdict(self._settings)})


def _error(status: int, message: str, index: int | None = None, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "index": index}}, status=status, headers=headers)


@contextmanager
def judge_server(judge: LocalJudge, token: str | None, capacity: int, listener: socket.socket) -> Iterator[JudgeQueue]:
    """
    Serve a judge in this process, in a thread of its own.

    Args:
        judge: Gives the verdicts; it is not closed at the end.
        token: Bearer token that clients must send; None: none.
        capacity: Maximum number of codes that wait or are judged.
        listener: Socket that listens; it is closed at the end.

    Yields:
        The queue, whose numbers may be read from other threads.
    """
    server = JudgeServer(judge, token, capacity)
    with running(listener, server.application()):
        yield server.queue
