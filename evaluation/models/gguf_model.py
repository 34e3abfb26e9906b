"""A model in a GGUF file, which llama.cpp runs in a process of its own."""

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generation_settings import GenerationSettings
from evaluation.loading import load_gguf
from evaluation.models.digest import file_digest
from evaluation.models.gguf_metadata import read_metadata
from evaluation.models.llama_server import DEFAULT_CONTEXT, RunningServer, ServerSettings, llama_process
from evaluation.models.openai_server import OpenAIServer
from evaluation.models.served_model import SuiteDoesNotFit

ROOM_FOR_PROMPT = 1024


class GgufModel(OpenAIServer):
    """
    A GGUF file in a running server; see `open_gguf_model`.

    Args:
        path: The file.
        server: That serves it.
        key: API key of the server.
    """

    digest_of = "the GGUF file"

    def __init__(self, path: Path, server: RunningServer, key: str):
        # Proxies of the environment cannot reach the loopback interface.
        super().__init__(f"{server.address}/v1", None, key, trust_environment=False)
        self.name = str(path)
        self.digest = file_digest(path)
        metadata = read_metadata(path)
        # llama.cpp would ask a model without a template in one that the model has never seen.
        self.chat_template = str(metadata.get("tokenizer.chat_template", ""))
        self._architecture = str(metadata.get("general.architecture"))

    def in_memory(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        return self._in_memory

    @cached_property
    def _in_memory(self) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        try:
            return load_gguf(Path(self.name))
        except ValueError as error:
            raise SuiteDoesNotFit(f"{error}. Evaluate the folder that the file was made from") from error

    def describe(self) -> dict[str, Any]:
        return {"model_type": self._architecture, "parameters": self._model.parameters, "server": self._model.owner}


@contextmanager
def open_gguf_model(path: Path, settings: GenerationSettings) -> Iterator[GgufModel]:
    """
    Run a GGUF file in llama.cpp while the context lasts, on a free port of the loopback interface, with an API key
    that only this process knows.

    Args:
        path: The file.
        settings: How completions will be sampled: `batch_size` at the same time, and with room for as many tokens.

    Raises:
        ValueError: It is no GGUF file, or llama.cpp cannot load it.
        FileNotFoundError: There is no such file.
        ModuleNotFoundError: The extra `gguf` is not installed.
    """
    read_metadata(path)
    key = secrets.token_urlsafe()
    context_length = max(DEFAULT_CONTEXT, settings.max_new_tokens + ROOM_FOR_PROMPT)
    server = ServerSettings(api_key=key, parallel=settings.batch_size, context_length=context_length)
    with llama_process(path, server) as running:
        with closing(GgufModel(path, running, key)) as model:
            yield model
