"""`python -m model_cards serve`: a GGUF file behind llama.cpp's OpenAI-compatible server, until a signal ends it."""

import os
import signal
import time
from pathlib import Path

from model_cards.gguf.file import ARCHITECTURE, GgufFile
from model_cards.serving.llama_server import ATTENTION, RunningServer, ServerSettings, llama_server, open_model

BYTES_OF_A_KEY = 2  # llama.cpp keeps keys and values as fp16.


def serve(path: Path, settings: ServerSettings) -> int:
    """
    Serve a file until SIGINT or SIGTERM; does not return then, but ends the process with status 0.

    Raises:
        ValueError, OSError: See [`open_model`] and [`llama_server`].
    """
    # Both as Ctrl-C, so that a copy that is being made is removed; a shell's background jobs would ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    file = open_model(path)
    with llama_server(file, settings) as server:
        try:
            print(_greeting(file, settings, server), flush=True)
            while True:
                # `signal.pause` would miss a signal that comes just before it.
                time.sleep(1)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("Stopped.", flush=True)
        # llama.cpp would wait for clients that wait for it. Ending the process closes their connections, and nothing
        # is left to be tidied up.
        os._exit(0)


def _greeting(file: GgufFile, settings: ServerSettings, server: RunningServer) -> str:
    blocks = file.metadata[f"{ARCHITECTURE}.block_count"]
    heads, *lengths = (file.metadata[f"{ARCHITECTURE}.attention.{name}"] for name in ATTENTION)
    cached = blocks * server.loops * heads * sum(lengths) * BYTES_OF_A_KEY * server.context * settings.parallel
    key = ' -H "Authorization: Bearer $LLAMA_API_KEY"' if settings.api_key is not None else ""
    asked = "" if settings.api_key is None else ", with an API key"
    body = '{"prompt": "fn main() {", "max_tokens": 64}'
    return (
        f"{file.path.name}: blocks x loops {blocks} x {server.loops}, file {file.nbytes / 1e6:.1f} MB, keys and "
        f"values {cached / 1e6:.1f} MB\n"
        f"{settings.parallel} requests at a time, {server.context} tokens each, {server.threads} threads\n"
        f"Serving at {server.address}/v1{asked}; Ctrl-C ends it. Try:\n\n"
        f"curl {server.address}/v1/completions -H 'Content-Type: application/json'{key} -d '{body}'\n"
    )
