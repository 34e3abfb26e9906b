"""
A server in front of llama.cpp's. It checks requests before llama.cpp sees them ([`check_request`]), and passes answers
back unchanged, token by token.
"""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from evaluation.http_server import MAX_BODY_BYTES, running
from model_cards.serving.http_server import error_answer, parse_body, too_large
from model_cards.serving.request_rules import CHECKED_ROUTES, RefusedRequestError, ServedModel, check_request

# Headers of one connection, not of a request (RFC 9110, section 7.6.1), and those of a body that is packed anew.
OF_THE_CONNECTION = (
    "Connection",
    "Expect",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",  # codespell:ignore te
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
OF_THE_BODY = ("Content-Encoding", "Content-Length")
CLIENT = web.AppKey("client", ClientSession)
"""HTTP client for the requests to llama.cpp."""


class Front:
    """
    Request handler that checks requests and passes them on.

    Args:
        server: Address of llama.cpp's server.
        added_key: API key to add to each request; None: clients send their own, and llama.cpp checks it.
        model: Properties of the model that is served.
    """

    def __init__(self, server: URL, added_key: str | None, model: ServedModel):
        self._server = server
        self._added_key = added_key
        self._model = model

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request: with llama.cpp's answer, or with an error that says why the request is refused."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return too_large()
        if request.method == "POST" and request.path in CHECKED_ROUTES:
            try:
                check_request(request.path, parse_body(body), self._model)
            except RefusedRequestError as error:
                return await self._refuse(request, error)
        # Built from its parts, so that no path can name another server.
        url = URL.build(
            scheme=self._server.scheme,
            authority=self._server.authority,
            path=request.rel_url.raw_path,
            query_string=request.rel_url.raw_query_string,
            encoded=True,
        )
        async with request.app[CLIENT].request(
            request.method, url, data=body or None, headers=self._headers(request), allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=_without(answer.headers, OF_THE_CONNECTION))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    async def _refuse(self, request: web.Request, error: RefusedRequestError) -> web.StreamResponse:
        # llama.cpp decides who may use the server, and which web pages may read the answer.
        headers = self._headers(request)
        async with request.app[CLIENT].get(self._server.with_path("/v1/models"), headers=headers) as answer:
            allowed = _headers_of_origin(answer)
            if answer.status != 200:
                return web.Response(
                    status=answer.status, body=await answer.read(), content_type=answer.content_type, headers=allowed
                )
        return error_answer(400, str(error), error.field, allowed)

    def _headers(self, request: web.Request) -> CIMultiDict[str]:
        headers = _without(request.headers, (*OF_THE_CONNECTION, *OF_THE_BODY))
        if self._added_key is not None:
            headers["Authorization"] = f"Bearer {self._added_key}"
        return headers


def _without(headers: CIMultiDictProxy[str], names: tuple[str, ...]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in names:
        kept.popall(name, None)
    return kept


def _headers_of_origin(answer: ClientResponse) -> CIMultiDict[str]:
    names = [name for name in answer.headers if name.lower().startswith("access-control-") or name.lower() == "vary"]
    return CIMultiDict((name, answer.headers[name]) for name in names)


@contextmanager
def front_server(
    listener: socket.socket, server_address: str, added_key: str | None, model: ServedModel
) -> Iterator[None]:
    """
    Answer the connections to a socket, in a thread of its own.

    Args:
        listener: Socket that listens; it is closed at the end.
        server_address: Address of llama.cpp's server, `http://host:port`.
        added_key: API key to add to each request; None: clients send their own.
        model: Properties of the model that is served.
    """
    application = web.Application(client_max_size=MAX_BODY_BYTES)

    async def client(application: web.Application) -> AsyncIterator[None]:
        # Handlers and their requests to llama.cpp end when the client has hung up, which stops the generation.
        async with ClientSession(
            # llama.cpp keeps a thread for each connection that is kept open.
            connector=TCPConnector(limit=0, force_close=True),
            timeout=ClientTimeout(total=None),
            auto_decompress=False,
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as session:
            application[CLIENT] = session
            yield

    application.cleanup_ctx.append(client)
    application.router.add_route("*", "/{path:.*}", Front(URL(server_address), added_key, model).handle)
    with running(listener, application):
        yield
