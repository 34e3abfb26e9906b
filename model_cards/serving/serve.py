"""The command `serve`: a GGUF file in llama.cpp's OpenAI-compatible server, until a signal ends it."""

import os
import signal
import time
from pathlib import Path

from evaluation.models.llama_server import RunningServer, ServerSettings
from model_cards.gguf.file import ARCHITECTURE, GgufFile
from model_cards.serving.looplm_server import ATTENTION, check_num_loops, looplm_server, open_model

CACHE_BYTES = 2  # llama.cpp caches keys and values in fp16.


def serve(path: Path, settings: ServerSettings, num_loops: int | None = None) -> int:
    """
    Serve a GGUF file until SIGINT or SIGTERM, and then end the process with status 0.

    Args:
        path: The GGUF file.
        settings: Of the server.
        num_loops: Number of loops; None: the number in the file.

    Raises:
        ValueError, OSError: See [`open_model`] and [`looplm_server`].
    """
    # SIGTERM as Ctrl-C, so that a temporary copy is removed. Background jobs of a shell ignore SIGINT by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    file = open_model(path)
    with looplm_server(file, settings, num_loops) as server:
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
