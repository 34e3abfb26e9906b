"""Completions and answers of a server are those of its model, whatever the network does; what cannot work is said."""

import threading
from contextlib import contextmanager
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.models.openai_server import PLAIN_SAMPLING, open_server
from evaluation.models.prompt_space import after_space
from evaluation.results import Results
from evaluation.rust.syntax.completion import completed_function
from tests.helpers.openai_server import SmallServer, small_server

GREEDY = GenerationSettings(temperature=0, max_new_tokens=50)
PROMPT = "fn one() -> u32 {\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("evaluation.models.openai_server.FIRST_DELAY", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@contextmanager
def served(name="", **settings):
    with small_server(SmallServer(**settings)) as server, open_server(server.address + name) as model:
        yield model, server


def complete(model, settings=GREEDY, prompt=PROMPT):
    (found,) = model.complete([prompt], settings, 7, completed_function)
    return found


def test_a_completion_ends_with_its_function_and_its_generation_with_it():
    with served(write=lambda prompt: ["\n", "    1\n", "}", *["\nfn more() {}"] * 200_000]) as (model, server):
        found = complete(model)
        assert (found.text, found.finished, found.reached_limit, found.tokens) == ("    1\n}", True, False, 3)
    assert server.sent < 200_000


@pytest.mark.parametrize("reason, limit", [("length", True), ("stop", False)])
def test_a_completion_without_an_end_says_whether_the_limit_was_reached(reason, limit):
    with served(write=lambda prompt: ["\nlet x"], reason=reason) as (model, _):
        found = complete(model)
        assert (found.text, found.finished, found.reached_limit, found.tokens) == ("let x", False, limit, 2)


def test_white_space_at_the_end_of_a_prompt_is_not_sent():
    with served(write=lambda prompt: ["\n    ", "1", "\n}"]) as (model, server):
        assert complete(model).text == "    1\n}"
        assert complete(model, prompt=" \n").text == "\n    1\n}"
    assert [body["prompt"] for body in server.asked] == ["fn one() -> u32 {", " \n"]


@pytest.mark.parametrize(
    "completion, space, expected",
    [
        ("\n    1", "\n", "    1"),
        ("\n  1", "\n    ", "1"),
        (" 1", "\n", " 1"),
        ("1", "\n", "1"),
        ("\n\n1", "", "\n\n1"),
    ],
)
def test_only_the_space_that_the_prompt_already_has_is_taken_off(completion, space, expected):
    assert after_space(completion, space) == expected


@pytest.mark.parametrize("owner", ["someone", *PLAIN_SAMPLING])
def test_the_request_has_every_setting_and_nothing_that_the_server_may_not_know(owner):
    settings = GenerationSettings(temperature=0.7, top_p=0.9, max_new_tokens=11)
    with served(owner=owner, models=("a", "b"), name="#b") as (model, server):
        complete(model, settings)
        model.answer(["question?"], settings, 7)
        assert model.name == f"openai:{server.address}#b"
    known: dict[str, Any] = {
        "model": "b",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 11,
        "seed": 7,
        "stream": True,
    }
    known |= {"stream_options": {"include_usage": True}} | PLAIN_SAMPLING.get(owner, {})
    asked = {"prompt": PROMPT.rstrip()}, {"messages": [{"role": "user", "content": "question?"}]}
    assert server.asked == [known | each for each in asked]


def test_an_answer_is_whole_and_finished_where_the_model_ends_it():
    for reason in ("stop", "length"):
        with served(write=lambda question: ["```rust\nfn a() {}\n", "```\n", "Done."], reason=reason) as (model, _):
            (found,) = model.answer(["Write a."], GREEDY, 0)
            assert found.text == "```rust\nfn a() {}\n```\nDone."
            assert (found.finished, found.reached_limit) == (reason == "stop", reason == "length")


def test_requests_come_together_each_with_a_seed_and_answers_in_order():
    with served(write=lambda prompt: [prompt[3], "}"], barrier=threading.Barrier(4)) as (model, server):
        settings = GenerationSettings(temperature=1.0, batch_size=4)
        prompts = [f"fn {name}() {{" for name in "abcdefgh"]
        found = model.complete(prompts, settings, 2**31 - 3, completed_function)
    assert [each.text for each in found] == [f"{name}}}" for name in "abcdefgh"]
    assert sorted(body["seed"] for body in server.asked) == [0, 1, 2, 3, 4, *(2**31 - each for each in (3, 2, 1))]


def test_refusals_that_pass_and_lost_connections_are_repeated():
    with served(refusals=[429, 503, 500, 0, 0]) as (model, server):
        assert complete(model).text == "    1\n}"
    assert [body["seed"] for body in server.asked] == [7, 7, 7]


@pytest.mark.parametrize(
    "status, message",
    [(400, "refuses the request: .*try again"), (404, "has no such address"), (429, "refuses the request: .*429")],
)
def test_refusals_that_stay_end_the_run_with_one_sentence(status, message):
    with served(refusals=[status] * 9) as (model, _), pytest.raises(ValueError, match=message):
        complete(model)


@pytest.mark.parametrize(
    "error",
    [
        {"message": "request (99 tokens) exceeds the available context size", "type": "exceed_context_size_error"},
        {"message": "too long", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 64 tokens"},
    ],
)
def test_a_prompt_beyond_the_servers_context_is_an_unfinished_completion(error):
    with served(refusals=[400], error=error) as (model, _):
        found = complete(model)
        assert (found.text, found.finished, found.reached_limit, found.tokens) == ("", False, True, 0)


def test_a_server_that_never_ends_an_answer_is_no_endless_loop():
    with served(reason=None, write=lambda prompt: ["x"]) as (model, _):
        with pytest.raises(ValueError, match="does not stream whole answers: the answer has no reason for its end"):
            complete(model)


def test_what_is_no_usable_server_is_refused_with_what_to_do():
    for name in ("", "127.0.0.1:80", "ftp://a/v1", "http:///v1", "http://a b/v1", "http://ä/v1"):
        with pytest.raises(ValueError, match="model must be openai:http://HOST:PORT/v1"), open_server(name):
            pass
    with small_server(SmallServer()) as gone:
        pass
    with pytest.raises(ValueError, match="cannot be reached .*: is it running?"), open_server(gone.address):
        pass
    for listing in ("<html>", "[]", "{}", '{"data": [1]}', '{"data": null}'):
        with pytest.raises(ValueError, match="/models must list models as OpenAI's API does"):
            with served(listing=listing):
                pass
    with pytest.raises(ValueError, match="no such address.* ends with /v1"), served(name="/v2"):
        pass
    with pytest.raises(ValueError, match="must have the model 'large', it has small"), served(name="#large"):
        pass
    with pytest.raises(ValueError, match="name the model of the server, as in openai:.*#NAME: it has a, b"):
        with served(models=("a", "b")):
            pass
    with pytest.raises(ValueError, match="#NAME: it has none"), served(models=()):
        pass


def test_the_key_comes_from_the_environment_and_is_in_no_file(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="refuses the API key of OPENAI_API_KEY"), served(key="secret-key"):
        pass
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    with served(key="secret-key") as (model, _):
        generate(model, None, [Prompt("one", PROMPT)], GREEDY, tmp_path / "s.jsonl", progress=False)
    assert "secret-key" not in (tmp_path / "s.jsonl").read_text()


def test_after_an_error_the_other_requests_end():
    def write(prompt):
        if "bad" in prompt:
            return ["}"]
        return ["x"] * 200_000

    def stop(prompt, text):
        raise ValueError("refused")

    with served(write=write, barrier=threading.Barrier(2)) as (model, server):
        with pytest.raises(ValueError, match="refused"):
            model.complete(["fn good() {", "fn bad() {"], GenerationSettings(batch_size=2), 0, stop)
    assert server.sent < 200_000


def test_the_command_evaluates_a_server_in_both_modes(tmp_path, capsys, monkeypatch):
    def write(text):
        if "Write this Rust function" in text:
            return ["```rust\nfn checked_sum(a: i32, b: i32) -> Option<i32> {\n", "    a.checked_add(b)\n}\n```"]
        return ["\n    a.checked_add(b)\n", "}"]

    with small_server(SmallServer(write=write)) as server:
        for mode in ([], ["--chat"]):
            out = tmp_path / f"out{len(mode)}"
            options = ["--suite", "compile-rate", "--limit", "1", "--output-dir", str(out), *mode]
            assert main(["run", "--model", f"openai:{server.address}", *options]) == 0, capsys.readouterr().err
            results = Results.read(out / "compilation_success_rate.json")
            assert results.metrics["compiles@1"].value == 1
            assert results.model["digest"] is None and "server" in results.model["digest_of"]
        options = ["--suite", "performance", "--output-dir", str(tmp_path / "speed")]
        assert main(["run", "--model", f"openai:{server.address}", *options]) == 2
        assert "performance times `generate`" in capsys.readouterr().err
        assert main(["run", "--model", f"openai:{server.address}", "--dtype", "float32"]) == 2
        assert "dtype needs the folder of a saved model or a Hub name" in capsys.readouterr().err
