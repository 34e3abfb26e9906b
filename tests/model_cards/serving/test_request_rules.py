"""The rules for requests, and that llama.cpp, as installed, makes them necessary."""

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams

from evaluation.models.llama_server import ServerSettings
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.serving.looplm_server import looplm_server, open_model
from model_cards.serving.request_rules import (
    CHAT_FIELDS,
    COMMON_FIELDS,
    COMPLETION_FIELDS,
    KINDS,
    SAMPLERS,
    RefusedRequestError,
    ServedModel,
    check_request,
)
from tests.helpers.gguf_models import TOKENIZER, gguf_model

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
BODIES = {
    COMPLETIONS: {"prompt": "fn main() {", "max_tokens": 2},
    CHAT: {"messages": [{"role": "user", "content": "fn main() {"}], "max_tokens": 2},
}
MODEL = ServedModel(vocab_size=448, has_tools=False)
WRONG = {"wrong": ["type"]}


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory):
    """Send a request to llama.cpp's server itself, without the check; returns status and answer."""
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    export_gguf(LoopLMCheckpoint.from_model(gguf_model()), TOKENIZER, path, type="q4_0")
    with looplm_server(open_model(path), ServerSettings(num_threads=1)) as server:
        address = urlsplit(server.address)

        def send(route, **fields):
            connection = HTTPConnection(address.hostname or "", address.port, timeout=50)
            body = json.dumps({**BODIES[route], "temperature": 0, **fields})
            connection.request("POST", route, body, {"Content-Type": "application/json"})
            with connection.getresponse() as response:
                return response.status, json.load(response)

        yield send


def text_of(answer):
    (choice,) = answer["choices"]
    return choice.get("text") or choice["message"]["content"]


@pytest.mark.parametrize(("route", "fields"), [(COMPLETIONS, COMPLETION_FIELDS), (CHAT, CHAT_FIELDS)])
def test_llama_cpp_reads_the_fields_that_pass(llama_cpp, route, fields):
    # Of these it ignores a wrong type; the rules check it.
    unchecked = {"model", "logit_bias", "response_format", "samplers", "stop", "stream_options", *KINDS}
    ignored = [name for name in sorted(fields - unchecked) if llama_cpp(route, **{name: WRONG})[0] == 200]
    assert ignored == []


@pytest.mark.parametrize(
    ("route", "parameters", "fields"),
    [(COMPLETIONS, CompletionParams, COMPLETION_FIELDS), (CHAT, ChatParams, CHAT_FIELDS)],
)
def test_llama_cpp_ignores_the_fields_of_openai_that_are_refused(llama_cpp, route, parameters, fields):
    # It reads the type of `echo`, and nothing else of it; a template with a place for tools reads them.
    refused = parameters.__annotations__.keys() - fields - {"echo", "tool_choice", "tools"}
    answer = text_of(llama_cpp(route)[1])
    read = [name for name in sorted(refused) if text_of(llama_cpp(route, **{name: WRONG})[1]) != answer]
    assert read == [] and text_of(llama_cpp(route, echo=True)[1]) == answer


def test_llama_cpp_knows_each_of_the_samplers(llama_cpp):
    _, answer = llama_cpp(COMPLETIONS, samplers=[*sorted(SAMPLERS), "another"], verbose=True)
    assert set(answer["__verbose"]["generation_settings"]["samplers"]) == SAMPLERS


def refusal(route, **fields):
    with pytest.raises(RefusedRequestError) as refused:
        check_request(route, {**BODIES[route], **fields}, MODEL)
    return refused.value


@pytest.mark.parametrize(
    ("route", "field", "value", "advice"),
    [
        (COMPLETIONS, "echo", True, "Put the prompt before the completion in your program."),
        (COMPLETIONS, "suffix", "}", "The server continues a text; it does not fill a gap before another one."),
        (COMPLETIONS, "best_of", 3, "Request several completions with n, and choose one of them."),
        (COMPLETIONS, "user", "me", "Leave it out: the server keeps no record of its users."),
        (COMPLETIONS, "response_format", {"type": "json_object"}, "Use json_schema or grammar"),
        (COMPLETIONS, "top_logprobs", 3, "Set logprobs to the number of alternatives."),
        (COMPLETIONS, "max_token", 3, "Leave it out."),
        (CHAT, "prompt", "fn main() {", "Send messages, or use /v1/completions."),
        (CHAT, "tools", [{"type": "function"}], "The model's chat template has no place for tools."),
        (CHAT, "web_search_options", {}, "Leave it out."),
        (CHAT, "chat_template", "{{ messages }}", "Leave it out."),
    ],
)
def test_a_field_that_would_be_ignored_is_refused_with_advice(route, field, value, advice):
    error = refusal(route, **{field: value})
    assert error.field == field and str(error).startswith(f"{field} is not supported by {route}. {advice}")


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("logit_bias", "x", "must map token ids to numbers, got 'x'"),
        ("logit_bias", {"448": 1}, "must be of the model's token ids, 0 to 447, got 448"),
        ("logit_bias", {"-1": 1}, "got -1"),
        ("logit_bias", {"9" * 5000: 1}, "got -1"),
        ("logit_bias", {"": 1}, "got -1"),
        ("logit_bias", [[7.5, 1]], "got 7.5"),
        ("logit_bias", {"7": "x"}, "of token 7 must be a number, got 'x'"),
        ("logit_bias", {"7": True}, "of token 7 must be a number, got True"),
        ("stop", 5, "must be a string or a list of strings, got 5"),
        ("stop", ["a", None], "must be a string or a list of strings"),
        ("samplers", ["top_k", "nothing"], "got 'nothing'"),
        ("samplers", [{}], "got {}"),
        ("samplers", "kp", "must be a list of names"),
        ("stream_options", {"include_usage": True}, "needs stream, which must be true"),
        ("stream_options", "x", "must be an object"),
        ("grammar", 5, "must be a string, got 5"),
        ("json_schema", True, "must be an object, got True"),
        ("temperature", -1, "must be at least 0, got -1"),
        ("top_p", 1.5, "must be from 0 to 1, got 1.5"),
        ("max_tokens", 0, "must be at least 1, or -1 for no limit, got 0"),
        ("max_tokens", 2.5, "must be a whole number, got 2.5"),
        ("max_tokens", float("inf"), "must be a whole number, got inf"),
        ("max_completion_tokens", 3, "can be given, because one replaces the others"),
        ("logprobs", 0, "must be at least 1, got 0"),
        ("seed", 2**32, "must be from 0 to 4294967294, or -1 for a random one"),
        ("seed", -(10**4000), "must be from 0 to 4294967294"),
        ("seed", float("nan"), "must be"),
    ],
)
def test_a_value_that_would_be_ignored_or_replaced_is_refused(field, value, rule):
    error = refusal(COMPLETIONS, **{field: value})
    assert error.field == field and field in str(error) and rule in str(error) and len(str(error)) < 300


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"logprobs": 3}, "logprobs must be true or false, got 3"),
        ({"logprobs": True, "top_logprobs": 0}, "top_logprobs must be at least 1, got 0"),
        ({"response_format": "json"}, "response_format must be an object with a type of json_object, json_schema"),
        (
            {"response_format": {"type": "json_object"}, "grammar": "root ::="},
            "only one of response_format and grammar",
        ),
        ({"messages": ["x"]}, "messages[0] must be an object, got 'x'"),
        ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, "messages[0].name is not supported"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content must be text"),
        (
            {"stream": True, "stream_options": {"include_obfuscation": True}},
            "stream_options.include_obfuscation is not",
        ),
    ],
)
def test_a_part_of_a_conversation_that_would_be_ignored_is_refused(fields, rule):
    assert rule in str(refusal(CHAT, **fields))


def test_values_that_ask_for_nothing_pass():
    check_request(COMPLETIONS, {"prompt": "a", "echo": False, "suffix": "", "best_of": 1, "user": None}, MODEL)
    check_request(COMPLETIONS, {"prompt": "a", "n": 2, "max_tokens": 3, "max_completion_tokens": 3, "seed": -1}, MODEL)
    check_request(COMPLETIONS, {"prompt": "a", "logit_bias": {"7": -100, "text": 1.5}, "stop": ["}"]}, MODEL)
    check_request(COMPLETIONS, {"prompt": "a", "logit_bias": [[7, False], ["text", 1]], "stop": "}"}, MODEL)
    answer = {"role": "assistant", "content": "x", "refusal": None, "annotations": [], "tool_calls": None}
    check_request(CHAT, {"messages": [answer], "tools": [], "store": False, "modalities": ["text"]}, MODEL)
    check_request(CHAT, {"messages": [], "response_format": {"type": "text"}, "grammar": 'root ::= "a"'}, MODEL)


def test_a_template_with_a_place_for_tools_gets_them():
    messages = [{"role": "tool", "tool_call_id": "1", "content": "x"}]
    body = {"messages": messages, "tools": [{"type": "function"}], "tool_choice": "required"}
    check_request(CHAT, body, ServedModel(vocab_size=448, has_tools=True))
    assert "tools is not supported" in str(refusal(CHAT, tools=[{}]))


def test_fields_of_one_route_are_not_those_of_the_other():
    assert COMPLETION_FIELDS & CHAT_FIELDS == COMMON_FIELDS
