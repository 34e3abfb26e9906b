"""llama.cpp's server for a GGUF file, with a check of the requests before it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from evaluation.http_server import address_of
from evaluation.models.llama_server import RunningServer, ServerSettings, listening_socket
from model_cards.gguf.file import ARCHITECTURE, GgufFile
from model_cards.serving.chat_template import check_template_of_server, read_chat_template, supports_tools
from model_cards.serving.front import front_server
from model_cards.serving.looplm_server import ATTENTION, check_num_loops, looplm_server
from model_cards.serving.request_rules import ServedModel

CACHE_BYTES = 2  # llama.cpp caches keys and values in fp16.


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
            with front_server(listener, server.address, added_key, model):
                yield replace(server, address=address_of(listener, settings.host))


def describe(file: GgufFile, settings: ServerSettings, server: RunningServer, num_loops: int | None) -> str:
    """
    Return lines about a running server: model, memory, and what it processes at the same time.

    Args:
        file: The GGUF file.
        settings: Of the server.
        server: The server.
        num_loops: Number of loops; None: the number in the file.
    """
    blocks, loops = file.metadata[f"{ARCHITECTURE}.block_count"], check_num_loops(file, num_loops)
    heads, *lengths = (file.metadata[f"{ARCHITECTURE}.attention.{name}"] for name in ATTENTION)
    cached = blocks * loops * heads * sum(lengths) * CACHE_BYTES * server.context_length * settings.parallel
    return (
        f"{file.path.name}: {blocks} blocks x {loops} loops, file {file.nbytes / 1e6:.1f} MB, key-value cache "
        f"{cached / 1e6:.1f} MB\n"
        f"{settings.parallel} requests at a time, {server.context_length} tokens each, {server.num_threads} threads"
    )
