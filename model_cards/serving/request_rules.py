"""
Rules for the requests to `/v1/completions` and `/v1/chat/completions`.

A server that silently skips fields that it does not know, or replaces values that it cannot use, gives the client
another answer than it asked for. Such requests are refused here. llama.cpp's server does both; `LLAMA_CPP` are the
fields that it reads, and most values of a wrong type it refuses itself.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

CHAT_ROUTES = ("/v1/chat/completions", "/chat/completions")
CHECKED_ROUTES = ("/v1/completions", *CHAT_ROUTES)

COMMON_FIELDS = frozenset(
    "adaptive_decay adaptive_target cache_prompt dry_allowed_length dry_base dry_multiplier "
    "dry_penalty_last_n dry_sequence_breakers dynatemp_exponent dynatemp_range frequency_penalty grammar ignore_eos "
    "json_schema logit_bias logprobs max_completion_tokens max_tokens min_keep min_p mirostat mirostat_eta "
    "mirostat_tau model n n_cmpl n_indent n_predict n_probs post_sampling_probs presence_penalty repeat_last_n "
    "repeat_penalty return_progress samplers seed sse_ping_interval stop stream stream_options t_max_predict_ms "
    "temperature timings_per_token top_k top_n_sigma top_p typical_p verbose xtc_probability xtc_threshold".split()
)
"""Fields that have an effect on both routes."""
COMPLETION_FIELDS = COMMON_FIELDS | {"prompt"}
CHAT_FIELDS = COMMON_FIELDS | {
    "add_generation_prompt",
    "chat_template_kwargs",
    "continue_final_message",
    "messages",
    "response_format",
    "top_logprobs",
}
TOOL_FIELDS = frozenset({"parallel_tool_calls", "tool_choice", "tools"})
"""Fields that have an effect if the chat template has a place for tools."""
MESSAGE_FIELDS = frozenset({"content", "role"})
TOOL_MESSAGE_FIELDS = MESSAGE_FIELDS | {"tool_call_id", "tool_calls"}

ADVICE = {
    "best_of": "Request several completions with n, and choose one of them.",
    "echo": "Put the prompt before the completion in your program.",
    "prompt": "Send messages, or use /v1/completions.",
    "messages": "Send a prompt, or use /v1/chat/completions.",
    "response_format": "Use json_schema or grammar, or /v1/chat/completions.",
    "suffix": "The server continues a text; it does not fill a gap before another one.",
    "tools": "The model's chat template has no place for tools.",
    "top_logprobs": "Set logprobs to the number of alternatives.",
    "typ_p": "Use typical_p.",
    "user": "Leave it out: the server keeps no record of its users.",
}
"""How a client can do without a field."""
HARMLESS = {
    "best_of": (1,),
    "function_call": ("none",),
    "modalities": (["text"],),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "tool_choice": ("none",),
}
"""Values that ask for what the server does anyway."""

TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "n_predict")
ONE_OF = (TOKEN_LIMITS, ("n", "n_cmpl"), ("logprobs", "n_probs"), ("response_format", "json_schema", "grammar"))
"""Fields with the same purpose: llama.cpp uses one of them and ignores the others."""
LIMITS = {
    "logprobs": (1, inf),
    "min_p": (0, 1),
    "mirostat": (0, 2),
    # -1 is a usual value for "off" and has this effect here, too.
    "top_k": (-1, inf),
    "top_logprobs": (1, inf),
    "top_p": (0, 1),
    "temperature": (0, inf),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
}
"""Smallest and largest number; llama.cpp replaces a smaller or larger one, or ignores it."""
WHOLE_NUMBERS = (*TOKEN_LIMITS, "logprobs", "n", "n_cmpl", "n_probs", "seed", "top_k", "top_logprobs")
LARGEST_SEED = 2**32 - 2
KINDS = {
    "add_generation_prompt": (bool, "true or false"),
    "chat_template_kwargs": (dict, "an object"),
    "grammar": (str, "a string"),
    "json_schema": (dict, "an object"),
}
"""Types of which llama.cpp ignores any other value."""
SAMPLERS = frozenset("adaptive_p dry infill min_p penalties temperature top_k top_n_sigma top_p typ_p xtc".split())
RESPONSE_FORMATS = ("json_object", "json_schema", "text")
TOKEN_ID = re.compile(r"\s*[+-]?[0-9]+|", re.ASCII)
"""A string that llama.cpp takes for the id of a token, and not for text."""


class RefusedRequestError(ValueError):
    """
    A request that the server would not carry out as it is.

    Attributes:
        field: Name of the field; None: it is the request as a whole.
        code: Identifier of the error in OpenAI's API; None for most.
    """

    def __init__(self, message: str, field: str | None = None, code: str | None = None):
        super().__init__(message)
        self.field = field
        self.code = code


@dataclass(frozen=True)
class ServerFields:
    """
    Fields that a server reads, and what is said of the others.

    Attributes:
        completions: Fields that have an effect in `/v1/completions`.
        chat: Fields that have an effect in the routes of `CHAT_ROUTES`, beside `TOOL_FIELDS`.
        advice: How a client can do without a field that is refused.
        harmless: Values that ask for what the server does anyway.
    """

    completions: frozenset[str]
    chat: frozenset[str]
    advice: Mapping[str, str]
    harmless: Mapping[str, tuple[Any, ...]]


LLAMA_CPP = ServerFields(COMPLETION_FIELDS, CHAT_FIELDS, ADVICE, HARMLESS)


@dataclass(frozen=True)
class ServedModel:
    """
    Properties of the model that decide which requests can be carried out.

    Attributes:
        vocab_size: Number of tokens.
        has_tools: Whether the chat template has a place for tools.
    """

    vocab_size: int
    has_tools: bool


def check_request(route: str, body: Any, model: ServedModel, server: ServerFields = LLAMA_CPP) -> Mapping[str, Any]:
    """
    Check that a server ignores and replaces nothing of a request.

    Args:
        route: One of `CHECKED_ROUTES`.
        body: The JSON value of the request.
        model: The model that is served.
        server: The fields that the server reads.

    Returns:
        The fields that ask for something else than the server does anyway.

    Raises:
        RefusedRequestError: The first field that it would ignore or replace.
    """
    if not isinstance(body, dict):
        raise RefusedRequestError(f"the body of a request to {route} must be a JSON object, got {shown(body)}")
    chat = route in CHAT_ROUTES
    fields = server.chat | (TOOL_FIELDS if model.has_tools else set()) if chat else server.completions
    harmless = server.harmless
    asked = {name: value for name, value in body.items() if value is not None and value not in harmless.get(name, ())}
    for name, value in asked.items():
        # Clients send such values for fields that they do not use.
        if name not in fields and not (value is False or value in ("", [])):
            advice = server.advice.get(name, "Leave it out.")
            raise RefusedRequestError(f"{name} is not supported by {route}. {advice}", name)
    if chat:
        _check_chat(asked, model)
    for name, (kind, rule) in KINDS.items():
        if name in asked and not isinstance(asked[name], kind):
            raise RefusedRequestError(f"{name} must be {rule}, got {shown(asked[name])}", name)
    for names in ONE_OF:
        _check_one_of(asked, names)
    for name in sorted(asked.keys() & {*LIMITS, *WHOLE_NUMBERS}):
        _check_number(name, asked[name])
    _check_stream_options(asked)
    for name, check in (("stop", _check_stop), ("samplers", _check_samplers)):
        if name in asked:
            check(asked[name])
    if "logit_bias" in asked:
        _check_logit_bias(asked["logit_bias"], model.vocab_size)
    return asked


def shown(value: Any) -> str:
    """Return a value as a message shows it: the beginning of a long one."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _check_one_of(asked: Mapping[str, Any], names: tuple[str, ...]) -> None:
    given = [name for name in names if name in asked]
    if any(asked[name] != asked[given[0]] for name in given[1:]):
        raise RefusedRequestError(
            f"only one of {' and '.join(given)} can be given, because one replaces the others", given[1]
        )


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    smallest, largest = LIMITS.get(name, (-inf, inf))
    if not smallest <= value <= largest:
        rule = f"at least {smallest}" if largest == inf else f"from {smallest} to {largest}"
        raise RefusedRequestError(f"{name} must be {rule}, got {shown(value)}", name)
    if name in WHOLE_NUMBERS and isinstance(value, float) and not value.is_integer():
        raise RefusedRequestError(f"{name} must be a whole number, got {value}", name)
    # -1 has a meaning of its own for both. For 0 tokens llama.cpp generates one.
    if name in TOKEN_LIMITS and value < 1 and value != -1:
        raise RefusedRequestError(f"{name} must be at least 1, or -1 for no limit, got {shown(value)}", name)
    if name == "seed" and not -1 <= value <= LARGEST_SEED:
        raise RefusedRequestError(
            f"seed must be from 0 to {LARGEST_SEED}, or -1 for a random one, got {shown(value)}", name
        )


def _check_stream_options(asked: Mapping[str, Any]) -> None:
    options = asked.get("stream_options", {})
    if not isinstance(options, dict):
        raise RefusedRequestError(f"stream_options must be an object, got {shown(options)}", "stream_options")
    if options and asked.get("stream") is not True:
        raise RefusedRequestError("stream_options needs stream, which must be true", "stream_options")
    for name, value in options.items():
        if name != "include_usage" and value:
            field = f"stream_options.{name}"
            raise RefusedRequestError(f"{field} is not supported. Leave it out.", field)


def _check_stop(stop: Any) -> None:
    texts = stop if isinstance(stop, list) else [stop]
    if not all(isinstance(text, str) for text in texts):
        raise RefusedRequestError(f"stop must be a string or a list of strings, got {shown(stop)}", "stop")


def _check_samplers(samplers: Any) -> None:
    if not isinstance(samplers, list):
        raise RefusedRequestError(f"samplers must be a list of names, got {shown(samplers)}", "samplers")
    for name in samplers:
        if not isinstance(name, str) or name not in SAMPLERS:
            raise RefusedRequestError(
                f"samplers must be of {', '.join(sorted(SAMPLERS))}, got {shown(name)}", "samplers"
            )


def _check_logit_bias(bias: Any, vocab_size: int) -> None:
    pairs = list(bias.items()) if isinstance(bias, dict) else bias
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise RefusedRequestError(f"logit_bias must map token ids to numbers, got {shown(bias)}", "logit_bias")
    for token, value in pairs:
        is_number = isinstance(value, int | float) and value is not True
        if not is_number:
            raise RefusedRequestError(
                f"logit_bias of token {token} must be a number, got {shown(value)}", "logit_bias"
            )
        if isinstance(token, str) and not TOKEN_ID.fullmatch(token):
            continue  # A text: llama.cpp changes the probability of each of its tokens.
        if isinstance(token, str):
            # The empty string is token 0 for llama.cpp, which cannot be meant.
            token = int(token) if 1 <= len(token) <= 20 else -1
        if type(token) is not int or not 0 <= token < vocab_size:
            raise RefusedRequestError(
                f"logit_bias must be of the model's token ids, 0 to {vocab_size - 1}, got {shown(token)}",
                "logit_bias",
            )


def _check_chat(asked: Mapping[str, Any], model: ServedModel) -> None:
    logprobs = asked.get("logprobs", False)
    if not isinstance(logprobs, bool):
        raise RefusedRequestError(
            f"logprobs must be true or false, got {shown(logprobs)}. The number of alternatives is top_logprobs.",
            "logprobs",
        )
    response_format = asked.get("response_format", {"type": "text"})
    if not isinstance(response_format, dict) or response_format.get("type") not in RESPONSE_FORMATS:
        names = ", ".join(RESPONSE_FORMATS)
        raise RefusedRequestError(
            f"response_format must be an object with a type of {names}, got {shown(response_format)}",
            "response_format",
        )
    messages = asked.get("messages")
    if isinstance(messages, list):
        for index, message in enumerate(messages):
            _check_message(f"messages[{index}]", message, model)


def _check_message(place: str, message: Any, model: ServedModel) -> None:
    if not isinstance(message, dict):
        raise RefusedRequestError(f"{place} must be an object, got {shown(message)}", place)
    fields = TOOL_MESSAGE_FIELDS if model.has_tools else MESSAGE_FIELDS
    for name, value in message.items():
        if name not in fields and value not in (None, "", []):
            raise RefusedRequestError(f"{place}.{name} is not supported. Leave it out.", f"{place}.{name}")
    parts = message.get("content")
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict) or part.get("type") != "text":
            raise RefusedRequestError(f"{place}.content must be text, got {shown(part)}", f"{place}.content")
