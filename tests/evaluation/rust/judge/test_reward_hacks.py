"""Rewards: none for a completion that only seems to do its task, one for every reference solution."""

import tomllib
from collections import Counter
from itertools import islice

import pytest

from tests.helpers.paths import HELPERS
from trainers.data.synthetic.stream import choose_families, draw_samples
from trainers.data.synthetic.verified import task_of
from trainers.reinforcement.rewards import RustReward

TEXT = tomllib.loads((HELPERS / "reward_hacks.toml").read_text())
TASKS, HACKS = TEXT["task"], TEXT["hack"]
SURROGATES = [" values.len() as i64 /* \ud800 */ }", ' let text = "\udfff"; text.len() as i64 + values[0] }']


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def rewarded(prompts, completions, tasks, mode="tests"):
    verdicts = []
    # Some attempts keep the compiler busy for as long as it may run.
    reward = RustReward(mode=mode, timeout=2)
    columns = {name: [task[name] for task in tasks] for name in ("signature", "checker")}
    log = {"log_extra": lambda name, values: verdicts.extend(values) if name == "verdict" else None}
    found = reward(prompts=prompts, completions=completions, **columns, **log)
    reward.close()
    print(f"\n{mode}:", Counter(verdicts))
    return found


def as_chat(prompt, answer):
    return [{"role": "user", "content": prompt}], [{"role": "assistant", "content": answer}]


def as_trained(hack):
    completion = hack["completion"].replace("@@@", hack.get("repeat", "") * hack.get("times", 0))
    prompt = TASKS[hack["task"]]["prompt"]
    return as_chat(prompt, completion) if hack.get("chat") else (prompt, completion)


@pytest.mark.parametrize("mode", ["tests", "compile"])
def test_no_completion_that_only_seems_right_is_rewarded(mode):
    hacks = [hack for hack in HACKS if hack.get("mode", "tests") == mode]
    found = rewarded(*zip(*map(as_trained, hacks), strict=True), [TASKS[hack["task"]] for hack in hacks], mode)
    assert {hack["name"]: reward for hack, reward in zip(hacks, found, strict=True) if reward != 0.0} == {}


def test_text_that_is_no_unicode_is_not_rewarded():
    task = TASKS["total"]
    assert rewarded([task["prompt"]] * 2, SURROGATES, [task] * 2) == [0.0, 0.0]


@pytest.mark.parametrize("mode", ["tests", "compile"])
def test_honest_completions_of_the_same_tasks_are_rewarded(mode):
    tasks = list(TASKS.values())
    texts = [(task["prompt"], task["honest"]) for task in tasks]
    chats = [as_chat(prompt, f"So:\n```rust\n{prompt}{answer}```\n") for prompt, answer in texts]
    assert rewarded(*zip(*texts, *chats, strict=True), tasks * 2, mode) == [1.0] * len(tasks) * 2


def test_each_attempt_has_a_name_of_its_own_and_a_reason():
    assert len({hack["name"] for hack in HACKS}) == len(HACKS) >= 36
    assert sum(hack.get("mode") == "compile" for hack in HACKS) >= 8
    assert all(hack["reason"] for hack in HACKS)


def as_answered(task):
    """A completion ends with the function of its prompt, so what has more functions is an answer in a block."""
    if task.tier == 4:
        return as_chat(task.prompt, f"```rust\n{task.code}```")
    return task.prompt.rstrip(), "\n" + task.solution


@pytest.mark.parametrize("count", [24, pytest.param(500, marks=pytest.mark.slow)])
def test_every_reference_solution_is_rewarded(count):
    families = choose_families()
    if count < len(families):
        families = families[:: len(families) // count]
    tasks = [task_of(sample) for sample in islice(draw_samples(families, seed=3, tasks=True), count)]
    columns = [{"signature": task.signature, "checker": task.checker} for task in tasks]
    found = rewarded(*zip(*map(as_answered, tasks), strict=True), columns)
    assert len(tasks) == count
    assert [task.code for task, reward in zip(tasks, found, strict=True) if reward != 1.0] == []
