"""
Text generation token by token: with a GGUF file through llama.cpp, or with a saved model through transformers or the
native engine. All stop at the end of the function that the prompt began.
"""

import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from evaluation.models.llama_server import RunningServer, ServerSettings
from evaluation.token_sampling import TokenSampling
from model_cards.serving.answer import END_CHARACTERS, Show, StreamedAnswer, completed_answer
from model_cards.serving.looplm_server import is_gguf, looplm_server, open_model


class TextEngine(ABC):
    """A model that continues text."""

    @abstractmethod
    def answer(self, prompt: str, sampling: TokenSampling, seed: int, show: Show) -> StreamedAnswer:
        """
        Continue a prompt until its function is complete, the model ends the text, or the context is full.

        Args:
            prompt: Text to continue.
            sampling: How each token is chosen.
            seed: Seed of the sampling.
            show: Called with each piece of text.

        Raises:
            ValueError: The prompt fills the model's context.
        """


class LlamaCppEngine(TextEngine):
    """A running llama.cpp server, see [`llama_cpp`]."""

    def __init__(self, server: RunningServer, api_key: str):
        self._address = urlsplit(server.address)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}

    def answer(self, prompt: str, sampling: TokenSampling, seed: int, show: Show) -> StreamedAnswer:
        answer = StreamedAnswer(prompt, show)
        body = {
            "prompt": prompt,
            "stream": True,
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            # By default llama.cpp drops unlikely tokens by these, too.
            "top_k": 0,
            "min_p": 0.0,
            "repeat_penalty": sampling.repetition_penalty,
            # By default llama.cpp penalizes the last 64 tokens only. No text has more tokens than bytes.
            "repeat_last_n": len(prompt.encode()) + sampling.max_new_tokens,
            "seed": seed,
        }
        # Closing the connection ends the generation.
        with closing(HTTPConnection(self._address.hostname, self._address.port)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(body), self._headers)
            with connection.getresponse() as response:
                if response.status != 200:
                    raise ValueError(f"llama.cpp refuses the prompt: {json.load(response)['error']['message']}")
                for line in response:
                    # There are empty lines and pings between the events.
                    event = line.removeprefix(b"data: ")
                    if event == line or event.strip() == b"[DONE]":
                        continue
                    message = json.loads(event)
                    if "error" in message:
                        raise ValueError(f"llama.cpp failed: {message['error']['message']}")
                    (choice,) = message["choices"]
                    answer.add(choice["text"])
                    if answer.finished:
                        break
        return answer


@contextmanager
def llama_cpp(path: Path, num_loops: int | None = None) -> Iterator[LlamaCppEngine]:
    """
    Run a GGUF file in llama.cpp's server, on a free port of the loopback interface, with an API key that only this
    process knows.

    Args:
        path: The GGUF file.
        num_loops: Number of loops; None: the file's own.

    Raises:
        ValueError, OSError: See [`open_model`] and [`looplm_server`].
    """
    key = secrets.token_urlsafe()
    with looplm_server(open_model(path), ServerSettings(api_key=key), num_loops) as server:
        yield LlamaCppEngine(server, key)


class TransformersEngine(TextEngine):
    """
    A saved model in transformers, on a GPU if there is one.

    Args:
        name: Folder of the model, or its name on the Hub.
        num_loops: Number of loops; None: the model's own.

    Raises:
        ValueError: The model cannot be loaded, or cannot run this number of loops.
    """

    def __init__(self, name: str, num_loops: int | None = None):
        # Only this engine needs PyTorch.
        from transformers.utils.logging import disable_progress_bar

        from evaluation.generate import check_depth
        from evaluation.generation_settings import GenerationSettings
        from evaluation.loading import load_model

        disable_progress_bar()
        # Every token runs all of these loops, as in llama.cpp, whatever the configuration says of an early exit.
        self._depth: dict[str, Any] = {"num_loops": num_loops, "exit_at_loop": num_loops}
        self._model, self._tokenizer = load_model(name)
        check_depth(self._model, GenerationSettings(**self._depth))

    def answer(self, prompt: str, sampling: TokenSampling, seed: int, show: Show) -> StreamedAnswer:
        from transformers import set_seed

        from evaluation.generate import FunctionEnd, generation_arguments, positions
        from evaluation.generation_settings import GenerationSettings
        from model_cards.serving.streaming import PieceStreamer

        inputs = self._tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(self._model.device)
        length = inputs["input_ids"].shape[1]
        room = (positions(self._model) or length + sampling.max_new_tokens) - length
        if room < 1:
            raise ValueError(f"the prompt must leave room within the model's positions, got {length} tokens")
        bounded = GenerationSettings(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_new_tokens=min(sampling.max_new_tokens, room),
            repetition_penalty=sampling.repetition_penalty,
            **self._depth,
        )
        answer = StreamedAnswer(prompt, show)
        set_seed(seed)
        self._model.generate(
            **inputs,
            **generation_arguments(bounded, self._model.config),
            pad_token_id=self._tokenizer.pad_token_id,
            streamer=PieceStreamer(self._tokenizer, answer),
            stopping_criteria=[FunctionEnd(completed_answer, self._tokenizer, [prompt], length, END_CHARACTERS)],
        )
        return answer


class NativeEngine(TextEngine):
    """
    A saved LoopLM in the native engine, on the CPU.

    Args:
        name: Folder of the model, or its name on the Hub.
        num_loops: Number of loops; None: the model's own.

    Raises:
        ValueError: The model cannot be loaded, is no LoopLM, or cannot run this number of loops; there is no rustc.
    """

    def __init__(self, name: str, num_loops: int | None = None):
        from transformers.utils.logging import disable_progress_bar

        from evaluation.generate import check_depth, positions
        from evaluation.generation_settings import GenerationSettings
        from evaluation.loading import load_model
        from evaluation.samples import end_tokens
        from runtime.engine import Engine

        disable_progress_bar()
        model, self._tokenizer = load_model(name, device="cpu")
        # Every token runs all of these loops, as in the other engines.
        self._depth: dict[str, Any] = {"num_loops": num_loops, "exit_at_loop": num_loops}
        check_depth(model, GenerationSettings(**self._depth))
        self._engine = Engine.from_model(model)
        self._ends, self._positions = tuple(sorted(end_tokens(model, self._tokenizer))), positions(model)

    def answer(self, prompt: str, sampling: TokenSampling, seed: int, show: Show) -> StreamedAnswer:
        import torch

        from model_cards.serving.streaming import PieceStreamer
        from runtime.settings import SamplingSettings

        ids = self._tokenizer(prompt)["input_ids"]
        room = (self._positions or len(ids) + sampling.max_new_tokens) - len(ids)
        if room < 1:
            raise ValueError(f"the prompt must leave room within the model's positions, got {len(ids)} tokens")
        settings = SamplingSettings(
            max_new_tokens=min(sampling.max_new_tokens, room),
            temperature=sampling.temperature,
            top_p=1.0 if sampling.temperature == 0 else sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed,
            eos_token_id=self._ends,
            **self._depth,
        )
        answer = StreamedAnswer(prompt, show)
        streamer = PieceStreamer(self._tokenizer, answer)
        streamer.put(torch.tensor([ids]))

        def add(_: int, token: int) -> bool:
            streamer.put(torch.tensor([token]))
            return answer.finished

        self._engine.generate([ids], settings, add)
        return answer


@contextmanager
def text_engine(model: str, num_loops: int | None = None, engine: str = "torch") -> Iterator[TextEngine]:
    """
    Open the engine for a model: llama.cpp for a GGUF file, transformers or the native engine for a folder or a name on
    the Hub.

    Args:
        model: File, folder or name.
        num_loops: Number of loops; None: the model's own.
        engine: Of a folder or a name, "torch" or "native".

    Raises:
        ValueError: A GGUF file is given with the native engine.
    """
    if is_gguf(model):
        if engine != "torch":
            raise ValueError(f"engine {engine} needs the folder of a saved model or a Hub name, got {model}")
        with llama_cpp(Path(model), num_loops) as opened:
            yield opened
    elif engine == "native":
        yield NativeEngine(model, num_loops)
    else:
        yield TransformersEngine(model, num_loops)
