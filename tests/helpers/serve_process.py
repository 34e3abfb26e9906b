"""The command `serve` as a process of its own, and requests to a server of this machine."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from tests.helpers.paths import ROOT


@contextmanager
def serving(model, *options, **environment):
    """A server on a free port: the process and its address."""
    command = [sys.executable, "-m", "model_cards", "serve", "--model", str(model), "--port", "0"]
    command += ["--num-threads", "1", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LLAMA_API_KEY": "", **environment}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        # Whatever goes wrong, no test waits longer than this.
        killer = threading.Timer(60, process.kill)
        killer.start()
        try:
            lines = []
            while not lines or not lines[-1].startswith("Serving at "):
                lines.append(process.stdout.readline())
                assert lines[-1], process.stderr.read()
            yield process, lines[-1].split()[2].rstrip(";,")
        finally:
            killer.cancel()
            process.kill()


def send(address, method, route, body=None, key="", **headers):
    """Send a request; returns status, headers and content."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=50)
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    connection.request(method, route, body, {"Authorization": f"Bearer {key}", **headers})
    with connection.getresponse() as response:
        return response.status, response.headers, response.read()


def events(content):
    """The JSON objects of a stream of server-sent events, which must end with "[DONE]"."""
    *sent, end = content.decode().removesuffix("\n\n").split("\n\n")
    assert end == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in sent]
