"""The requests that the native engine's server carries out: their fields, checked and with the defaults filled in."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model_cards.serving.request_rules import (
    ADVICE,
    CHAT_ROUTES,
    HARMLESS,
    LARGEST_SEED,
    RefusedRequestError,
    ServedModel,
    ServerFields,
    check_request,
    shown,
)

Prompt = str | list[int]
"""A text, or its token ids."""

COMMON_FIELDS = frozenset(
    "max_completion_tokens max_tokens model n repeat_penalty seed stop stream stream_options temperature top_k "
    "top_p".split()
)
NATIVE = ServerFields(
    completions=COMMON_FIELDS | {"prompt"},
    chat=COMMON_FIELDS | {"add_generation_prompt", "messages"},
    advice={name: ADVICE[name] for name in ("best_of", "echo", "messages", "prompt", "suffix", "user")}
    | {
        "logprobs": "In Python, runtime.engine.Engine.generate returns the log-probability of each token.",
        "n_predict": "Use max_tokens.",
        "response_format": "The native engine has no grammars.",
        "tools": "The native engine writes text only.",
    },
    harmless=HARMLESS
    | {
        "cache_prompt": (True, False),
        "frequency_penalty": (0,),
        "logit_bias": ({},),
        "min_p": (0,),
        "presence_penalty": (0,),
        "repeat_last_n": (-1,),
    },
)
"""Fields of the native engine's server. Every other field with an effect is refused."""

MAX_COMPLETIONS = 128
MAX_STOPS = 64
RANGES = {"repeat_penalty": (0.01, 100), "temperature": (1e-6, 1e6), "top_p": (1e-6, 1)}
"""Smallest and largest number with which the engine's single precision does not overflow."""


@dataclass(frozen=True)
class NativeRequest:
    """
    A request for completions.

    Attributes:
        prompts: Prompts of `/v1/completions`; empty for a conversation.
        messages: Conversation of `/v1/chat/completions`, each message with a role and a text; None for prompts.
        add_generation_prompt: Whether the chat template begins the model's answer.
        max_tokens: Maximum number of tokens of a completion; None for as many as the context has room for.
        temperature, top_p, top_k, repeat_penalty, seed: Sampling, see [`runtime.settings.SamplingSettings`].
        n: Completions of each prompt.
        stop: Strings that end a completion.
        stream: Send each piece of text when it is generated.
        include_usage: End a stream with the numbers of tokens.
    """

    prompts: list[Prompt]
    messages: list[dict[str, str]] | None
    add_generation_prompt: bool
    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    repeat_penalty: float
    seed: int
    n: int
    stop: list[str]
    stream: bool
    include_usage: bool


def read_request(route: str, body: Any, vocab_size: int) -> NativeRequest:
    """
    Check a request and fill in the defaults: OpenAI's for the sampling, and the whole context for the length.

    Args:
        route: `/v1/completions` or `/v1/chat/completions`.
        body: The JSON value of the request.
        vocab_size: Number of tokens of the model.

    Raises:
        RefusedRequestError: A field is missing, is not supported, or has a wrong type or value.
    """
    asked = check_request(route, body, ServedModel(vocab_size, has_tools=False), NATIVE)
    chat = route in CHAT_ROUTES
    prompts = [] if chat else _prompts(asked, vocab_size)
    n = _whole(asked, "n", 1)
    if not 1 <= n * max(1, len(prompts)) <= MAX_COMPLETIONS:
        asked_for = f"{n} for each of {len(prompts)} prompts" if len(prompts) > 1 else shown(n)
        raise RefusedRequestError(
            f"n must be at least 1, with at most {MAX_COMPLETIONS} completions in a request, got {asked_for}", "n"
        )
    limit = _whole(asked, "max_completion_tokens", _whole(asked, "max_tokens", -1))
    seed = _whole(asked, "seed", -1)
    return NativeRequest(
        prompts=prompts,
        messages=_messages(asked) if chat else None,
        add_generation_prompt=_flag(asked, "add_generation_prompt", True),
        max_tokens=None if limit == -1 else limit,
        temperature=_number(asked, "temperature", 1.0),
        top_p=_number(asked, "top_p", 1.0),
        # -1 is a usual value for all tokens. No model has more than its vocabulary.
        top_k=min(max(0, _whole(asked, "top_k", 0)), vocab_size),
        repeat_penalty=_number(asked, "repeat_penalty", 1.0),
        seed=secrets.randbelow(LARGEST_SEED + 1) if seed == -1 else seed,
        n=n,
        stop=_stops(asked),
        stream=_flag(asked, "stream", False),
        include_usage=_flag(asked.get("stream_options", {}), "include_usage", False),
    )


def _flag(asked: Mapping[str, Any], name: str, default: bool) -> bool:
    value = asked.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise RefusedRequestError(f"{name} must be true or false, got {shown(value)}", name)
    return value


def _whole(asked: Mapping[str, Any], name: str, default: int) -> int:
    value = asked.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedRequestError(f"{name} must be a whole number, got {shown(value)}", name)
    return int(value)


def _number(asked: Mapping[str, Any], name: str, default: float) -> float:
    value = asked.get(name, default)
    smallest, largest = RANGES[name]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    off = "0 or " if name == "temperature" else ""
    if not is_number or not (smallest <= value <= largest or (off and value == 0)):
        raise RefusedRequestError(
            f"{name} must be {off}a number from {smallest:g} to {largest:g}, got {shown(value)}", name
        )
    return float(value)


def _stops(asked: Mapping[str, Any]) -> list[str]:
    stop = asked.get("stop", [])
    stops = [text for text in ([stop] if isinstance(stop, str) else stop) if text]
    if len(stops) > MAX_STOPS:
        raise RefusedRequestError(f"stop must have at most {MAX_STOPS} strings, got {len(stops)}", "stop")
    return stops


def _prompts(asked: Mapping[str, Any], vocab_size: int) -> list[Prompt]:
    """Return the prompts: one text, several, the token ids of one, or those of several."""
    given = asked.get("prompt")
    prompts = given if isinstance(given, list) and not _are_ids(given) else [given]
    if not prompts:
        raise RefusedRequestError("prompt must have at least one token, got none", "prompt")
    return [_prompt(each, vocab_size) for each in prompts]


def _prompt(given: Any, vocab_size: int) -> Prompt:
    if isinstance(given, str):
        check_text(given, "prompt")
        return given
    if not _are_ids(given):
        raise RefusedRequestError(
            f"prompt must be a string, a list of strings, or a list of token ids, got {shown(given)}", "prompt"
        )
    for token in given:
        if not 0 <= token < vocab_size:
            raise RefusedRequestError(
                f"prompt must be of the model's token ids, 0 to {vocab_size - 1}, got {shown(token)}", "prompt"
            )
    return given


def _are_ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(type(token) is int for token in value)


def check_text(text: str, field: str) -> None:
    """Raise `RefusedRequestError` if a text cannot be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RefusedRequestError(
            f"{field} must be text, got half of a surrogate pair at character {error.start}", field
        ) from error


def _messages(asked: Mapping[str, Any]) -> list[dict[str, str]]:
    messages = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedRequestError(f"messages must be a list of at least one, got {shown(messages)}", "messages")
    return [_message(f"messages[{index}]", message) for index, message in enumerate(messages)]


def _message(place: str, message: Mapping[str, Any]) -> dict[str, str]:
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise RefusedRequestError(f"{place}.role must be a string, got {shown(role)}", f"{place}.role")
    check_text(role, f"{place}.role")
    if isinstance(content, list):
        content = _joined(f"{place}.content", content)
    if not isinstance(content, str):
        raise RefusedRequestError(f"{place}.content must be text, got {shown(content)}", f"{place}.content")
    check_text(content, f"{place}.content")
    return {"role": role, "content": content}


def _joined(place: str, parts: Sequence[Mapping[str, Any]]) -> str:
    """Return the text of the parts of a message, each in a line of its own, as llama.cpp joins them."""
    texts = [part.get("text") for part in parts]
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise RefusedRequestError(f"{place} must be parts with a text, got {shown(wrong[0])}", place)
    return "\n".join(text for text in texts if isinstance(text, str))
