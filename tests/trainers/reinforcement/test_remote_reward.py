"""The reward over a judge of another machine."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.judge_service import TOKEN, serving
from trainers.reinforcement.rewards import RewardUnavailable, RustReward

PROMPT = "fn larger(a: i32, b: i32) -> i32 {"
COLUMNS = {"signature": ["fn larger(a: i32, b: i32) -> i32;"] * 3, "checker": ["check!(larger(1, 2) == 2);"] * 3}
COMPLETIONS = [" a.max(b) }", " a }", " a.max("]


def test_a_judge_that_is_gone_ends_the_run_and_gives_no_reward_of_zero(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    with RustVerifier(workers=1, run_timeout=1.0) as verifier:
        with serving(LocalJudge(verifier)) as (_, url):
            with pytest.raises(ValueError, match="run_timeout 1.0 instead of 2.0"):
                RustReward(url=url, judge_token=TOKEN, run_timeout=2.0)
            reward = RustReward(url=url, judge_token=TOKEN)
            reward.check_rows([PROMPT] * 3, COLUMNS)
            assert reward([PROMPT] * 3, COMPLETIONS, **COLUMNS) == [1.0, 0.0, 0.0]
        reward.deadline = 0.3
        tests = reward.hidden_tests([PROMPT] * 3, COLUMNS)
        verdicts = reward.verdicts([PROMPT] * 3, [f"{PROMPT} b }}", f"{PROMPT} a }}", None], tests, 0.0)
        assert [reward.success(verdict) for verdict in verdicts] == [None, None, 0.0]
        with pytest.raises(RewardUnavailable, match=f"no verdict of {url}"):
            reward([PROMPT] * 3, COMPLETIONS, **COLUMNS)
