"""The judge behind a server answers as it does here, whatever happens to the server and whoever asks."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx2
import pytest

from evaluation.models.llama_server import ServerSettings, listening_socket
from evaluation.rust import HiddenTests, Verdict
from evaluation.rust.judging import JudgeSettings, JudgeUnavailable
from evaluation.rust.service import client
from evaluation.rust.service.client import RemoteJudge
from tests.helpers.judge_service import TOKEN, serving
from tests.helpers.paths import HELPERS, ROOT

TEXT = tomllib.loads((HELPERS / "reward_hacks.toml").read_text())
ADD = HiddenTests("fn add(a: i32, b: i32) -> i32;", "check!(add(1, 2) == 3); check!(add(2, 2) == 4);")
QUICK = ("items behind the function", "examples by heart", "comment left open", "panics with the answer")
ORDINARY = ["fn add(a: i32, b: i32) -> i32 { a + b }", "fn add(a: i32, b: i32) -> i32 { 4 - a * 0 - b * 0 }"]


def programs_and_tests(names):
    """Attempts to cheat, as whole programs, and the honest solutions of their tasks; and the number of attempts."""
    tasks = {name: HiddenTests(task["signature"], task["checker"]) for name, task in TEXT["task"].items()}
    pairs = []
    for hack in TEXT["hack"]:
        if hack.get("mode", "tests") == "tests" and (names is None or hack["name"] in names):
            text = hack["completion"].replace("@@@", hack.get("repeat", "") * hack.get("times", 0))
            prompt = "" if hack.get("chat") else TEXT["task"][hack["task"]]["prompt"]
            pairs.append((prompt + text, tasks[hack["task"]]))
    honest = [(task["prompt"] + task["honest"], tasks[name]) for name, task in TEXT["task"].items()]
    return pairs + honest[: len(pairs)], len(pairs)


def told(verdicts):
    """Verdicts without what may differ between two times."""
    return [replace(verdict, cached=False, seconds=0.0) for verdict in verdicts]


def asked_of(url, judge):
    return RemoteJudge(url, TOKEN, expected=JudgeSettings.of(judge.verifier), timeout=20)


@pytest.mark.parametrize("names", [QUICK, pytest.param(None, marks=pytest.mark.slow)])
def test_cheats_and_honest_code_get_the_verdicts_of_the_judge_itself(judge, served, names):
    pairs, attempts = programs_and_tests(names)
    pairs += [("fn f() { // \ud800 }", None), ("x" * 3_000_000, None), ("fn g() -> u8 { 1 }", None), pairs[0]]
    codes, tests = zip(*pairs, strict=True)
    remote = told(asked_of(served[1], judge).judge(codes, tests, "reward", 300))
    here = told(judge.judge(codes, tests, "reward"))
    for code, theirs, ours in zip(codes, remote, here, strict=True):
        # What is far too long is sent in part, and told another length.
        if len(code) > client.MOST_SENT:
            assert theirs.status == ours.status == "refused"
        else:
            assert theirs == ours
    assert not any(verdict.ok for verdict in remote[:attempts])
    assert {"valid", "invalid_syntax", "refused", "tests_failed"} <= {verdict.status for verdict in here}


def test_two_hundred_clients_at_once_get_every_answer_and_each_code_is_judged_once(judge, served, monkeypatch):
    monkeypatch.setattr(client, "FIRST_DELAY", 0.02)
    reached = []
    put = judge.verifier.resources.cache.put
    monkeypatch.setattr(judge.verifier.resources.cache, "put", lambda found: (reached.extend(found), put(found)))
    queue, url = served
    codes = [f"fn add(a: i32, b: i32) -> i32 {{ a + b + {number % 3 * (number % 2)} * a }}" for number in range(80)]
    codes = [f"// {number}\n{code}" for number, code in enumerate(codes)]
    expected = [number % 3 * (number % 2) == 0 for number in range(80)]
    remote = asked_of(url, judge)
    start = threading.Barrier(200)

    def ask(number):
        indices = [(number * 7 + step * 11) % 80 for step in range(5)]
        start.wait()
        found = remote.judge([codes[index] for index in indices], [ADD] * 5, "reward", 300)
        return [verdict.ok == expected[index] for index, verdict in zip(indices, found, strict=True)]

    before = queue.judged
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert answers == [[True] * 5] * 200
    assert sorted(set(reached)) == sorted(reached) and len(reached) == 80
    assert queue.judged - before >= 80 and queue.waiting == queue.running == 0
    remote.close()


def test_nothing_but_the_health_is_told_without_the_token(served, monkeypatch):
    monkeypatch.delenv("NANOCHAT_JUDGE_TOKEN", raising=False)
    with httpx2.Client(base_url=served[1], trust_env=False) as http:
        for path in ("/judge", "/check-tests", "/other"):
            for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": TOKEN}):
                assert http.post(path, content=b"{", headers=headers).status_code == 401
        health = http.get("/health").json()
    assert health["status"] == "ok" and health["settings"]["edition"] == "2021" and health["sandbox"]
    assert TOKEN not in str(health)
    with pytest.raises(ValueError, match="refuses the token that was given: .* or set NANOCHAT_JUDGE_TOKEN"):
        RemoteJudge(served[1], "another")
    with pytest.raises(ValueError, match="needs a token: pass the one it was started with, as judge_token"):
        RemoteJudge(served[1])
    monkeypatch.setenv("NANOCHAT_JUDGE_TOKEN", TOKEN)
    RemoteJudge(served[1]).close()


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        (b"[", 400, "the body must be JSON"),
        (b'{"items": [], "rule": "data"}', 400, "no fields other than deadline, items, rules, got rule"),
        (b'{"items": [{"code": 1}]}', 400, "code must be Rust as text, got int"),
        (b'{"items": [], "deadline": NaN}', 400, "deadline must be a positive number of seconds"),
        (b'{"items": [{"code": "", "tests": "fn f("}]}', 400, "signature must have"),
        (b'{"items": [{"code": "", "tests": "{\\"appended\\": \\"fn main() {}\\"}"}]}', 400, "can be cheated"),
        (b'{"items": [' + b'{"code": ""},' * 64 + b'{"code": ""}]}', 400, "at most 64 codes, got 65 items"),
        (b" " * (2**24 + 1), 413, "at most 16777216 bytes"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_rule(served, body, status, rule):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx2.post(f"{served[1]}/judge", content=body, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == status and rule in answer.json()["error"]["message"]


def test_a_judge_with_other_settings_is_refused_at_the_start_and_when_it_comes_back_with_them(judge, served):
    settings = JudgeSettings.of(judge.verifier)
    other = replace(settings, edition="2024", rustc="1.0.0")
    with pytest.raises(ValueError, match=r"has edition 2021 instead of 2024, rustc \S+ instead of 1.0.0: start it"):
        RemoteJudge(served[1], TOKEN, expected=other)
    remote = asked_of(served[1], judge)
    remote.settings = other
    with pytest.raises(JudgeUnavailable, match="was started again with edition 2021 instead of 2024"):
        remote.judge(ORDINARY, [ADD] * 2, "reward", 60)


@pytest.mark.parametrize("url", ["judge:8090", "http://", "http://judge:x", "http://a b", "http://judge/?a=b"])
def test_what_is_no_address_is_refused_before_anybody_is_asked(url):
    with pytest.raises(ValueError, match="judge_url must be http://HOST:PORT"):
        RemoteJudge(url)


@pytest.mark.parametrize("fault", ["name", "tls"])
def test_an_address_that_can_never_answer_is_asked_once(served, monkeypatch, fault):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    url = "http://judge:8090" if fault == "name" else served[1].replace("http://", "https://")
    if fault == "name":
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
    asked, ask = [], RemoteJudge._ask
    monkeypatch.setattr(RemoteJudge, "_ask", lambda *args: (asked.append(args), ask(*args))[1])
    with pytest.raises(ValueError, match=f"judge's url must be the address of .*: {url} gives no answer"):
        RemoteJudge(url, TOKEN)
    assert len(asked) == 1


def test_a_silent_address_is_told_while_it_is_asked_again():
    with pytest.warns(UserWarning, match="no answer from .*; asking again for 1 seconds"), pytest.raises(ValueError):
        RemoteJudge("http://127.0.0.1:9", TOKEN, timeout=1)


def test_other_machines_need_a_token():
    with pytest.raises(ValueError, match="needs an API key: set NANOCHAT_JUDGE_TOKEN"):
        listening_socket(ServerSettings("0.0.0.0"), "NANOCHAT_JUDGE_TOKEN")


def test_a_server_that_stays_away_says_nothing_about_the_code_and_this_machine_may_take_over(judge):
    with serving(judge) as (_, url):
        remote = RemoteJudge(url, TOKEN)
        helped = RemoteJudge(url, TOKEN, fallback=lambda: judge, timeout=0.2)
    assert [verdict.status for verdict in remote.judge(ORDINARY, [ADD] * 2, "reward", 0.5)] == ["unavailable"] * 2
    with pytest.warns(UserWarning, match="this machine judges instead"):
        found = helped.judge(ORDINARY, [ADD] * 2, "reward", 60)
    helped.timeout = 60
    again = helped.judge(ORDINARY, [ADD] * 2, "reward", 60)
    assert [verdict.status for verdict in found] == ["valid", "tests_failed"] == [each.status for each in again]


def test_the_documented_request_gets_the_documented_answer(served):
    page = (ROOT / "docs" / "judge_service.md").read_text()
    (command,) = re.findall(r"^curl .*?\}\'$", page, re.MULTILINE | re.DOTALL)
    command = command.replace("http://127.0.0.1:8090", served[1])
    environment = os.environ | {"NANOCHAT_JUDGE_TOKEN": TOKEN}
    answer = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, check=True).stdout
    values = json.loads(answer)
    verdicts = [Verdict.from_dict(each) for each in values["verdicts"]]
    assert [verdict.status for verdict in verdicts] == ["valid", "compilation_failed"]
    assert values["late"] == [] and values["settings"]["rustc"] == verdicts[0].rustc


def start_process(port, cache):
    """Start `serve-judge`; returns when it answers."""
    options = ["--port", str(port), "--cache-dir", str(cache), "--num-workers", "1"]
    environment = os.environ | {"NANOCHAT_JUDGE_TOKEN": TOKEN}
    process = subprocess.Popen(
        [sys.executable, "-m", "nanochat_ternary", "serve-judge", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and "rustc" in process.stdout.readline()
    return process


def test_a_server_that_is_killed_in_the_middle_costs_no_verdict(tmp_path):
    with listening_socket(ServerSettings()) as listener:
        port = listener.getsockname()[1]
    process = start_process(port, tmp_path)
    remote = RemoteJudge(f"http://127.0.0.1:{port}", TOKEN)
    codes = [f"fn add(a: i32, b: i32) -> i32 {{ a + b * {number % 2} }}  // {number}" for number in range(24)]
    first = remote.judge(codes[:2], [ADD] * 2, "reward", 120)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(remote.judge, codes, [ADD] * 24, "reward", 300)
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not asked.done()
        process = start_process(port, tmp_path)
        found = asked.result()
    assert [verdict.status for verdict in found] == ["tests_failed", "valid"] * 12
    assert told(found[:2]) == told(first) and all(verdict.cached for verdict in found[:2])
    process.terminate()
    assert process.wait(30) == 0
