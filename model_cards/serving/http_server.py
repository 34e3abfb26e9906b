"""Bodies of requests, and errors in the form of OpenAI's API."""

import json
from collections.abc import Mapping

from aiohttp import web

from evaluation.http_server import MAX_BODY_BYTES
from model_cards.serving.request_rules import RefusedRequestError


def parse_body(body: bytes) -> object:
    """Return the JSON value of a request's body. Raises `RefusedRequestError` if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedRequestError(f"the body must be JSON: {error}") from error


def error_answer(
    status: int,
    message: str,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
    code: str | None = None,
) -> web.Response:
    """Return an error in the form of OpenAI's API."""
    error = {"message": message, "type": "invalid_request_error", "param": field, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)


def too_large() -> web.Response:
    """Return the error for a body of more than `MAX_BODY_BYTES`."""
    return error_answer(413, f"the body of a request must have at most {MAX_BODY_BYTES} bytes")
