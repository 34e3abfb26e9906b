"""What the adapters have in common: tasks, rewards, and what a model is told."""

import json

import pytest

from evaluation.adapters.judged_tasks import JudgedTask, judged, read_tasks
from evaluation.rust import RustVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.judged_tasks import BROKEN, OPEN, RIGHT, TASK, WRONG, write_tasks


def test_a_model_is_told_the_compilers_words_and_nothing_of_the_hidden_tests(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    (task,) = read_tasks(write_tasks(tmp_path / "tasks.jsonl"))
    assert task.question.endswith("```rust\n/// The larger of both.\nfn larger(a: i32, b: i32) -> i32;\n```")
    with RustVerifier(workers=1) as verifier:
        judge = LocalJudge(verifier)
        found = judged(judge, [task] * 4, [RIGHT, WRONG, BROKEN, OPEN], 120)
        (late,) = judged(judge, [task], [RIGHT.replace("a.max(b)", "b.max(a)")], 1e-6)
    assert [each.reward for each in found] == [1.0, 0.0, 0.0, 0.0]
    assert found[1].message == "It compiles, but does not pass its tests."
    assert "no method named `larger`" in found[2].message and "77" not in str(found)
    assert found[3].status == "unfinished"
    assert late.reward is None and late.status == "unavailable"


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        json.dumps({"prompt": "fn f() {"}),
        json.dumps(TASK | {"checker": "no case"}),
        json.dumps({"prompt": "fn f() {", "tests": '{"appended": "fn main() {}"}'}),
        "",
    ],
)
def test_a_line_that_is_no_task_is_refused_by_its_number(tmp_path, line):
    (tmp_path / "tasks.jsonl").write_text(f"{json.dumps(TASK)}\n{line}\n")
    with pytest.raises(ValueError, match="line 2 of .* must be a task"):
        read_tasks(tmp_path / "tasks.jsonl")


def test_tests_that_cannot_judge_an_answer_are_refused():
    with pytest.raises(ValueError, match="tests must be of a whole program"):
        JudgedTask("fn f() {", '{"crate": "a", "version": "1.0.0", "function": "f", "tests": ["t"]}')
