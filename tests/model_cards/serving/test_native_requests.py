"""Requests to the native engine's server: what passes, with which defaults, and what is refused."""

from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams

from model_cards.serving.native_requests import NATIVE, read_request
from model_cards.serving.request_rules import CHAT_FIELDS, COMPLETION_FIELDS, RefusedRequestError

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
BODIES = {COMPLETIONS: {"prompt": "fn main() {"}, CHAT: {"messages": [{"role": "user", "content": "fn main() {"}]}}
FIELDS = {COMPLETIONS: NATIVE.completions, CHAT: NATIVE.chat}


def read(route=COMPLETIONS, **fields):
    return read_request(route, {**BODIES[route], **fields}, vocab_size=448)


def refusal(route=COMPLETIONS, **fields):
    with pytest.raises(RefusedRequestError) as refused:
        read(route, **fields)
    return refused.value


def test_the_defaults_are_plain_sampling_as_long_as_the_context():
    request = read()
    assert (request.temperature, request.top_p, request.top_k, request.repeat_penalty) == (1, 1, 0, 1)
    assert (request.n, request.max_tokens, request.stop, request.stream) == (1, None, [], False)
    assert len({read().seed for _ in range(5)} | {read(seed=-1).seed}) == 6


@pytest.mark.parametrize("route, parameters", [(COMPLETIONS, CompletionParams), (CHAT, ChatParams)])
def test_every_other_field_of_openai_and_llama_cpp_is_refused(route, parameters):
    known = parameters.__annotations__.keys() | COMPLETION_FIELDS | CHAT_FIELDS
    for field in sorted(known - FIELDS[route]):
        error = refusal(route, **{field: 7})
        assert error.field == field and f"{field} is not supported by {route}. " in str(error)


def test_a_refusal_advises_nothing_that_is_refused_too():
    fields = {*COMPLETION_FIELDS, *CHAT_FIELDS} - NATIVE.completions - NATIVE.chat
    for name, advice in NATIVE.advice.items():
        assert fields.isdisjoint(advice.replace(".", " ").split()), name


@pytest.mark.parametrize(
    "field, value, rule",
    [
        ("prompt", None, "must be a string, a list of strings, or a list of token ids, got None"),
        ("prompt", [], "must have at least one token"),
        ("prompt", [[]], "a list of token ids, got []"),
        ("prompt", [True], "a list of token ids, got True"),
        ("prompt", [3, 448], "must be of the model's token ids, 0 to 447, got 448"),
        ("prompt", [3, -1], "got -1"),
        ("prompt", "\ud800", "got half of a surrogate pair at character 0"),
        ("max_tokens", "5", "must be a whole number, got '5'"),
        ("max_tokens", True, "must be a whole number, got True"),
        ("max_tokens", 0, "must be at least 1, or -1 for no limit, got 0"),
        ("max_completion_tokens", 2.5, "must be a whole number"),
        ("n", 0, "must be at least 1, with at most 128 completions in a request, got 0"),
        ("n", 129, "got 129"),
        ("temperature", -0.1, "must be at least 0, got -0.1"),
        ("temperature", float("inf"), "must be 0 or a number from 1e-06 to 1e+06, got inf"),
        ("temperature", 1e-30, "must be 0 or a number from 1e-06"),
        ("temperature", "1", "must be 0 or a number from"),
        ("top_p", 0, "must be a number from 1e-06 to 1, got 0"),
        ("top_p", float("nan"), "must be from 0 to 1, got nan"),
        ("top_k", [], "must be a whole number, got []"),
        ("repeat_penalty", 0, "must be a number from 0.01 to 100, got 0"),
        ("seed", 2**32, "must be from 0 to 4294967294, or -1"),
        ("stop", ["}"] * 65, "must have at most 64 strings, got 65"),
        ("stop", {"a": 1}, "must be a string or a list of strings"),
        ("stream", 1, "must be true or false, got 1"),
        ("stream_options", {"include_usage": True}, "needs stream, which must be true"),
        ("logprobs", 1, "is not supported by /v1/completions"),
        ("frequency_penalty", 0.5, "is not supported by /v1/completions"),
    ],
)
def test_a_wrong_value_is_refused_with_its_rule(field, value, rule):
    error = refusal(**{field: value})
    assert error.field == field and field in str(error) and rule in str(error) and len(str(error)) < 300


@pytest.mark.parametrize(
    "messages, rule",
    [
        (None, "messages must be a list of at least one, got None"),
        ([], "messages must be a list of at least one"),
        ([{"content": "x"}], "messages[0].role must be a string, got None"),
        ([{"role": "user"}], "messages[0].content must be text, got None"),
        ([{"role": "user", "content": "\udc00"}], "messages[0].content must be text, got half of a surrogate pair"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content must be parts with a text, got None"),
        ([{"role": "user", "content": "x", "tool_calls": [{}]}], "messages[0].tool_calls is not supported"),
    ],
)
def test_a_conversation_needs_roles_and_texts(messages, rule):
    assert rule in str(refusal(CHAT, messages=messages))


def test_values_that_ask_for_nothing_pass():
    nothing: dict[str, Any] = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "min_p": 0,
        "best_of": 1,
    }
    nothing |= {"logprobs": False, "user": None, "suffix": "", "cache_prompt": True, "repeat_last_n": -1}
    request = read(**nothing, stop=["", "}"], top_k=-1, max_tokens=3.0, max_completion_tokens=3)
    assert (request.stop, request.top_k, request.max_tokens) == (["}"], 0, 3)


def test_the_prompt_may_be_texts_or_tokens():
    assert read(prompt=[3, 4]).prompts == [[3, 4]]
    assert read(prompt=["a", "b"]).prompts == ["a", "b"]
    assert read(prompt=[[3], [4, 5]]).prompts == [[3], [4, 5]]
    assert "got 100 for each of 2 prompts" in str(refusal(prompt=["a", "b"], n=100))
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read(CHAT, messages=[{"role": "user", "content": parts}]).messages == [{"role": "user", "content": "a\nb"}]
