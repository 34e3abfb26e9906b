"""An HTTP server in a thread of its own, and the check of a bearer token."""

import asyncio
import hmac
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from aiohttp import ClientConnectionResetError, web
from aiohttp.http_exceptions import HttpProcessingError

MAX_BODY_BYTES = 16 * 2**20
SECONDS_TO_END = 0.1
"""Time for requests that are being answered when the server stops. For aiohttp 0 would be no limit."""


def address_of(listener: socket.socket, host: str) -> str:
    """Return the address `http://host:port` of a listening socket, with the host as it was given."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def has_token(request: web.Request, token: str | None) -> bool:
    """Whether a request has the bearer token; None: none is needed."""
    if token is None:
        return True
    given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
    # Takes equally long for every wrong token.
    return hmac.compare_digest(given, f"Bearer {token}".encode())


@contextmanager
def running(listener: socket.socket, application: web.Application) -> Iterator[None]:
    """
    Answer the connections to a socket, in a thread of its own. A handler is canceled when its client disconnects, and
    at the end.

    Args:
        listener: Socket that listens; it is closed at the end.
        application: Routes, and what is to be set up and cleaned up within the thread (`cleanup_ctx`).
    """
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="HTTP server", daemon=True)
    thread.start()
    try:
        runner = asyncio.run_coroutine_threadsafe(_start(listener, application), loop).result()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(listener: socket.socket, application: web.Application) -> web.AppRunner:
    logger = logging.getLogger("nanochat_ternary.serve")
    logger.addFilter(_is_about_the_server)
    runner = web.AppRunner(
        application,
        handle_signals=False,
        logger=logger,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SECONDS_TO_END,
    )
    await runner.setup()
    await web.SockSite(runner, listener).start()
    return runner


def _is_about_the_server(record: logging.LogRecord) -> bool:
    # A client that sends a bad request gets an answer, and one that has disconnected needs none; aiohttp would print a
    # traceback.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | ClientConnectionResetError)
