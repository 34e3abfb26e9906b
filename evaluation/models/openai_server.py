"""
A model behind a server that speaks OpenAI's API, such as those of llama.cpp, vLLM and Ollama.

Text is streamed, so that a completion ends with its function instead of at the token limit: closing the connection
ends the generation.
"""

import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag

import httpx2
import openai

from evaluation.generation_settings import GenerationSettings
from evaluation.models.prompt_space import after_space, without_space
from evaluation.models.served_model import Completion, ServedModel, StopRule

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_SECONDS, READ_SECONDS = 10.0, 600.0
RETRIES = 4
FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0
"""Repetitions of a request after a refusal that passes (429, 5xx) or a lost connection, with a growing delay."""
END_CHARACTERS = frozenset("}")
"""The stop rule is asked only after text with one of these."""
# Options beyond OpenAI's own that turn off what a server would do to the probabilities by default, by `owned_by`.
PLAIN_SAMPLING: dict[str, dict[str, Any]] = {
    "llamacpp": {"top_k": 0, "min_p": 0.0, "repeat_penalty": 1.0},
    "vllm": {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0},
}

Chunks = Generator[tuple[str, str | None, int | None], None, None]
"""Pieces of text, each with the reason for the end (None before it) and the number of generated tokens, if known."""


@dataclass(frozen=True)
class ListedModel:
    """An entry of a server's list of models: its name, who runs it (such as "vllm"), and its number of parameters."""

    name: str
    owner: str
    parameters: int | None


class OpenAIServer(ServedModel):
    """
    A model of a server.

    Args:
        address: Base URL, such as "http://127.0.0.1:8080/v1".
        model: Name of the model; None for the only one of the server.
        key: API key; None sends none.
        trust_environment: Use the proxies that the environment names.

    Raises:
        ValueError: The address is not one, the server cannot be reached, refuses the key, has no such model, or does
            not speak OpenAI's API.
    """

    digest = None
    digest_of = "not known: a server does not tell which weights it runs"

    def __init__(self, address: str, model: str | None = None, key: str | None = None, trust_environment: bool = True):
        parts = httpx2.URL(address) if address.isascii() and " " not in address else httpx2.URL("")
        if parts.scheme not in ("http", "https") or not parts.host:
            raise ValueError(f"model must be openai:http://HOST:PORT/v1 or openai:https://..., got {address!r}")
        self.address = address.rstrip("/")
        self._client = openai.OpenAI(
            base_url=self.address,
            # Without a key the client would look for one in the environment, or fail.
            api_key=key or "none",
            max_retries=RETRIES,
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            http_client=openai.DefaultHttpxClient(trust_env=trust_environment),
        )
        listed = self._listed()
        self._model = _chosen(listed, model, self.address)
        self.name = f"openai:{self.address}#{self._model.name}"

    def describe(self) -> dict[str, Any]:
        listed = self._model
        return {
            "model_type": "served",
            "parameters": listed.parameters,
            "server": listed.owner,
            "served_model": listed.name,
        }

    def complete(
        self, texts: Sequence[str], settings: GenerationSettings, seed: int, stop: StopRule
    ) -> list[Completion]:
        return self._together(
            [
                _Completing(self._completion_chunks, text, settings, seed + index, stop)
                for index, text in enumerate(texts)
            ],
            settings.batch_size,
        )

    def answer(self, questions: Sequence[str], settings: GenerationSettings, seed: int) -> list[Completion]:
        return self._together(
            [_Completing(self._chat_chunks, text, settings, seed + index) for index, text in enumerate(questions)],
            settings.batch_size,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # Requests

    def _listed(self) -> list[ListedModel]:
        """Return the models that the server lists."""
        try:
            content = self._client.with_options(max_retries=1).models.with_raw_response.list().http_response.json()
            entries = content["data"]
            return [
                ListedModel(each["id"], str(each.get("owned_by")), (each.get("meta") or {}).get("n_params"))
                for each in entries
            ]
        except openai.OpenAIError as error:
            raise ValueError(self._words(error)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.address}/models must list models as OpenAI's API does, and does not: give the base URL of the "
                "API, which ends with /v1 on most servers"
            ) from error

    def _words(self, error: openai.OpenAIError) -> str:
        """Return a sentence for the user about an error of the client."""
        if isinstance(error, openai.APIConnectionError):
            return f"the server {self.address} cannot be reached ({error.__cause__ or error}): is it running?"
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            return f"the server {self.address} refuses the API key of {KEY_VARIABLE}: {error}"
        if isinstance(error, openai.NotFoundError):
            return (
                f"{self.address} has no such address: {error}. Give the base URL of the API, which ends with /v1 on "
                "most servers"
            )
        return f"the server {self.address} refuses the request: {error}"

    def _together(self, requests: Sequence["_Completing"], number: int) -> list[Completion]:
        """Send requests, `number` at the same time; after an error, or Ctrl-C, all of them end."""
        ended = threading.Event()

        def run(request: _Completing) -> Completion:
            for attempt in range(RETRIES + 1):
                try:
                    return request.run(ended)
                # The client repeats a request itself only until its answer begins.
                except httpx2.TransportError as error:
                    if attempt == RETRIES or ended.is_set():
                        raise ValueError(
                            f"the server {self.address} does not stream whole answers: {error}"
                        ) from error
                    ended.wait(min(FIRST_DELAY * 2**attempt, LONGEST_DELAY))
                except openai.OpenAIError as error:
                    if _is_beyond_context(error):
                        return Completion("", False, True, 0)
                    raise ValueError(self._words(error)) from error
            raise AssertionError("the last attempt returns or raises")

        with ThreadPoolExecutor(number) as pool:
            futures = [pool.submit(run, request) for request in requests]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
                failed = [future for future in futures if future.done() and future.exception() is not None]
                return [future.result() for future in failed or futures]
            except BaseException:
                ended.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _completion_chunks(self, text: str, settings: GenerationSettings, seed: int) -> Chunks:
        with self._client.completions.create(
            model=self._model.name, prompt=text, **self._arguments(settings, seed)
        ) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    yield choice.text or "", choice.finish_reason, None
                if chunk.usage is not None:
                    yield "", None, chunk.usage.completion_tokens

    def _chat_chunks(self, text: str, settings: GenerationSettings, seed: int) -> Chunks:
        messages: Any = [{"role": "user", "content": text}]
        with self._client.chat.completions.create(
            model=self._model.name, messages=messages, **self._arguments(settings, seed)
        ) as stream:
            for chunk in stream:
                for choice in chunk.choices:
                    yield choice.delta.content or "", choice.finish_reason, None
                if chunk.usage is not None:
                    yield "", None, chunk.usage.completion_tokens

    def _arguments(self, settings: GenerationSettings, seed: int) -> dict[str, Any]:
        return {
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "seed": seed % 2**31,
            "stream": True,
            "stream_options": {"include_usage": True},
            "extra_body": PLAIN_SAMPLING.get(self._model.owner),
        }


@dataclass(frozen=True)
class _Completing:
    """
    One request.

    Attributes:
        chunks: Sends it, and yields the pieces of the answer.
        text: Prompt or question.
        settings, seed: Of the sampling.
        stop: Finds the end of a completion; None for an answer, which the model ends.
    """

    chunks: Callable[[str, GenerationSettings, int], Chunks]
    text: str
    settings: GenerationSettings
    seed: int
    stop: StopRule | None = None

    def run(self, ended: threading.Event) -> Completion:
        """Return the completion, or what there is of it once `ended` is set."""
        sent, space = (self.text, "") if self.stop is None else without_space(self.text)
        written, pieces, tokens, reason = "", 0, None, None
        chunks = self.chunks(sent, self.settings, self.seed)
        try:
            for piece, why, count in chunks:
                written, pieces = written + piece, pieces + bool(piece)
                reason, tokens = why or reason, count or tokens
                if self.stop is not None and not END_CHARACTERS.isdisjoint(piece):
                    found = self.stop(self.text, after_space(written, space))
                    if found is not None:
                        # Most servers send a piece per token.
                        return Completion(found, True, False, pieces)
                if ended.is_set():
                    break
        finally:
            chunks.close()
        if reason is None and not ended.is_set():
            raise httpx2.RemoteProtocolError("the answer has no reason for its end")
        text = after_space(written, space)
        if self.stop is None:
            return Completion(text, reason == "stop", reason == "length", tokens or pieces)
        found = self.stop(self.text, text)
        if found is not None:
            return Completion(found, True, False, tokens or pieces)
        return Completion(text, False, reason == "length", tokens or pieces)


def _is_beyond_context(error: openai.OpenAIError) -> bool:
    """Whether a prompt does not fit into the model's context, as llama.cpp, OpenAI and vLLM say it."""
    if not isinstance(error, openai.BadRequestError):
        return False
    names = {"exceed_context_size_error", "context_length_exceeded"}
    return bool(names & {error.type, error.code}) or "maximum context length" in str(error)


def _chosen(listed: Sequence[ListedModel], wanted: str | None, address: str) -> ListedModel:
    names = ", ".join(each.name for each in listed[:10]) + (", ..." if len(listed) > 10 else "")
    if wanted is not None:
        found = [each for each in listed if each.name == wanted]
        if not found:
            raise ValueError(f"the server {address} must have the model {wanted!r}, it has {names or 'none'}")
        return found[0]
    if len(listed) != 1:
        raise ValueError(f"name the model of the server, as in openai:{address}#NAME: it has {names or 'none'}")
    return listed[0]


@contextmanager
def open_server(url: str) -> Iterator[OpenAIServer]:
    """
    Yield the model of a server, with the key of `OPENAI_API_KEY`.

    Args:
        url: Base URL of the API, with "#" and the name of the model behind it if the server has several.

    Raises:
        ValueError: See `OpenAIServer`.
    """
    address, model = urldefrag(url)
    with closing(OpenAIServer(address, model or None, os.environ.get(KEY_VARIABLE) or None)) as served:
        yield served
