"""
The command `serve`: a GGUF file in llama.cpp's OpenAI-compatible server, with a check of the requests, until a signal
ends it.
"""

import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evaluation.models.llama_server import RunningServer, ServerSettings, listening_socket
from model_cards.gguf.file import ARCHITECTURE, GgufFile
from model_cards.serving.chat_template import check_template_of_server, read_chat_template, supports_tools
from model_cards.serving.front import front_server
from model_cards.serving.looplm_server import ATTENTION, check_num_loops, looplm_server, open_model
from model_cards.serving.request_rules import ServedModel

CACHE_BYTES = 2  # llama.cpp caches keys and values in fp16.


def serve(
    path: Path, settings: ServerSettings, num_loops: int | None = None, chat_template: Path | None = None
) -> int:
    """
    Serve a GGUF file until SIGINT or SIGTERM, and then end the process with status 0.

    Args:
        path: The GGUF file.
        settings: Of the server.
        num_loops: Number of loops; None: the number in the file.
        chat_template: File with a Jinja template; None: the template of the GGUF file.

    Raises:
        ValueError, OSError: See [`open_model`], [`read_chat_template`] and [`looplm_server`].
    """
    # SIGTERM as Ctrl-C, so that a temporary copy is removed. Background jobs of a shell ignore SIGINT by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    file = open_model(path)
    with checked_server(file, settings, num_loops, chat_template) as server:
        try:
            print(_greeting(file, settings, server, check_num_loops(file, num_loops)), flush=True)
            while True:
                # Not `signal.pause`, which misses a signal that arrives just before it.
                time.sleep(1)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("Stopped.", flush=True)
        # llama.cpp would finish all requests first. Ending the process closes the connections, and nothing else is
        # left to clean up.
        os._exit(0)


@contextmanager
def checked_server(
    file: GgufFile, settings: ServerSettings, num_loops: int | None = None, chat_template: Path | None = None
) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in this process, on a free port of the loopback interface, and one in front of it that
    refuses the requests of which llama.cpp would ignore a part.

    Args:
        file: The GGUF file.
        settings: Of the server in front; the context length, requests at a time and threads are llama.cpp's.
        num_loops: Number of loops; None: the number in the file.
        chat_template: File with a Jinja template; None: the template of the GGUF file.

    Yields:
        The server in front.

    Raises:
        ValueError, OSError: See [`read_chat_template`], [`listening_socket`] and [`looplm_server`].
    """
    template = None if chat_template is None else read_chat_template(chat_template)
    # Otherwise other users of this machine could connect to llama.cpp without the check.
    added_key = secrets.token_urlsafe() if settings.api_key is None else None
    behind = replace(settings, host="127.0.0.1", port=0, api_key=added_key or settings.api_key)
    with listening_socket(settings) as listener:
        with looplm_server(file, behind, num_loops, chat_template=template) as server:
            key = behind.api_key
            assert key is not None
            if chat_template is not None:
                check_template_of_server(chat_template, server.address, key)
            vocab_size, _ = file.tensors["token_embd.weight"].shape
            model = ServedModel(vocab_size, supports_tools(server.address, key))
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            address = f"http://{host}:{listener.getsockname()[1]}"
            with front_server(listener, server.address, added_key, model):
                yield replace(server, address=address)


def _greeting(file: GgufFile, settings: ServerSettings, server: RunningServer, num_loops: int) -> str:
    blocks = file.metadata[f"{ARCHITECTURE}.block_count"]
    heads, *lengths = (file.metadata[f"{ARCHITECTURE}.attention.{name}"] for name in ATTENTION)
    cached = blocks * num_loops * heads * sum(lengths) * CACHE_BYTES * server.context_length * settings.parallel
    key = ' -H "Authorization: Bearer $LLAMA_API_KEY"' if settings.api_key is not None else ""
    with_key = "" if settings.api_key is None else ", with an API key"
    body = '{"prompt": "fn main() {", "max_tokens": 64}'
    return (
        f"{file.path.name}: {blocks} blocks x {num_loops} loops, file {file.nbytes / 1e6:.1f} MB, key-value "
        f"cache {cached / 1e6:.1f} MB\n"
        f"{settings.parallel} requests at a time, {server.context_length} tokens each, {server.num_threads} "
        "threads\n"
        f"Serving at {server.address}/v1{with_key}; stop with Ctrl-C. Try:\n\n"
        f"curl {server.address}/v1/completions -H 'Content-Type: application/json'{key} -d '{body}'\n"
    )
