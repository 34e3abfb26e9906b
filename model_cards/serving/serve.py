"""
The command `serve`: a model behind an OpenAI-compatible server, until a signal ends it. GGUF files run in llama.cpp,
saved models in the native engine.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation.models.llama_server import ServerSettings, listening_socket
from model_cards.serving.chat_template import read_chat_template
from model_cards.serving.looplm_server import is_gguf, open_model


@dataclass(frozen=True)
class ServeOptions:
    """
    Options of the command.

    Attributes:
        model: GGUF file, folder of a saved LoopLM, or its name on the Hub.
        server: Settings of the server.
        num_loops: Number of loops; None: the model's own.
        exit_threshold: Of the exit gate, for saved models only; None: the model's own.
        chat_template: File with a Jinja template; None: the model's.
    """

    model: str
    server: ServerSettings
    num_loops: int | None = None
    exit_threshold: float | None = None
    chat_template: Path | None = None

    def __post_init__(self):
        if self.exit_threshold is not None and is_gguf(self.model):
            raise ValueError(
                f"exit_threshold needs the folder of a saved model or a Hub name, because llama.cpp runs all loops, "
                f"got {self.model}"
            )


def serve(options: ServeOptions) -> int:
    """
    Serve a model until SIGINT or SIGTERM, and then end the process with status 0.

    Raises:
        ValueError, OSError: The model cannot be served, see [`open_model`], [`checked_server`] and
            [`load_native_model`].
    """
    # SIGTERM as Ctrl-C, so that a temporary copy is removed. Background jobs of a shell ignore SIGINT by default.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with (_gguf if is_gguf(options.model) else _native)(options) as (address, description):
        try:
            print(f"{description}\n{_invitation(address, options.server)}", flush=True)
            while True:
                # Not `signal.pause`, which misses a signal that arrives just before it.
                time.sleep(1)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("Stopped.", flush=True)
        # A server would finish its requests first. Ending the process closes the connections, and nothing else is left
        # to clean up.
        os._exit(0)


@contextmanager
def _gguf(options: ServeOptions) -> Iterator[tuple[str, str]]:
    """Run a GGUF file; yields the address, and lines about model and server."""
    from model_cards.serving.checked_server import checked_server, describe

    file = open_model(options.model)
    with checked_server(file, options.server, options.num_loops, options.chat_template) as server:
        yield server.address, describe(file, options.server, server, options.num_loops)


@contextmanager
def _native(options: ServeOptions) -> Iterator[tuple[str, str]]:
    """Run a saved model; yields the address, and lines about model and server."""
    template = None if options.chat_template is None else read_chat_template(options.chat_template)
    # Only this engine needs PyTorch, to load the model.
    from model_cards.serving.native_model import load_native_model
    from model_cards.serving.native_server import native_server

    with listening_socket(options.server) as listener:
        model = load_native_model(
            options.model,
            context_length=options.server.context_length,
            num_threads=options.server.num_threads,
            num_loops=options.num_loops,
            exit_threshold=options.exit_threshold,
            chat_template=template,
        )
        with native_server(model, options.server, listener) as address:
            yield address, model.describe(options.server.parallel)


def _invitation(address: str, settings: ServerSettings) -> str:
    key = ' -H "Authorization: Bearer $LLAMA_API_KEY"' if settings.api_key is not None else ""
    with_key = "" if settings.api_key is None else ", with an API key"
    body = '{"prompt": "fn main() {", "max_tokens": 64}'
    return (
        f"Serving at {address}/v1{with_key}; stop with Ctrl-C. Try:\n\n"
        f"curl {address}/v1/completions -H 'Content-Type: application/json'{key} -d '{body}'\n"
    )
