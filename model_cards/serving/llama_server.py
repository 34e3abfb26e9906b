"""
llama.cpp's own HTTP server, from the wheel `xllamacpp`, on a file that this project wrote.

It answers OpenAI's routes (`/v1/completions`, `/v1/chat/completions`, `/v1/models`), `/health` and llama.cpp's own.
The file is checked first, so that a broken one is an error that says what is wrong with it.
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

from model_cards.gguf.file import ARCHITECTURE, MOST_LAYERS, GgufFile, read_gguf

LOOPS = f"{ARCHITECTURE}.num_loops"
ATTENTION = ("head_count_kv", "key_length", "value_length")
USUAL_CONTEXT = 4096
# A model without a chat template of its own continues text: the messages' contents, one after the other. llama.cpp
# would put ChatML's marks around them, which such a model has never seen.
CONTINUE_MESSAGES = "{% for message in messages %}{{ message.content }}{% endfor %}"
# llama.cpp notices only so often (in seconds) that a client is gone, or that it shall end.
SECONDS_BETWEEN_PINGS = 1


@dataclass(frozen=True)
class ServerSettings:
    """
    How a file is served.

    Attributes:
        host: Name or address to listen on. Others than this machine's own need an `api_key`.
        port: 0 takes a free one.
        api_key: What clients must send as a bearer token; None asks for nothing.
        context: Tokens of a request, prompt and answer together; None takes the model's, at most 4096.
        parallel: Requests at a time; others wait. Each has keys and values of its own in memory.
        threads: None takes one per processor core.
        loops: Depth instead of the file's.
    """

    host: str = "127.0.0.1"
    port: int = 0
    api_key: str | None = None
    context: int | None = None
    parallel: int = 1
    threads: int | None = None
    loops: int | None = None

    def __post_init__(self):
        if not 0 <= self.port < 2**16:
            raise ValueError(f"port must be from 0 (a free one) to 65535, got {self.port}")
        for name in ("context", "parallel", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.api_key is not None and not (self.api_key.isascii() and self.api_key.isprintable() and self.api_key):
            raise ValueError("api_key must be printable ASCII, at least one character: it travels in an HTTP header")


@dataclass(frozen=True)
class RunningServer:
    """A server that answers: its address (`http://host:port`) and what it runs with."""

    address: str
    context: int
    loops: int
    threads: int


def open_model(path: str | Path) -> GgufFile:
    """
    The description of a file that `python -m model_cards gguf` wrote.

    Raises:
        ValueError: It is no GGUF file, truncated, or of another architecture.
        OSError: It cannot be read.
    """
    file = read_gguf(path)
    architecture = file.metadata.get("general.architecture")
    needed = ("num_loops", "block_count", "context_length", *(f"attention.{name}" for name in ATTENTION))
    missing = [name for name in needed if f"{ARCHITECTURE}.{name}" not in file.metadata]
    if architecture != ARCHITECTURE or missing:
        lack = f" without {missing[0]}" if architecture == ARCHITECTURE else ""
        raise ValueError(
            f"{path} must be a file of the architecture {ARCHITECTURE}, as python -m model_cards gguf writes it, got "
            f"{architecture}{lack}"
        )
    return file


def check_loops(file: GgufFile, loops: int | None) -> int:
    """The depth to run a file with. Raises `ValueError` when llama.cpp has no room for as many layers."""
    most = MOST_LAYERS // file.metadata[f"{ARCHITECTURE}.block_count"]
    if loops is None:
        return file.metadata[LOOPS]
    if not 1 <= loops <= most:
        raise ValueError(f"loops must be from 1 to {most} for {file.path}, got {loops}")
    return loops


@contextmanager
def at_depth(file: GgufFile, loops: int) -> Iterator[Path]:
    """The path of a file that runs `loops` loops: the file itself, or a temporary copy with another number in it."""
    if loops == file.metadata[LOOPS]:
        yield file.path
        return
    with tempfile.TemporaryDirectory(prefix="loops-") as folder:
        copy = Path(folder) / file.path.name
        try:
            shutil.copyfile(file.path, copy)
        except OSError as error:
            raise OSError(
                f"another depth needs a temporary copy of {file.path.name} ({file.nbytes / 1e6:.0f} MB), which failed "
                f"in {folder}: {error.strerror}. Set TMPDIR to a folder with more room."
            ) from error
        with copy.open("r+b") as stream:
            stream.seek(file.value_offsets[LOOPS])
            stream.write(struct.pack("<I", loops))
        yield copy


@contextmanager
def llama_server(file: GgufFile, settings: ServerSettings) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in this process; on leaving it ends, once the requests that it is answering have ended.

    Raises:
        ValueError: A setting does not fit the file, or llama.cpp cannot load it.
        OSError: The address cannot be listened on.
    """
    # Threads that wait sleep. By default they spin, which on a machine that does other work as well makes llama.cpp
    # several times slower; must be set before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    longest = file.metadata[f"{ARCHITECTURE}.context_length"]
    context = settings.context or min(longest, USUAL_CONTEXT)
    if context > longest:
        raise ValueError(f"context must be at most {longest}, the positions of {file.path}, got {context}")
    loops = check_loops(file, settings.loops)
    threads = settings.threads or _cores()
    _check_address(settings)

    parameters = xllamacpp.CommonParams()
    parameters.model_alias = {file.path.name}
    parameters.hostnames = [settings.host]
    parameters.port = settings.port
    if settings.api_key is not None:
        parameters.api_keys = [settings.api_key]
    # Pages of other sites, open in a browser on this machine, may not use the server.
    parameters.cors_origins = "localhost"
    if "tokenizer.chat_template" not in file.metadata:
        parameters.chat_template = CONTINUE_MESSAGES
    parameters.n_parallel = settings.parallel
    parameters.n_ctx = context * settings.parallel
    # Not less context than was asked for when memory is short, without a word.
    parameters.fit_params = False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.sse_ping_interval = SECONDS_BETWEEN_PINGS
    parameters.verbosity = 1
    # Once loaded the file's name is not needed: a temporary copy is gone before the first request, however this ends.
    with at_depth(file, loops) as path:
        parameters.model.path = str(path)
        try:
            server = xllamacpp.Server(parameters)
        except RuntimeError as error:
            raise ValueError(f"llama.cpp must be able to load {file.path}; what it says is above") from error
    # Its loop must have begun: told to end before that, it would begin all the same and never end.
    server.handle_completions({"prompt": "a", "max_tokens": 1})
    try:
        yield RunningServer(server.listening_address, context, loops, threads)
    finally:
        del server


def _cores() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def _check_address(settings: ServerSettings) -> None:
    """llama.cpp says neither why it cannot listen nor who can reach it."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(f"host must be a name or an address of this machine, got {settings.host!r}") from error
    own = all(ipaddress.ip_address(address[0].split("%")[0]).is_loopback for *_, address in found)
    if not own and settings.api_key is None:
        raise ValueError(
            f"host {settings.host} can be reached by other machines and needs an API key: set LLAMA_API_KEY in the "
            "environment, or stay with 127.0.0.1"
        )
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        # As the server itself: an address whose last connections are still being closed is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise OSError(
                f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}. Choose another with "
                "--port; 0 takes a free one."
            ) from error
