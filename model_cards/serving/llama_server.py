"""
llama.cpp's HTTP server, from the wheel `xllamacpp`, for a GGUF file of this project.

It has the routes of OpenAI's API (`/v1/completions`, `/v1/chat/completions`, `/v1/models`), `/health`, and others of
llama.cpp. The file is checked first, so that the error for a damaged one says what is wrong with it.
"""

import ipaddress
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from model_cards.gguf.file import ARCHITECTURE, MAX_LAYERS, GgufFile, read_gguf

NUM_LOOPS = f"{ARCHITECTURE}.num_loops"
ATTENTION = ("head_count_kv", "key_length", "value_length")
DEFAULT_CONTEXT = 4096
# For a model without a chat template: the contents of the messages, one after the other. The default of llama.cpp is
# ChatML, whose markers such a model has never seen.
CONTINUE_MESSAGES = "{% for message in messages %}{{ message.content }}{% endfor %}"
# Seconds until llama.cpp notices that a client has disconnected, or that the server is to stop.
PING_INTERVAL = 1


@dataclass(frozen=True)
class ServerSettings:
    """
    Settings of a server.

    Attributes:
        host: Name or address to listen on. Any that other machines can reach needs an `api_key`.
        port: Port to listen on; 0: a free one.
        api_key: Bearer token that clients must send; None: no authentication.
        context_length: Maximum number of tokens of a request, prompt and completion together; None: the model's
            maximum or 4096, whichever is smaller.
        parallel: Number of requests that are processed at the same time, each with its own key-value cache; others
            wait.
        num_threads: None: one per processor core.
        num_loops: None: the number in the file.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    context_length: int | None = None
    parallel: int = 1
    num_threads: int | None = None
    num_loops: int | None = None

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
    num_loops: int
    num_threads: int


def open_model(path: str | Path) -> GgufFile:
    """
    Read metadata and tensor table of a GGUF file that this project wrote.

    Raises:
        ValueError: The file is not a GGUF file, is truncated, or has another architecture.
        OSError: The file cannot be read.
    """
    file = read_gguf(path)
    architecture = file.metadata.get("general.architecture")
    required = ("num_loops", "block_count", "context_length", *(f"attention.{name}" for name in ATTENTION))
    missing = [name for name in required if f"{ARCHITECTURE}.{name}" not in file.metadata]
    if architecture != ARCHITECTURE or missing:
        fault = f" without {missing[0]}" if architecture == ARCHITECTURE else ""
        raise ValueError(
            f"{path} must be a file of the architecture {ARCHITECTURE}, as the command gguf writes it, got "
            f"{architecture}{fault}"
        )
    return file


def check_num_loops(file: GgufFile, num_loops: int | None) -> int:
    """Return the number of loops to run, None: the file's own; raises ValueError when llama.cpp cannot run as many."""
    largest = MAX_LAYERS // file.metadata[f"{ARCHITECTURE}.block_count"]
    if num_loops is None:
        return file.metadata[NUM_LOOPS]
    if not 1 <= num_loops <= largest:
        raise ValueError(f"num_loops must be from 1 to {largest} for {file.path}, got {num_loops}")
    return num_loops


@contextmanager
def with_num_loops(file: GgufFile, num_loops: int) -> Iterator[Path]:
    """Yield the path of a file with this number of loops: the file itself, or a temporary copy that is changed."""
    if num_loops == file.metadata[NUM_LOOPS]:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="loops-") as folder:
        copy = Path(folder) / file.path.name
        try:
            shutil.copyfile(file.path, copy)
        except OSError as error:
            raise OSError(
                f"another number of loops needs a temporary copy of {file.path.name} ({file.nbytes / 1e6:.0f} MB), "
                f"which failed in {folder}: {error.strerror}. Set TMPDIR to a folder with more space."
            ) from error
        with copy.open("r+b") as stream:
            stream.seek(file.value_offsets[NUM_LOOPS])
            stream.write(struct.pack("<I", num_loops))
        yield copy


@contextmanager
def llama_server(file: GgufFile, settings: ServerSettings) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in this process. On exit it finishes the requests that it is processing, and stops.

    Raises:
        ValueError: A setting does not fit the file, or llama.cpp cannot load the file.
        OSError: The server cannot listen on the address.
    """
    # Threads that wait sleep. By default they spin, which makes llama.cpp several times slower on a machine that does
    # other work, too. Must be set before the library is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    longest = file.metadata[f"{ARCHITECTURE}.context_length"]
    context_length = settings.context_length or min(longest, DEFAULT_CONTEXT)
    if context_length > longest:
        raise ValueError(
            f"context_length must be at most {longest}, the positions of {file.path}, got {context_length}"
        )
    num_loops = check_num_loops(file, settings.num_loops)
    num_threads = settings.num_threads or _cores()
    _check_address(settings)

    parameters = xllamacpp.CommonParams()
    parameters.model_alias = {file.path.name}
    parameters.hostnames = [settings.host]
    parameters.port = settings.port
    if settings.api_key is not None:
        parameters.api_keys = [settings.api_key]
    # Web pages of other sites, open in a browser on this machine, may not use the server.
    parameters.cors_origins = "localhost"
    if "tokenizer.chat_template" not in file.metadata:
        parameters.chat_template = CONTINUE_MESSAGES
    parameters.n_parallel = settings.parallel
    parameters.n_ctx = context_length * settings.parallel
    # Otherwise the context is silently shortened when memory is short.
    parameters.fit_params = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = num_threads
    parameters.sse_ping_interval = PING_INTERVAL
    parameters.verbosity = 1
    # A temporary copy can be removed as soon as it is loaded.
    with with_num_loops(file, num_loops) as path:
        parameters.model.path = str(path)
        try:
            server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ValueError(f"llama.cpp must be able to load {file.path}; its messages are above") from error
    # Wait until its loop has started: a server that is told to stop before that never stops.
    server.handle_completions({"prompt": "a", "max_tokens": 1})
    try:
        yield RunningServer(server.listening_address, context_length, num_loops, num_threads)
    finally:
        del server


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def _check_address(settings: ServerSettings) -> None:
    """Check what llama.cpp does not: who can reach the address, and why it cannot be listened on."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(f"host must be a name or an address of this machine, got {settings.host!r}") from error
    own = all(ipaddress.ip_address(address[0].split("%")[0]).is_loopback for *_, address in found)
    if not own and settings.api_key is None:
        raise ValueError(
            f"host {settings.host} can be reached by other machines and needs an API key: set LLAMA_API_KEY in the "
            "environment, or use 127.0.0.1"
        )
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        # As in the server: an address whose last connections are still being closed can be used.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise OSError(
                f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}. Choose another with "
                "--port; 0 is a free one."
            ) from error
