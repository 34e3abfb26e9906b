"""
llama.cpp's server for a GGUF file of this project. The file is checked first, so that the error for a damaged one says
what is wrong with it, and it can run another number of loops.
"""

import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from evaluation.models.llama_server import DEFAULT_CONTEXT, RunningServer, ServerSettings, llama_server
from model_cards.gguf.file import ARCHITECTURE, MAX_LAYERS, GgufFile, read_gguf

NUM_LOOPS = f"{ARCHITECTURE}.num_loops"
ATTENTION = ("head_count_kv", "key_length", "value_length")
# For a model without a chat template: the contents of the messages, one after the other. The default of llama.cpp is
# ChatML, whose markers such a model has never seen.
CONTINUE_MESSAGES = "{% for message in messages %}{{ message.content }}{% endfor %}"


def is_gguf(model: str) -> bool:
    """Whether a model is a GGUF file, rather than a folder of a saved model or a name on the Hub."""
    return Path(model).is_file() or model.endswith(".gguf")


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
def looplm_server(
    file: GgufFile, settings: ServerSettings, num_loops: int | None = None, *, chat_template: str | None = None
) -> Iterator[RunningServer]:
    """
    Run llama.cpp's server in this process, see `llama_server`.

    Args:
        file: The GGUF file.
        settings: Of the server; without a context length the model's maximum or 4096, whichever is smaller.
        num_loops: Number of loops; None: the number in the file.
        chat_template: Jinja template; None: the file's, or `CONTINUE_MESSAGES` for a file without one.

    Raises:
        ValueError: A setting does not fit the file, or llama.cpp cannot load the file.
        OSError: The server cannot listen on the address.
    """
    longest = file.metadata[f"{ARCHITECTURE}.context_length"]
    context_length = settings.context_length or min(longest, DEFAULT_CONTEXT)
    if context_length > longest:
        raise ValueError(
            f"context_length must be at most {longest}, the positions of {file.path}, got {context_length}"
        )
    loops = check_num_loops(file, num_loops)
    settings = replace(settings, context_length=context_length)
    if chat_template is None and "tokenizer.chat_template" not in file.metadata:
        chat_template = CONTINUE_MESSAGES
    with ExitStack() as stack:
        # A temporary copy can be removed as soon as it is loaded.
        with with_num_loops(file, loops) as path:
            server = llama_server(path, settings, name=file.path.name, chat_template=chat_template)
            running = stack.enter_context(server)
        yield running
