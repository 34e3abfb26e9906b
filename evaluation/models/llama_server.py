"""
llama.cpp's HTTP server, from the wheel `xllamacpp`: in this process, or in one of its own.

It has the routes of OpenAI's API (`/v1/completions`, `/v1/chat/completions`, `/v1/models`), `/health`, and others of
llama.cpp. This file is also the program of the process of its own, which imports nothing else of this project.
"""

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil

DEFAULT_CONTEXT = 4096
# Seconds until llama.cpp notices that a client has disconnected, or that the server is to stop.
PING_INTERVAL = 1
SECONDS_TO_END = 10


@dataclass(frozen=True)
class ServerSettings:
    """
    Settings of a server.

    Attributes:
        host: Name or address to listen on. Any that other machines can reach needs an `api_key`.
        port: Port to listen on; 0: a free one.
        api_key: Bearer token that clients must send; None: no authentication.
        context_length: Maximum number of tokens of a request, prompt and completion together; None: 4096. llama.cpp
            lowers it to the model's maximum.
        parallel: Number of requests that are processed at the same time, each with its own key-value cache; others
            wait.
        num_threads: None: one per processor core.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    context_length: int | None = None
    parallel: int = 1
    num_threads: int | None = None

    def __post_init__(self):
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port must be from 0 (a free one) to 65535, got {self.port}")
        for name in ("context_length", "parallel", "num_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("api_key must be printable ASCII, at least one character: it is sent in an HTTP header")


@dataclass(frozen=True)
class RunningServer:
    """A running server: its address (`http://host:port`) and its settings, with the defaults filled in."""

    address: str
    context_length: int
    num_threads: int


@contextmanager
def llama_server(
    path: Path, settings: ServerSettings, *, name: str | None = None, chat_template: str | None = None
) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in this process. On exit it finishes the requests that it is processing, and stops.

    Args:
        path: GGUF file; it may be removed once the server runs.
        settings: Of the server.
        name: Name of the model for clients; None: that of the file.
        chat_template: Jinja template; None: the file's, or ChatML for a file without one.

    Raises:
        ValueError: llama.cpp cannot load the file.
        OSError: The server cannot listen on the address.
    """
    # Threads that wait sleep. By default they spin, which makes llama.cpp several times slower on a machine that does
    # other work, too. Must be set before the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    xllamacpp: Any = import_module("xllamacpp")
    context_length = settings.context_length or DEFAULT_CONTEXT
    num_threads = settings.num_threads or _cores()
    listening_socket(settings).close()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(path)
    parameters.model_alias = {name or path.name}
    parameters.hostnames = [settings.host]
    parameters.port = settings.port
    if settings.api_key is not None:
        parameters.api_keys = [settings.api_key]
    # Web pages of other sites, open in a browser on this machine, may not use the server.
    parameters.cors_origins = "localhost"
    if chat_template is not None:
        parameters.chat_template = chat_template
    parameters.n_parallel = settings.parallel
    parameters.n_ctx = context_length * settings.parallel
    # Its page for browsers sends each request with tools, which few models of this project can use.
    parameters.ui = False
    # Otherwise the context is silently shortened when memory is short.
    parameters.fit_params = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = num_threads
    parameters.sse_ping_interval = PING_INTERVAL
    parameters.verbosity = 1
    try:
        server = xllamacpp.Server(parameters)
    except RuntimeError as error:
        raise ValueError(
            f"llama.cpp must be able to load {path} and the chat template; its messages are above"
        ) from error
    # Wait until its loop has started: a server that is told to stop before that never stops.
    server.handle_completions({"prompt": "a", "max_tokens": 1})
    try:
        yield RunningServer(server.listening_address, context_length, num_threads)
    finally:
        del server


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def listening_socket(settings: ServerSettings, variable: str = "LLAMA_API_KEY") -> socket.socket:
    """
    Return a socket that listens on the address of a server. It checks what llama.cpp does not: who can reach the
    address, and why it cannot be listened on.

    Args:
        settings: Of the server.
        variable: Variable of the environment that a user sets the API key by.

    Raises:
        ValueError: Other machines can reach the address, and there is no API key.
        OSError: The address is not one of this machine, or the port is taken.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(f"host must be a name or an address of this machine, got {settings.host!r}") from error
    own = all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)
    if not own and settings.api_key is None:
        raise ValueError(
            f"host {settings.host} can be reached by other machines and needs an API key: set {variable} in the "
            "environment, or use 127.0.0.1"
        )
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    # As in the server: an address whose last connections are still being closed can be used.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise OSError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}. Choose another with --port; 0 "
            "is a free one."
        ) from error
    return listener


@contextmanager
def llama_process(path: Path, settings: ServerSettings) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in a process of its own, which ends with this one, even if this one is killed. A process
    that has loaded PyTorch has threads that spin (see `llama_server`), and a crash of llama.cpp would end it.

    Args:
        path: GGUF file.
        settings: Of the server.

    Raises:
        ValueError: llama.cpp cannot load the file.
        ModuleNotFoundError: xllamacpp is not installed.
    """
    command = [sys.executable, "-I", __file__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        # Not as arguments, which other users of the machine can see.
        process.stdin.write(json.dumps({"path": str(path), "settings": asdict(settings)}) + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline() or '{"error": "it ended; its messages are above"}')
        if "missing" in answer:
            raise ModuleNotFoundError(f"No module named {answer['missing']!r}", name=answer["missing"])
        if "error" in answer:
            raise ValueError(f"llama.cpp cannot serve {path}: {answer['error']}")
        yield RunningServer(**answer)
    finally:
        # It ends when its input does.
        process.stdin.close()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def main() -> None:
    """Serve the file of the first line of standard input until the input ends; write the address when it is ready."""
    # Ctrl-C is for the parent, which then closes this input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Messages of llama.cpp go to standard error.
    report = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.stdin.readline())
    try:
        with llama_server(Path(asked["path"]), ServerSettings(**asked["settings"])) as server:
            print(json.dumps(asdict(server)), file=report, flush=True)
            sys.stdin.read()
            # llama.cpp would finish all requests first.
            os._exit(0)
    except ModuleNotFoundError as error:
        print(json.dumps({"missing": error.name}), file=report, flush=True)
    except (ValueError, OSError) as error:
        print(json.dumps({"error": str(error)}), file=report, flush=True)


if __name__ == "__main__":
    main()
