"""A LoopLM in the native engine, for the server: prompts to tokens, and tokens to pieces of text."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Event
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from evaluation.generate import positions
from evaluation.loading import load_model
from evaluation.models.llama_server import DEFAULT_CONTEXT
from evaluation.samples import end_tokens
from model_cards.serving.generated_text import StoppedText, TokenText
from model_cards.serving.native_requests import NativeRequest
from model_cards.serving.request_rules import RefusedRequestError
from runtime.engine import Engine
from runtime.settings import SamplingSettings

CACHE_BYTES = 4
"""The engine caches keys and values in fp32."""
TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


@dataclass(frozen=True)
class Piece:
    """
    Text that a token adds to a completion.

    Attributes:
        index: Index of the completion: sample `i` of prompt `p` is number `p * n + i`.
        text: May be empty.
        finish_reason: "stop" or "length" with the last piece, None before.
    """

    index: int
    text: str
    finish_reason: str | None


@dataclass(frozen=True)
class NativeModel:
    """
    A loaded model.

    Attributes:
        name: For clients.
        engine, tokenizer: The model.
        ends: Tokens that end a text.
        context_length: Maximum number of tokens of prompt and completion together.
        depth: `num_loops`, `exit_threshold` and `exit_at_loop` of [`SamplingSettings`].
        stack: Numbers of layers and of loops at most, in words.
        cache_bytes: Bytes of the key-value cache of a completion that fills the context.
        num_threads: Threads of the engine.
    """

    name: str
    engine: Engine
    tokenizer: PreTrainedTokenizerBase
    ends: tuple[int, ...]
    context_length: int
    depth: Mapping[str, Any]
    stack: str
    cache_bytes: int
    num_threads: int

    def describe(self, parallel: int) -> str:
        """Return lines about the model: its size, memory, and the number of requests at a time."""
        return (
            f"{self.name}: {self.stack}, weights {self.engine.weight_bytes / 1e6:.1f} MB, key-value cache of a full "
            f"context {self.cache_bytes / 1e6:.1f} MB\n"
            f"{parallel} requests at a time, {self.context_length} tokens each, {self.num_threads} threads"
        )

    def prompts(self, request: NativeRequest) -> list[list[int]]:
        """
        Return the token ids of the prompts, or of the conversation.

        Raises:
            RefusedRequestError: The chat template refuses the conversation, or a prompt is empty or fills the context.
        """
        if request.messages is None:
            field, ids = "prompt", [self._ids(each) for each in request.prompts]
        else:
            field, ids = "messages", [self._conversation(request.messages, request.add_generation_prompt)]
        for prompt in ids:
            if not prompt:
                raise RefusedRequestError(f"{field} must have at least one token, got none", field)
            if len(prompt) >= self.context_length:
                raise RefusedRequestError(
                    f"{field} must leave room in the context of {self.context_length} tokens, and has {len(prompt)}",
                    field,
                    "context_length_exceeded",
                )
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of tokens, without special tokens."""
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        assert isinstance(text, str), "the tokens are one text"
        return text

    def _ids(self, prompt: str | list[int]) -> list[int]:
        return self.tokenizer(prompt)["input_ids"] if isinstance(prompt, str) else prompt

    def _conversation(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        if self.tokenizer.chat_template is None:
            return self._ids("".join(message["content"] for message in messages))
        try:
            text = self.tokenizer.apply_chat_template(
                messages, add_generation_prompt=add_generation_prompt, tokenize=False
            )
        except TEMPLATE_ERRORS as error:
            raise RefusedRequestError(f"the chat template refuses the messages: {error}", "messages") from error
        # The template writes the special tokens itself.
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]


class Generation:
    """
    The completions of a request.

    Args:
        model: The model.
        prompts: Token ids of each prompt.
        request: How to complete them.
        show: Called with each piece of text, in the thread of [`Generation.run`].

    Attributes:
        num_tokens: Number of tokens generated so far.
    """

    def __init__(
        self,
        model: NativeModel,
        prompts: Sequence[Sequence[int]],
        request: NativeRequest,
        show: Callable[[Piece], None],
    ):
        wanted = inf if request.max_tokens is None else request.max_tokens
        rooms = [int(min(wanted, model.context_length - len(prompt))) for prompt in prompts]
        self._model = model
        self._prompts = prompts
        self._settings = SamplingSettings(
            max_new_tokens=max(rooms),
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            repetition_penalty=request.repeat_penalty,
            seed=request.seed,
            num_return_sequences=request.n,
            eos_token_id=model.ends,
            **model.depth,
        )
        self._rows = [_Row(model, room, request.stop) for room in rooms for _ in range(request.n)]
        self._show = show
        self._stopping = Event()

    @property
    def num_tokens(self) -> int:
        return sum(row.count for row in self._rows)

    def run(self) -> None:
        """Generate all completions, or what there is of them once [`Generation.stop`] is called."""
        try:
            self._model.engine.generate(self._prompts, self._settings, self._add)
        except _Stopped:
            pass

    def stop(self) -> None:
        """End all completions at the next token; may be called from another thread."""
        self._stopping.set()

    def _add(self, index: int, token: int) -> bool:
        if self._stopping.is_set():
            raise _Stopped
        text, reason = self._rows[index].add(token)
        if text or reason is not None:
            self._show(Piece(index, text, reason))
        return reason is not None


class _Stopped(Exception):  # noqa: N818 - nothing is wrong
    """Ends a generation that nobody waits for."""


class _Row:
    """A completion: its text up to a stop string, and its number of tokens."""

    def __init__(self, model: NativeModel, room: int, stops: Sequence[str]):
        self._ends = model.ends
        self._room = room
        self._text = TokenText(model.decode)
        self._stopped = StoppedText(stops)
        self.count = 0

    def add(self, token: int) -> tuple[str, str | None]:
        """Return the text that a token adds, and why the completion ends with it."""
        self.count += 1
        has_ended = token in self._ends
        text = "" if has_ended else self._stopped.add(self._text.add(token))
        if self._stopped.stopped:
            return text, "stop"
        if not has_ended and self.count < self._room:
            return text, None
        text += self._stopped.add(self._text.end())
        if self._stopped.stopped:
            return text, "stop"
        return text + self._stopped.end(), "stop" if has_ended else "length"


def load_native_model(
    name: str,
    context_length: int | None = None,
    num_threads: int | None = None,
    num_loops: int | None = None,
    exit_threshold: float | None = None,
    chat_template: str | None = None,
) -> NativeModel:
    """
    Load a LoopLM.

    Args:
        name: Folder of the model, or its name on the Hub.
        context_length: Maximum number of tokens of a request; None: the model's maximum or 4096, whichever is smaller.
        num_threads: None: one per core.
        num_loops: Number of loops; None: the model's own. Without `exit_threshold` every token runs all of them.
        exit_threshold: A token leaves the loops when its probability to have left reaches this; None: the model's own.
        chat_template: Jinja template; None: the model's.

    Raises:
        ValueError: The model cannot be loaded, is no LoopLM, or cannot run at this depth or length; there is no rustc.
    """
    if exit_threshold is not None and not 0 < exit_threshold <= 1:
        raise ValueError(f"exit_threshold must be above 0 and at most 1, got {exit_threshold}")
    disable_progress_bar()
    model, tokenizer = load_model(name, device="cpu")
    longest = positions(model)
    length = context_length or min(longest or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
    if longest is not None and length > longest:
        raise ValueError(f"context_length must be at most {longest}, the positions of {name}, got {length}")
    threads = num_threads or len(os.sched_getaffinity(0))
    engine = Engine.from_model(model, threads)
    without_gate = exit_threshold is None or exit_threshold == 1
    exit_at_loop = num_loops if without_gate else None
    depth: dict[str, Any] = {"num_loops": num_loops, "exit_threshold": exit_threshold, "exit_at_loop": exit_at_loop}
    engine.logits([0], **depth)  # raises ValueError for a depth that the model cannot run
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    config = model.config
    # A configured exit is the model's own depth, unless another is given.
    loops = num_loops or (config.exit_at_loop if without_gate else None) or config.num_loops
    cached = config.num_cache_slots(loops)
    return NativeModel(
        name=Path(name).resolve().name if Path(name).is_dir() else name,
        engine=engine,
        tokenizer=tokenizer,
        ends=tuple(sorted(end_tokens(model, tokenizer))),
        context_length=length,
        depth=depth,
        stack=config.stack_in_words(loops),
        cache_bytes=cached * config.num_key_value_heads * config.head_dim * 2 * CACHE_BYTES * length,
        num_threads=threads,
    )
