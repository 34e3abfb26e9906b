"""A small server with OpenAI's API, whose faults a test chooses."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class SmallServer:
    """
    Settings and record of a server.

    Attributes:
        models: Names that it lists.
        write: From the prompt, or the question, to the pieces of the answer.
        refusals: Status codes of the next requests for text; 0 ends the connection within the answer.
        reason: Reason for the end of an answer.
        listing: Text that is sent in place of the list of models.
        asked: Bodies of the requests that were answered.
        sent: Number of pieces that were sent.
        owner: Who runs the models.
        key: API key that requests must have.
        barrier: Waits until as many requests have come.
        address: Base URL.
    """

    models: tuple[str, ...] = ("small",)
    write: Callable[[str], list[str]] = lambda prompt: ["    1\n", "}"]
    refusals: list[int] = field(default_factory=list)
    reason: str | None = "stop"
    owner: str = "someone"
    listing: str | None = None
    key: str | None = None
    barrier: threading.Barrier | None = None
    address: str = ""
    asked: list[dict] = field(default_factory=list)
    sent: int = 0


@contextmanager
def small_server(settings: SmallServer) -> Iterator[SmallServer]:
    """Serve on a free port of the loopback interface."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(settings)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.address = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield settings
        finally:
            server.shutdown()
            thread.join()


def _handler(settings: SmallServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

        def _refused(self) -> bool:
            if settings.key is None or self.headers["Authorization"] == f"Bearer {settings.key}":
                return False
            self._send(401, json.dumps({"error": {"message": "wrong key"}}))
            return True

        def _send(self, status: int, content: str, kind: str = "application/json"):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Retry-After-Ms", "1")
            self.end_headers()
            self.wfile.write(content.encode())

        def do_GET(self):
            if self._refused():
                return
            if self.path != "/v1/models":
                self._send(404, "{}")
                return
            listed = {"data": [{"id": name, "owned_by": settings.owner} for name in settings.models]}
            self._send(200, json.dumps(listed) if settings.listing is None else settings.listing)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self._refused():
                return
            refusal = settings.refusals.pop(0) if settings.refusals else None
            if refusal:
                self._send(refusal, json.dumps({"error": {"message": "try again"}}))
                return
            if settings.barrier is not None:
                settings.barrier.wait(20)
            settings.asked.append(body)
            chat = self.path == "/v1/chat/completions"
            pieces = settings.write(body["messages"][0]["content"] if chat else body["prompt"])
            try:
                self._send(200, "", "text/event-stream")
                for number, piece in enumerate(pieces):
                    if refusal == 0 and number == len(pieces) // 2:
                        # Without the end of the chunked body.
                        return
                    self._event({"delta": {"content": piece}} if chat else {"text": piece}, None)
                    settings.sent += 1
                self._event({"delta": {}} if chat else {"text": ""}, settings.reason)
                usage = {"completion_tokens": 2 * len(pieces)}
                self.wfile.write(f"data: {json.dumps({'choices': [], 'usage': usage})}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")
            except (BrokenPipeError, ConnectionResetError):
                pass

        def _event(self, content: dict, reason: str | None):
            choice = {"index": 0, "finish_reason": reason, **content}
            self.wfile.write(f": ping\n\ndata: {json.dumps({'choices': [choice]})}\n\n".encode())
            self.wfile.flush()

    return Handler
