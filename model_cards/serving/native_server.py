"""An OpenAI-compatible server of the native engine: routes, access, and requests that wait for their turn."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from evaluation.http_server import MAX_BODY_BYTES, address_of, has_token, running
from evaluation.models.llama_server import ServerSettings
from model_cards.serving.answer_forms import AnswerForm, Usage
from model_cards.serving.http_server import error_answer, parse_body, too_large
from model_cards.serving.native_model import Generation, NativeModel, Piece
from model_cards.serving.native_requests import NativeRequest, read_request
from model_cards.serving.request_rules import CHAT_ROUTES, RefusedRequestError

COMPLETIONS, CHAT, MODELS, HEALTH = "/v1/completions", "/v1/chat/completions", "/v1/models", "/health"
OWNER = "nanochat-ternary"


class NativeServer:
    """
    Request handlers for a model.

    Args:
        model: The model.
        api_key: Bearer token that clients must send; None: no authentication.
        parallel: Number of requests that are processed at the same time; others wait in order.
    """

    def __init__(self, model: NativeModel, api_key: str | None, parallel: int):
        self._model = model
        self._api_key = api_key
        # One thread reads prompts, so that a long one does not delay the answers to others.
        self._readers = ThreadPoolExecutor(1, "prompts")
        self._generators = ThreadPoolExecutor(parallel, "completions")
        self._running: set[Generation] = set()
        self._created = int(time.time())

    def application(self) -> web.Application:
        """Return the routes."""
        application = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._checked])
        application.router.add_get(HEALTH, self._health)
        application.router.add_get(MODELS, self._models)
        application.router.add_post(COMPLETIONS, self._complete)
        application.router.add_post(CHAT, self._complete)
        application.router.add_route("*", "/{path:.*}", self._unknown)
        application.cleanup_ctx.append(self._threads)
        return application

    async def _threads(self, application: web.Application) -> AsyncIterator[None]:
        yield
        for generation in self._running:
            generation.stop()
        self._readers.shutdown(cancel_futures=True)
        self._generators.shutdown(cancel_futures=True)

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse clients without the key, and give every error the form of OpenAI's API."""
        if request.path != HEALTH and not has_token(request, self._api_key):
            headers = {"WWW-Authenticate": "Bearer"}
            return error_answer(401, "Invalid API Key", headers=headers, code="invalid_api_key")
        try:
            return await handler(request)
        except RefusedRequestError as error:
            return error_answer(400, str(error), error.field, code=error.code)
        except web.HTTPRequestEntityTooLarge:
            return too_large()

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, request: web.Request) -> web.Response:
        entry = {"id": self._model.name, "object": "model", "created": self._created, "owned_by": OWNER}
        return web.json_response({"object": "list", "data": [entry]})

    async def _unknown(self, request: web.Request) -> web.Response:
        routes = f"GET {HEALTH}, GET {MODELS}, POST {COMPLETIONS} and POST {CHAT}"
        return error_answer(404, f"the server has {routes}, got {request.method} {request.path}")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = parse_body(await request.read())
        asked = read_request(request.path, body, self._model.engine.vocab_size)
        loop = asyncio.get_running_loop()
        prompts = await loop.run_in_executor(self._readers, self._model.prompts, asked)
        form = AnswerForm(self._model.name, request.path in CHAT_ROUTES, asked.stream, asked.include_usage)
        if asked.stream:
            return await self._stream(request, asked, prompts, form)
        return web.json_response(await self._whole(asked, prompts, form))

    async def _whole(self, asked: NativeRequest, prompts: list[list[int]], form: AnswerForm) -> dict[str, Any]:
        count = len(prompts) * asked.n
        texts, reasons = [""] * count, [""] * count

        def show(piece: Piece) -> None:
            texts[piece.index] += piece.text
            reasons[piece.index] = piece.finish_reason or ""

        generation = Generation(self._model, prompts, asked, show)
        with self._started(generation) as ended:
            await ended
        return form.whole(texts, reasons, _usage(prompts, generation))

    async def _stream(
        self, request: web.Request, asked: NativeRequest, prompts: list[list[int]], form: AnswerForm
    ) -> web.StreamResponse:
        # None is put behind the last piece.
        pieces: asyncio.Queue[Piece | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def show(piece: Piece) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        generation = Generation(self._model, prompts, asked, show)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        response.charset = "utf-8"
        await response.prepare(request)
        with self._started(generation) as ended:
            ended.add_done_callback(lambda _: pieces.put_nowait(None))
            for index in range(len(prompts) * asked.n):
                await _send(response, form.first(index))
            while (piece := await pieces.get()) is not None:
                await _send(response, form.piece(piece.index, piece.text) if piece.text else None)
                if piece.finish_reason is not None:
                    await _send(response, form.last(piece.index, piece.finish_reason))
            await ended
        if asked.include_usage:
            await _send(response, form.usage(_usage(prompts, generation)))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    @contextmanager
    def _started(self, generation: Generation) -> Iterator[asyncio.Future[None]]:
        """
        Generate when it is the turn of this request; yields what is done at the end of the generation. When its client
        disconnects, the handler is canceled, and the generation ends, or does not begin.
        """
        ended = asyncio.get_running_loop().run_in_executor(self._generators, generation.run)
        self._running.add(generation)
        try:
            yield ended
        finally:
            generation.stop()
            ended.cancel()
            self._running.remove(generation)


async def _send(response: web.StreamResponse, chunk: dict[str, Any] | None) -> None:
    if chunk is not None:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


def _usage(prompts: list[list[int]], generation: Generation) -> Usage:
    return Usage(sum(map(len, prompts)), generation.num_tokens)


@contextmanager
def native_server(model: NativeModel, settings: ServerSettings, listener: socket.socket) -> Iterator[str]:
    """
    Serve a model in this process.

    Args:
        model: The model.
        settings: Of the server; the context length and the threads are the model's.
        listener: Socket that listens, see [`listening_socket`]; it is closed at the end.

    Yields:
        The address, `http://host:port`.
    """
    server = NativeServer(model, settings.api_key, settings.parallel)
    with running(listener, server.application()):
        yield address_of(listener, settings.host)
