"""
Text from a model, token by token: of a GGUF file through llama.cpp, or of a saved folder through transformers.

Both hand over pieces of text as they come, and both stop where the function ends that the prompt began.
"""

import json
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.completion import completed_function
from model_cards.serving.llama_server import RunningServer, ServerSettings, llama_server, open_model

Show = Callable[[str], None]


@dataclass(frozen=True)
class Decoding:
    """
    How an answer is drawn.

    Attributes:
        temperature: 0 always takes the likeliest token.
        top_p: Smallest share of the probability that is kept.
        max_new_tokens: Tokens after which an answer ends at the latest.
    """

    temperature: float = 0.2
    top_p: float = 0.95
    max_new_tokens: int = 512

    def __post_init__(self):
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"temperature must be at least 0 and finite, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")


FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class Answer:
    """What a model has written after a prompt; pieces are shown as they are added, up to the function's end."""

    def __init__(self, prompt: str, show: Show):
        self.prompt = prompt
        self.text = ""
        self.finished = False
        """The function, or the block of code, has ended."""
        self._show = show

    @property
    def in_markdown(self) -> bool:
        """The model answers the prompt, with a block of code, and does not continue it."""
        return FENCE.search(self.text) is not None

    @property
    def program(self) -> str:
        """The prompt with its continuation, or the program in a block of code, as far as there is one."""
        return (extract_rust(self.text) if self.in_markdown else None) or self.prompt + self.text

    def add(self, piece: str) -> None:
        """Adds what comes next; what is added after the end of the function, or of its block, is dropped."""
        if self.finished or not piece:
            return
        before = len(self.text)
        self.text += piece
        if self.in_markdown:
            self.finished = extract_rust(self.text) is not None
        elif "}" in piece:
            function = completed_function(self.prompt, self.text)
            if function is not None:
                self.text, self.finished = function, True
        self._show(self.text[before:])


class TextEngine(ABC):
    """A model that continues text."""

    @abstractmethod
    def answer(self, prompt: str, decoding: Decoding, seed: int, show: Show) -> Answer:
        """
        Continue a prompt until its function ends, the model ends the text, or there is no room for more.

        Args:
            seed: Of the drawing.
            show: Called with each piece of text.

        Raises:
            ValueError: The prompt leaves no room within the model's positions.
        """


class LlamaCppEngine(TextEngine):
    """A running llama.cpp server, see [`llama_cpp`]."""

    def __init__(self, server: RunningServer, api_key: str):
        self._host = urlsplit(server.address)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}

    def answer(self, prompt: str, decoding: Decoding, seed: int, show: Show) -> Answer:
        answer = Answer(prompt, show)
        body = {
            "prompt": prompt,
            "stream": True,
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            # The model's own distribution: llama.cpp cuts it by default.
            "top_k": 0,
            "min_p": 0.0,
            "seed": seed,
        }
        # Closing the connection ends the drawing.
        with closing(HTTPConnection(self._host.hostname, self._host.port)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(body), self._headers)
            with connection.getresponse() as response:
                if response.status != 200:
                    raise ValueError(f"llama.cpp refuses the prompt: {json.load(response)['error']['message']}")
                for line in response:
                    # Empty lines and pings lie between the events.
                    event = line.removeprefix(b"data: ")
                    if event == line or event.strip() == b"[DONE]":
                        continue
                    message = json.loads(event)
                    if "error" in message:
                        raise ValueError(f"llama.cpp gave up: {message['error']['message']}")
                    (choice,) = message["choices"]
                    answer.add(choice["text"])
                    if answer.finished:
                        break
        return answer


@contextmanager
def llama_cpp(path: Path, loops: int | None = None) -> Iterator[LlamaCppEngine]:
    """
    A GGUF file in llama.cpp's server, on a free port of loopback and behind a key that only this process knows.

    Raises:
        ValueError, OSError: See [`open_model`] and [`llama_server`].
    """
    key = secrets.token_urlsafe()
    with llama_server(open_model(path), ServerSettings(api_key=key, loops=loops)) as server:
        yield LlamaCppEngine(server, key)


class TransformersEngine(TextEngine):
    """A saved model in transformers, on a GPU where there is one."""

    def __init__(self, folder: str, loops: int | None = None):
        """Raises `ValueError` when the model cannot be loaded, or has no such depth."""
        # Only this engine needs PyTorch.
        from transformers.utils.logging import disable_progress_bar

        from evaluation.generate import check_depth
        from evaluation.generation_settings import GenerationSettings
        from evaluation.loading import load_model

        disable_progress_bar()
        # Of every token, as in a file, whatever the configuration says.
        self._depth = {"num_loops": loops, "exit_at_loop": loops}
        self._model, self._tokenizer = load_model(folder)
        check_depth(self._model, GenerationSettings(**self._depth))

    def answer(self, prompt: str, decoding: Decoding, seed: int, show: Show) -> Answer:
        from transformers import set_seed

        from evaluation.generate import generation_arguments, positions
        from evaluation.generation_settings import GenerationSettings
        from model_cards.serving.streaming import EndOfAnswer, PieceStreamer

        inputs = self._tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(self._model.device)
        length = inputs["input_ids"].shape[1]
        room = (positions(self._model) or length + decoding.max_new_tokens) - length
        if room < 1:
            raise ValueError(f"the prompt must leave room within the model's positions, got {length} tokens")
        sampling = GenerationSettings(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_new_tokens=min(decoding.max_new_tokens, room),
            **self._depth,
        )
        answer = Answer(prompt, show)
        streamer = PieceStreamer(self._tokenizer, answer)
        set_seed(seed)
        self._model.generate(
            **inputs,
            **generation_arguments(sampling, self._model.config),
            pad_token_id=self._tokenizer.pad_token_id,
            streamer=streamer,
            stopping_criteria=[EndOfAnswer(answer)],
        )
        return answer


@contextmanager
def text_engine(model: str, loops: int | None = None) -> Iterator[TextEngine]:
    """The engine for a model: a file's is llama.cpp, a folder's or a Hub name's transformers."""
    if Path(model).is_file() or model.endswith(".gguf"):
        with llama_cpp(Path(model), loops) as engine:
            yield engine
    else:
        yield TransformersEngine(model, loops)
