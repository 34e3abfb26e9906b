"""The command `serve`: llama.cpp's server as a process of its own, with the client of OpenAI."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import ProxyHandler, Request, build_opener

import openai
import pytest
import torch

from evaluation.models.llama_server import ServerSettings
from model_cards.__main__ import main
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.serving.looplm_server import open_model, with_num_loops
from tests.helpers.gguf_faults import patched
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.memorized import COMPILES, FAILS, memorized_model
from tests.helpers.paths import ROOT
from tests.helpers.serve_process import serving

KEY = "a-key"
WITHOUT_PROXIES = build_opener(ProxyHandler({}))


def client_of(address, key=KEY):
    http_client = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=address, api_key=key, max_retries=0, timeout=50, http_client=http_client)


def get(address, route, key=None):
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with WITHOUT_PROXIES.open(Request(address.removesuffix("/v1") + route, headers=headers), timeout=50) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "memorized.gguf"
    return export_gguf(LoopLMCheckpoint.from_model(memorized_model()), TOKENIZER, path, type="q4_0").path


@pytest.fixture(scope="module")
def address(file):
    with serving(file, "--parallel", "2", "--context-length", "32768", LLAMA_API_KEY=KEY) as (_, address):
        yield address


def complete(client, prompt, answer):
    length = len(TOKENIZER(prompt + answer)["input_ids"]) - len(TOKENIZER(prompt)["input_ids"])
    completion = client.completions.create(model="", prompt=prompt, max_tokens=length, temperature=0)
    return completion.choices[0].text


def test_an_openai_client_gets_completions(address):
    with client_of(address) as client:
        assert [model.id for model in client.models.list()] == ["memorized.gguf"]
        for prompt, answer in (COMPILES, FAILS):
            assert complete(client, prompt, answer) == answer


def test_a_conversation_continues_the_text_of_its_messages(address):
    prompt, answer = COMPILES
    half = len(prompt) // 2
    messages = [{"role": "system", "content": prompt[:half]}, {"role": "user", "content": prompt[half:]}]
    with client_of(address) as client:
        chunks = list(
            client.chat.completions.create(model="", messages=messages, temperature=0, max_tokens=6, stream=True)
        )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces).startswith(answer) and len([piece for piece in pieces if piece]) > 2
    assert chunks[-1].choices[0].finish_reason == "length"


def test_health_asks_for_no_key_and_everything_else_does(address):
    assert get(address, "/health") == {"status": "ok"}
    for wrong in ("another-key", KEY.upper(), "EMPTY"):
        with client_of(address, wrong) as client, pytest.raises(openai.AuthenticationError, match="Invalid API Key"):
            complete(client, *COMPILES)
        with client_of(address, wrong) as client, pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_pages_of_other_sites_may_not_use_the_server(address):
    for origin, allowed in (("http://localhost:3000", True), ("https://evil.example", False)):
        request = Request(address.removesuffix("/v1") + "/health", headers={"Origin": origin})
        with WITHOUT_PROXIES.open(request, timeout=50) as response:
            assert (response.headers["Access-Control-Allow-Origin"] == origin) == allowed


def test_fifty_requests_at_once_each_get_their_own_answer(address):
    asked = [COMPILES, FAILS] * 25
    with client_of(address) as client, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda pair: complete(client, *pair), asked))
    assert answers == [answer for _, answer in asked]


def test_clients_that_hang_up_are_noticed_and_leave_their_place_to_others(address):
    endless = {"model": "", "prompt": FAILS[0], "max_tokens": 30000, "extra_body": {"ignore_eos": True}}
    for _ in range(4):
        with client_of(address) as client:
            stream = client.completions.create(**endless, stream=True)
            next(iter(stream))
            stream.close()
    deadline = time.monotonic() + 30
    while any(slot["is_processing"] for slot in get(address, "/slots", KEY)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # What was written for them ended long before its end.
    assert all(slot.get("n_prompt_tokens", 0) < 15000 for slot in get(address, "/slots", KEY))
    with client_of(address) as client:
        assert complete(client, *COMPILES) == COMPILES[1]


@pytest.mark.parametrize("loops", [1, 3])
def test_another_depth_equals_pytorch_at_thwith_num_loops(tmp_path, loops):
    model = gguf_model(num_loops=2)
    path = export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, tmp_path / "model.gguf", type="f32").path
    prompt = "pub fn f(x: u8) -> u8 {"
    before = path.read_bytes()
    with serving(path, "--num-loops", str(loops)) as (_, address), client_of(address) as client:
        # The bias changes what is sampled, but not the listed ones; none are listed for a part of a character.
        completion = client.chat.completions.create(
            model="",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=1,
            logprobs=True,
            top_logprobs=20,
            logit_bias={str(TOKENIZER("a")["input_ids"][-1]): 100},
        )
    found = [entry.logprob for entry in completion.choices[0].logprobs.content[0].top_logprobs]
    for layer in model.modules():
        if hasattr(layer, "activation_bits"):
            layer.activation_bits = None
    with torch.no_grad():
        output = model(**TOKENIZER(prompt, return_tensors="pt"), num_loops=loops, return_logits=True)
    expected = output.logits[0, -1].log_softmax(dim=-1).topk(20).values.tolist()
    # llama.cpp keeps keys and values as fp16.
    assert found == pytest.approx(expected, abs=5e-3)
    assert path.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once_though_a_client_waits(file, tmp_path, number):
    with serving(file, "--num-loops", "3", "--context-length", "32768", TMPDIR=str(tmp_path)) as (process, address):
        # The temporary copy is gone as soon as it is loaded.
        assert list(tmp_path.iterdir()) == []
        body = json.dumps({"prompt": FAILS[0], "max_tokens": 30000, "ignore_eos": True}).encode()
        with socket.create_connection(("127.0.0.1", int(address.split(":")[2].removesuffix("/v1")))) as waiting:
            head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            waiting.sendall(head.encode() + body)
            while not any(slot["is_processing"] for slot in get(address, "/slots")):
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(30) == 0
        assert process.stdout.read().endswith("Stopped.\n") and process.stderr.read() == ""
    assert list(tmp_path.iterdir()) == []


def test_the_copy_of_another_depth_is_removed_when_loading_is_interrupted(file, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = open_model(file)
    with pytest.raises(KeyboardInterrupt), with_num_loops(model, 3) as path:
        assert open_model(path).metadata["nanbeige.num_loops"] == 3 and path != file
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with with_num_loops(model, 2) as path:
        assert path == file


def refusal(capsys, file, *options):
    """Error message of a `serve` that does not start."""
    assert main(["serve", "--model", str(file), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def test_a_file_that_is_not_ours_is_named_before_anything_starts(file, tmp_path, capsys):
    content = file.read_bytes()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(content[:-100])
    assert "broken.gguf is truncated: it must have" in refusal(capsys, broken)
    broken.write_bytes(b"fn main() {}")
    assert "broken.gguf is not a GGUF file" in refusal(capsys, broken)
    broken.write_bytes(b"")
    assert "broken.gguf is not a GGUF file" in refusal(capsys, broken)
    broken.write_bytes(content.replace(b"nanbeige", b"llamacpp"))
    assert "must be a file of the architecture nanbeige" in refusal(capsys, broken)
    broken.write_bytes(content.replace(b"nanbeige.num_loops", b"nanbeige.num_goods"))
    assert "got nanbeige without num_loops" in refusal(capsys, broken)
    assert "No such file or directory" in refusal(capsys, tmp_path / "missing.gguf")


def test_a_file_that_llama_cpp_cannot_load_is_a_clear_error(file, tmp_path):
    offset = open_model(file).value_offsets["nanbeige.attention.head_count_kv"]
    broken = patched(open_model(file), tmp_path / "broken.gguf", {offset: struct.pack("<I", 3)})
    command = [sys.executable, "-m", "model_cards", "serve", "--model", str(broken), "--port", "0"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 2 and process.stdout == ""
    assert "llama.cpp must be able to load" in process.stderr and "Traceback" not in process.stderr


def test_what_cannot_be_served_is_one_sentence(file, capsys, monkeypatch):
    monkeypatch.delenv("LLAMA_API_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in refusal(
            capsys, file, "--port", port
        )
    assert "host 0.0.0.0 can be reached by other machines and needs an API key" in refusal(
        capsys, file, "--host", "0.0.0.0"
    )
    assert "host must be a name or an address" in refusal(capsys, file, "--host", "no.such.host.invalid")
    assert "Cannot assign requested address" in refusal(
        capsys, file, "--host", "203.0.113.7", "--api-key", KEY, "--port", "0"
    )
    assert "exit_threshold needs the folder of a saved model or a Hub name, because llama.cpp runs all loops" in (
        refusal(capsys, file, "--exit-threshold", "0.5")
    )
    assert "num_loops must be from 1 to 512 for" in refusal(capsys, file, "--num-loops", "513")
    assert "num_loops must be from 1 to 512 for" in refusal(capsys, file, "--num-loops", "0")
    assert "context_length must be at most 32768, the positions of" in refusal(
        capsys, file, "--context-length", "40000"
    )
    assert "port must be from 0 (a free one) to 65535, got 70000" in refusal(capsys, file, "--port", "70000")
    assert "chat_template must be a text file in UTF-8" in refusal(capsys, file, "--chat-template", str(file))
    assert "No such file or directory" in refusal(capsys, file, "--chat-template", "missing.jinja")
    assert "api_key must be printable ASCII" in refusal(capsys, file, "--api-key", "")
    for name in ("context_length", "parallel", "num_threads"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            ServerSettings(**{name: 0})
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    assert 'xllamacpp is not installed: pip install -e ".[gguf]"' in refusal(capsys, file)
