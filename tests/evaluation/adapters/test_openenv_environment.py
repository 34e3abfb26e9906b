"""The environment of OpenEnv, where it is installed; `test_in_own_environments.py` installs it."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.judge_service import TOKEN, serving
from tests.helpers.judged_tasks import BROKEN, RIGHT, WRONG, write_tasks


def test_an_answer_may_be_repaired_and_a_judge_that_is_gone_gives_no_reward(tmp_path, monkeypatch):
    pytest.importorskip("openenv.core")
    test_client = pytest.importorskip("starlette.testclient").TestClient
    from evaluation.adapters.openenv_environment import Answer, JudgeFailed, RustEnvironment, application

    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    monkeypatch.setenv("NANOCHAT_JUDGE_TOKEN", TOKEN)
    tasks = write_tasks(tmp_path / "tasks.jsonl")
    with RustVerifier(workers=1, run_timeout=1.0) as verifier:
        with serving(LocalJudge(verifier)) as (_, url):
            environment = RustEnvironment(tasks, url, max_steps=3)
            asked = environment.reset(seed=0)
            assert "fn larger" in asked.prompt and asked.reward is None and not asked.done
            first = environment.step(Answer(text=BROKEN))
            assert (first.reward, first.done) == (0.0, False) and "no method named `larger`" in first.message
            last = environment.step(Answer(text=RIGHT))
            assert (last.reward, last.done, environment.state.step_count) == (1.0, True, 2)
            with pytest.raises(ValueError, match="step must follow a reset"):
                environment.step(Answer(text=RIGHT))
            environment.reset()
            assert [environment.step(Answer(text=WRONG)).done for _ in range(3)] == [False, False, True]
            app = application(tasks, url, max_steps=2)
            with test_client(app) as client, client.websocket_connect("/ws") as socket:
                socket.send_json({"type": "reset", "data": {}})
                assert "fn larger" in str(socket.receive_json())
                socket.send_json({"type": "step", "data": {"text": RIGHT}})
                assert socket.receive_json()["data"]["reward"] == 1.0
        environment.reset()
        with pytest.raises(JudgeFailed):
            environment.step(Answer(text=RIGHT + "\n"), timeout_s=0.2)
