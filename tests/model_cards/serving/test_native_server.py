"""The server of the native engine: a model with four streams and an exit gate, which llama.cpp cannot express."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from evaluation.http_server import MAX_BODY_BYTES
from evaluation.models.llama_server import ServerSettings, listening_socket
from model_cards.__main__ import main
from model_cards.serving.native_model import load_native_model
from model_cards.serving.native_server import native_server
from runtime.settings import SamplingSettings
from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.serve_process import events, send, serving
from tests.helpers.tiny import tiny_model

KEY = "a-key"
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
PROMPT = "fn main() {"
# A generation that takes minutes with a model that does not end its texts.
LONG = {"prompt": PROMPT, "n": 100, "seed": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "four-streams"
    model = tiny_model(
        vocab_size=448,
        activation_bits=8,
        mhc_num_streams=4,
        num_loops=4,
        exit_threshold=0.6,
        max_position_embeddings=32768,
    )
    model.save_pretrained(path)
    TOKENIZER.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return load_native_model(str(folder), num_threads=1)


@pytest.fixture
def endless(model):
    return replace(model, ends=())


@contextmanager
def served(model, **settings):
    settings = ServerSettings(**settings)
    with listening_socket(settings) as listener, native_server(model, settings, listener) as address:
        yield address


@pytest.fixture(scope="module")
def address(model):
    with served(model, api_key=KEY, parallel=2) as address:
        yield address


def ask(address, body, route=COMPLETIONS):
    """The answer to a request that is not refused."""
    status, _, content = send(address, "POST", route, body, KEY)
    assert status == 200, content
    return json.loads(content)


@contextmanager
def waiting(address, body, key=""):
    """A connection to the server on which a request was sent."""
    parts, content = urlsplit(address), json.dumps(body).encode()
    head = f"POST {COMPLETIONS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    with socket.create_connection((parts.hostname, parts.port), timeout=50) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        yield connection


def refusal(address, body, route=COMPLETIONS, key=KEY, method="POST"):
    """Status and error of a request that is refused."""
    status, headers, content = send(address, method, route, body, key)
    assert headers["Content-Type"].startswith("application/json")
    error = json.loads(content)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return status, error


def generated(model, prompts=(PROMPT,), **settings):
    """What the engine generates."""
    ids = [TOKENIZER(prompt)["input_ids"] for prompt in prompts]
    settings.setdefault("temperature", 1.0)
    return model.engine.generate(ids, SamplingSettings(eos_token_id=model.ends, **settings))


def text_of(completion):
    text = TOKENIZER.decode(completion.token_ids, skip_special_tokens=True)
    assert isinstance(text, str)
    # A character that is incomplete at the end is dropped.
    return text.removesuffix("\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    "fields, settings",
    [
        ({}, {}),
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9}),
        ({"top_k": 5, "repeat_penalty": 1.3}, {"top_k": 5, "repetition_penalty": 1.3}),
    ],
)
def test_a_completion_is_the_engines_at_the_same_seed(address, model, fields, settings):
    answer = ask(address, {"prompt": PROMPT, "max_tokens": 40, "seed": 7, **fields})
    (expected,) = generated(model, max_new_tokens=40, seed=7, **settings)
    assert len(set(expected.loops_used)) > 1, "the exit gate lets tokens leave at different loops"
    (choice,) = answer["choices"]
    assert choice["text"] == text_of(expected) and len(choice["text"]) > 20
    ended = expected.token_ids[-1] in model.ends
    assert choice["finish_reason"] == ("stop" if ended else "length")
    length = len(TOKENIZER(PROMPT)["input_ids"])
    count = len(expected.token_ids)
    assert answer["usage"] == {
        "prompt_tokens": length,
        "completion_tokens": count,
        "total_tokens": length + count,
    }


def test_samples_of_several_prompts_are_the_engines_in_their_order(address, model):
    prompts = [PROMPT, "struct Point {"]
    answer = ask(address, {"prompt": prompts, "n": 3, "max_tokens": 12, "seed": 3})
    expected = generated(model, prompts, max_new_tokens=12, seed=3, num_return_sequences=3)
    assert [choice["index"] for choice in answer["choices"]] == list(range(6))
    assert [choice["text"] for choice in answer["choices"]] == [text_of(each) for each in expected]
    assert len({choice["text"] for choice in answer["choices"]}) == 6
    ids = [TOKENIZER(prompt)["input_ids"] for prompt in prompts]
    assert ask(address, {"prompt": ids, "n": 3, "max_tokens": 12, "seed": 3})["choices"] == answer["choices"]


def test_the_end_token_ends_a_completion_and_is_no_text(folder, model):
    (whole,) = generated(model, max_new_tokens=20, seed=7)
    end = next(token for place, token in enumerate(whole.token_ids) if place > 5)
    with served(replace(model, ends=(end,))) as address:
        answer = ask(address, {"prompt": PROMPT, "max_tokens": 20, "seed": 7})
    place = whole.token_ids.index(end)
    (choice,) = answer["choices"]
    expected = text_of(replace(whole, token_ids=whole.token_ids[:place]))
    assert (choice["text"], choice["finish_reason"]) == (expected, "stop")
    assert answer["usage"]["completion_tokens"] == place + 1


@pytest.mark.parametrize("route", [COMPLETIONS, CHAT])
@pytest.mark.parametrize("stop", [None, ["e", "fn"]])
def test_the_pieces_of_a_stream_are_the_text_without_one(address, route, stop):
    body = {"max_tokens": 60, "seed": 5, "n": 2, "stop": stop}
    body |= {"prompt": PROMPT} if route == COMPLETIONS else {"messages": [{"role": "user", "content": PROMPT}]}
    whole = ask(address, body, route)
    streaming = body | {"stream": True, "stream_options": {"include_usage": True}}
    status, headers, content = send(address, "POST", route, streaming, KEY)
    assert status == 200 and headers["Content-Type"] == "text/event-stream; charset=utf-8"
    *chunks, last = events(content)
    assert last["choices"] == [] and last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [each for chunk in chunks for each in chunk["choices"] if each["index"] == choice["index"]]
        if route == COMPLETIONS:
            pieces, text = [each["text"] for each in own], choice["text"]
        else:
            pieces, text = [each["delta"].get("content", "") for each in own], choice["message"]["content"]
        assert "".join(pieces) == text
        assert stop is not None or len([piece for piece in pieces if piece]) > 20
        assert [each["finish_reason"] for each in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]


def test_a_stop_string_across_two_tokens_ends_the_text_before_it(endless):
    (whole,) = generated(endless, max_new_tokens=60, seed=11)
    text = text_of(whole)
    ends = [len(text_of(replace(whole, token_ids=whole.token_ids[: place + 1]))) for place in range(60)]
    # The last character of one token, and the first of the next one.
    pairs = [(place, text[end - 1 : end + 1]) for place, end in enumerate(ends[:-1]) if end < ends[place + 1]]
    place, stop = next(
        (place, pair) for place, pair in pairs if place > 10 and pair.isascii() and text.find(pair) == ends[place] - 1
    )
    with served(endless) as address:
        for stops in (stop, ["not in the text", stop]):
            answer = ask(address, {"prompt": PROMPT, "max_tokens": 60, "seed": 11, "stop": stops})
            (choice,) = answer["choices"]
            assert (choice["text"], choice["finish_reason"]) == (text[: text.index(stop)], "stop")
            assert answer["usage"]["completion_tokens"] == place + 2


def test_a_conversation_without_a_template_continues_its_texts(address):
    messages = [{"role": "system", "content": PROMPT[:4]}, {"role": "user", "content": PROMPT[4:]}]
    answer = ask(address, {"messages": messages, "max_tokens": 20, "seed": 2}, CHAT)
    assert answer["object"] == "chat.completion" and answer["model"] == "four-streams"
    (continued,) = ask(address, {"prompt": PROMPT, "max_tokens": 20, "seed": 2})["choices"]
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": continued["text"]}


def test_a_chat_template_renders_the_conversation_and_may_refuse_it(folder):
    template = (
        "{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
        "<{{ message.role }}>{{ message.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    model = load_native_model(str(folder), num_threads=1, chat_template=template)
    with served(model) as address:
        for begun, text in ((True, "<user>Question<assistant>"), (False, "<user>Question")):
            body = {"messages": [{"role": "user", "content": "Question"}], "max_tokens": 5, "seed": 2}
            answer = ask(address, body | {"add_generation_prompt": begun}, CHAT)
            ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
            (expected,) = ask(address, {"prompt": ids, "max_tokens": 5, "seed": 2})["choices"]
            assert answer["choices"][0]["message"]["content"] == expected["text"]
        status, error = refusal(address, {"messages": [{"role": "tool", "content": "x"}]}, CHAT)
        assert (status, error["param"]) == (400, "messages") and "no tools" in error["message"]


def test_an_openai_client_gets_completions_streams_and_errors(address):
    http_client = openai.DefaultHttpxClient(trust_env=False)
    url = f"{address}/v1"
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=50, http_client=http_client) as client:
        assert [each.id for each in client.models.list()] == ["four-streams"]
        whole = client.completions.create(model="", prompt=PROMPT, max_tokens=9, seed=1)
        messages: Any = [{"role": "user", "content": PROMPT}]
        stream = client.chat.completions.create(model="", messages=messages, max_tokens=9, seed=1, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole.choices[0].text
        with pytest.raises(openai.BadRequestError, match="Put the prompt before the completion") as refused:
            client.completions.create(model="", prompt=PROMPT, echo=True)
        assert refused.value.param == "echo"
        wrong = client.with_options(api_key="another")
        with pytest.raises(openai.AuthenticationError, match="Invalid API Key"):
            wrong.completions.create(model="", prompt=PROMPT)


def test_requests_at_once_get_the_results_of_each_alone(address):
    bodies = [{"prompt": PROMPT, "max_tokens": 50, "seed": seed} for seed in range(8)]
    alone = [ask(address, body)["choices"] for body in bodies]
    # Two are processed at a time; the others wait.
    with ThreadPoolExecutor(8) as pool:
        assert [each["choices"] for each in pool.map(lambda body: ask(address, body), bodies)] == alone
    assert len({choices[0]["text"] for choices in alone}) == 8


def test_clients_that_disconnect_within_a_stream_log_nothing(endless, caplog):
    with served(endless, parallel=2) as address:
        for _ in range(20):
            with waiting(address, {"prompt": PROMPT, "n": 4, "stream": True}) as connection:
                connection.recv(1000)
    assert caplog.records == []


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_ends_its_generation(endless, stream):
    with served(endless, parallel=1) as address, ThreadPoolExecutor(1) as pool:
        with waiting(address, LONG | {"stream": stream}) as connection:
            if stream:
                connection.recv(1)
            later = pool.submit(ask, address, {"prompt": PROMPT, "max_tokens": 3})
            time.sleep(0.5)
            assert not later.done(), "it waits for its turn"
        start = time.monotonic()
        later.result()
        assert time.monotonic() - start < 10


def test_the_server_stops_at_once_though_clients_wait(endless):
    with ExitStack() as stack:
        with served(endless, parallel=1) as address:
            for _ in range(3):
                stack.enter_context(waiting(address, LONG))
            time.sleep(0.3)
            start = time.monotonic()
        assert time.monotonic() - start < 10


def test_a_prompt_that_fills_the_context_is_refused_with_the_numbers(endless):
    prompt = [5] * 20
    with served(replace(endless, context_length=20)) as address:
        status, error = refusal(address, {"prompt": prompt})
        assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "prompt")
        assert error["message"] == "prompt must leave room in the context of 20 tokens, and has 20"
        answer = ask(address, {"prompt": prompt[:-2], "max_tokens": 50})
    assert answer["usage"]["total_tokens"] == 20 and answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "body, status, message",
    [
        (b"{bad", 400, "the body must be JSON"),
        (b"[" * 100_000, 400, "the body must be JSON"),
        (b"[1]", 400, "must be a JSON object, got [1]"),
        ({"prompt": [[]]}, 400, "prompt must be a string, a list of strings, or a list of token ids, got []"),
        ({"prompt": PROMPT, "grammar": "x"}, 400, "grammar is not supported by /v1/completions. Leave it out."),
        (b" " * (MAX_BODY_BYTES + 1), 413, f"at most {MAX_BODY_BYTES} bytes"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused(address, body, status, message):
    found, error = refusal(address, body)
    assert found == status and message in error["message"] and error["type"] == "invalid_request_error"


def test_only_health_needs_no_key_and_other_routes_do_not_exist(address):
    assert send(address, "GET", "/health")[2] == b'{"status": "ok"}'
    for key in ("another", KEY.upper(), "", "schlüssel"):
        for method, route in (("GET", "/v1/models"), ("POST", COMPLETIONS), ("GET", "/elsewhere")):
            status, error = refusal(address, None, route, key, method)
            assert (status, error["message"]) == (401, "Invalid API Key")
    for method, route in (("GET", "/v1/elsewhere"), ("GET", COMPLETIONS), ("POST", "/v1/models"), ("PUT", "/health")):
        status, error = refusal(address, None, route, KEY, method)
        assert status == 404 and f"got {method} {route}" in error["message"]


def test_depth_and_length_are_options(folder, model):
    exits = [load_native_model(str(folder), num_threads=1, exit_threshold=threshold) for threshold in (1.0, 0.01)]
    texts = []
    for each in (model, *exits, load_native_model(str(folder), num_threads=1, num_loops=2, context_length=50)):
        with served(each) as address:
            (choice,) = ask(address, {"prompt": PROMPT, "temperature": 0, "max_tokens": 60})["choices"]
        texts.append(choice["text"])
    assert len(set(texts)) == 4
    settings = SamplingSettings(max_new_tokens=50 - len(TOKENIZER(PROMPT)["input_ids"]), num_loops=2, exit_at_loop=2)
    (expected,) = model.engine.generate([TOKENIZER(PROMPT)["input_ids"]], settings)
    assert texts[-1] == text_of(expected) and set(expected.loops_used) == {2}


@pytest.mark.parametrize(
    "options, message",
    [
        (["--exit-threshold", "0"], "exit_threshold must be above 0 and at most 1, got 0.0"),
        (["--exit-threshold", "nan"], "exit_threshold must be above 0 and at most 1, got nan"),
        (["--num-loops", "0"], "num_loops must be an integer >= 1, got 0"),
        (["--context-length", "40000"], "context_length must be at most 32768, the positions of"),
        (["--host", "0.0.0.0"], "host 0.0.0.0 can be reached by other machines and needs an API key"),
        (["--chat-template", "missing.jinja"], "No such file or directory"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(folder, capsys, monkeypatch, options, message):
    monkeypatch.delenv("LLAMA_API_KEY", raising=False)
    assert main(["serve", "--model", str(folder), "--port", "0", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert main(["serve", "--model", str(tmp_path), "--port", "0"]) == 2
    assert "model must be the folder of a saved model or a Hub name" in capsys.readouterr().err


# A process that loads PyTorch takes several seconds.
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_status_0_though_a_client_waits(folder, number):
    with serving(folder, "--parallel", "1", LLAMA_API_KEY=KEY) as (process, address):
        with waiting(address, LONG | {"stream": True}, KEY) as connection:
            assert connection.recv(12) == b"HTTP/1.1 200"
            process.send_signal(number)
            assert process.wait(30) == 0
        assert process.stdout.read().endswith("Stopped.\n") and process.stderr.read() == ""
