"""The environment of `verifiers`, where it is installed; `test_in_own_environments.py` installs it."""

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.judge_service import TOKEN, serving
from tests.helpers.judged_tasks import RIGHT, WRONG, write_tasks

ANSWERS = [RIGHT, WRONG]


class Model(BaseHTTPRequestHandler):
    """Gives the answers in turn."""

    def log_message(self, format, *args):
        pass

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": ANSWERS[0]}
        ANSWERS.append(ANSWERS.pop(0))
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "small",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_answers_get_their_rewards_and_a_judge_that_is_gone_is_an_error(tmp_path, monkeypatch):
    vf = pytest.importorskip("verifiers.legacy")
    from evaluation.adapters.verifiers_tasks import load_environment

    for name, value in (("HF_ALLOW_CODE_EVAL", "1"), ("NANOCHAT_JUDGE_TOKEN", TOKEN), ("MODEL_KEY", "none")):
        monkeypatch.setenv(name, value)
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as model, RustVerifier(workers=1, run_timeout=1.0) as verifier:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{model.server_port}/v1"
        client = vf.ClientConfig(api_key_var="MODEL_KEY", api_base_url=url)

        def evaluated(environment):
            made = environment.evaluate(client, "small", num_examples=1, rollouts_per_example=2, max_concurrent=1)
            return asyncio.run(made)["outputs"]

        with serving(LocalJudge(verifier)) as (_, judge_url):
            environment = load_environment(tasks, judge_url, deadline=60)
            assert sorted(each["reward"] for each in evaluated(environment)) == [0.0, 1.0]
        environment.deadline = 0.2
        assert all(each["error"] is not None for each in evaluated(environment))
        model.shutdown()
