"""The server in front of llama.cpp's: what it refuses, and that it lets everything else through as it is."""

import json
import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

import openai
import psutil
import pytest

from evaluation.http_server import MAX_BODY_BYTES
from evaluation.models.llama_server import ServerSettings
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.serving.checked_server import checked_server
from model_cards.serving.looplm_server import open_model
from tests.helpers.gguf_models import TOKENIZER, gguf_model

KEY = "a-key"
TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}"
TEMPLATE = TOOLS + "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
PROMPT = {"prompt": "fn main() {", "max_tokens": 3}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    return open_model(export_gguf(LoopLMCheckpoint.from_model(gguf_model()), TOKENIZER, path, type="q4_0").path)


@pytest.fixture(scope="module")
def address(file, tmp_path_factory):
    template = tmp_path_factory.mktemp("template") / "template.jinja"
    template.write_text(TEMPLATE)
    with checked_server(file, ServerSettings(api_key=KEY, num_threads=1), chat_template=template) as server:
        yield urlsplit(server.address)


def send(address, method, route, body=None, key=KEY, **headers):
    """Send a request; returns status, headers and content."""
    connection = HTTPConnection(address.hostname, address.port, timeout=50)
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    connection.request(method, route, body, {"Authorization": f"Bearer {key}", **headers})
    with connection.getresponse() as response:
        return response.status, response.headers, response.read()


@pytest.fixture(scope="module")
def client(address):
    http_client = openai.DefaultHttpxClient(trust_env=False)
    url = f"{address.geturl()}/v1"
    with openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, timeout=50, http_client=http_client) as client:
        yield client


def test_an_openai_client_gets_a_sentence_for_what_would_be_ignored(client):
    for field, value in {"echo": True, "suffix": "}", "best_of": 2, "user": "me", "logit_bias": {"448": 1}}.items():
        with pytest.raises(openai.BadRequestError, match=field) as refused:
            client.completions.create(model="", prompt="fn main() {", max_tokens=1, **{field: value})
        error = refused.value
        assert (error.param, error.type) == (field, "invalid_request_error")
    with pytest.raises(openai.BadRequestError, match="store is not supported"):
        client.chat.completions.create(model="", messages=[], max_tokens=1, store=True, stream=True)


def test_the_given_template_renders_conversations_and_tools(address, client):
    messages = [{"role": "user", "content": "Question"}]
    tool = {"type": "function", "function": {"name": "compile", "parameters": {}}}
    _, _, rendered = send(address, "POST", "/apply-template", {"messages": messages})
    assert json.loads(rendered) == {"prompt": "<user>Question"}
    usage = client.chat.completions.create(model="", messages=messages, max_tokens=1).usage
    assert usage.prompt_tokens == len(TOKENIZER("<user>Question")["input_ids"])
    _, _, rendered = send(address, "POST", "/apply-template", {"messages": messages, "tools": [tool]})
    assert "compile" in json.loads(rendered)["prompt"]


def test_a_template_that_only_transformers_can_render_is_refused(file, tmp_path, capfd):
    template = tmp_path / "template.jinja"
    template.write_text("{{ messages[-1].content | center(50) }}")
    settings = ServerSettings(num_threads=1)
    with pytest.raises(ValueError, match="llama.cpp must be able to load .* and the chat template"):
        with checked_server(file, settings, chat_template=template):
            pass
    assert "center" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body must be JSON"),
        (b"{bad", "the body must be JSON"),
        (b'{"prompt": "\xff"}', "the body must be JSON"),
        (b"[" * 200_000, "the body must be JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "the body must be JSON"),
        (b"[1]", "must be a JSON object, got [1]"),
        (b'{"prompt": "a", "max_tokens": 1e999}', "max_tokens must be a whole number, got inf"),
        (b'{"prompt": "a", "\\ud800": 1}', "is not supported"),
    ],
)
def test_a_body_that_is_no_request_is_refused(address, body, message):
    status, _, content = send(address, "POST", "/v1/completions", body)
    assert status == 400 and message in json.loads(content)["error"]["message"]


def test_a_body_that_is_too_large_is_refused(address):
    body = b" " * (MAX_BODY_BYTES + 1)
    status, _, content = send(address, "POST", "/tokenize", body)
    assert status == 413 and str(MAX_BODY_BYTES) in json.loads(content)["error"]["message"]


def test_only_clients_with_the_key_get_a_refusal(address):
    status, _, content = send(address, "POST", "/v1/completions", {"echo": True}, key="another")
    assert status == 401 and b"Invalid API Key" in content


def test_pages_of_this_machine_can_read_a_refusal_and_others_cannot(address):
    for origin, allowed in (("http://localhost:3000", True), ("https://evil.example", False)):
        status, headers, _ = send(address, "POST", "/v1/completions", {"echo": True}, Origin=origin)
        assert status == 400 and (headers["Access-Control-Allow-Origin"] == origin) == allowed


def test_without_a_key_llama_cpp_itself_is_closed_to_others(file):
    process = psutil.Process()
    before = {connection.laddr.port for connection in process.net_connections("tcp")}
    with checked_server(file, ServerSettings(num_threads=1)) as server:
        own = urlsplit(server.address)
        ports = {
            connection.laddr.port for connection in process.net_connections("tcp") if connection.status == "LISTEN"
        }
        (inner,) = ports - before - {own.port}
        assert send(own, "POST", "/v1/completions", PROMPT, key="any")[0] == 200
        assert send(own._replace(netloc=f"127.0.0.1:{inner}"), "POST", "/v1/completions", PROMPT, key="any")[0] == 401


def test_no_path_leads_to_another_server(address, capfd):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        place = f"127.0.0.1:{other.getsockname()[1]}"
        for target in (
            f"http://{place}/health",
            f"//{place}/health",
            f"@{place}/health",
            f"/@{place}/",
            f":@{place}/",
        ):
            with socket.create_connection((address.hostname, address.port)) as connection:
                lines = (f"GET {target} HTTP/1.1", f"Host: {place}", f"Authorization: Bearer {KEY}", "", "")
                connection.sendall("\r\n".join(lines).encode())
                assert connection.makefile("rb").readline().startswith(b"HTTP/1.")
        with pytest.raises(TimeoutError):
            other.accept()
    # What strangers send is not printed.
    assert capfd.readouterr().err == ""


def test_a_template_that_llama_cpp_renders_otherwise_is_refused_and_the_server_stopped(file, tmp_path):
    template = tmp_path / "template.jinja"
    # Which token begins a text is known only when the model is loaded.
    template.write_text("{% if not bos_token %}" + TEMPLATE + "{% endif %}")
    process = psutil.Process()
    before = len(process.net_connections("tcp"))
    with pytest.raises(ValueError, match="template.jinja leaves out the last one"):
        with checked_server(file, ServerSettings(num_threads=1), chat_template=template):
            pass
    assert len(process.net_connections("tcp")) == before
