"""Held-out tasks: solutions score one and stubs zero, in all and in each tier, and no trained task is among them."""

import json
import re

import pytest

from evaluation.own_task import OwnTask
from evaluation.rust import HiddenTests, RustVerifier, StdinTests
from evaluation.scoring import GoldFailed
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import ProblemsMissing
from evaluation.suites.tasks import TaskProblem, Tasks
from tests.helpers.paths import ROOT
from tests.helpers.planted import CHAT, planted, run_without_model
from trainers.data.tasks.own_files import split_own_tasks, write_own_tasks

EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), re.S)]


def row(name, body, tier, split):
    head = f"fn {name}(a: i32) -> i32"
    checker = f"check!({name}(2) == 2 + {tier});\ncheck!({name}(5) == 5 + {tier});"
    text = {"id": name, "prompt": f"/// Adds {tier}.\n{head} {{\n", "signature": f"{head};", "checker": checker}
    return text | {"solution": f"    {body}\n}}\n", "tier": tier, "split": split}


ROWS = [
    row("first", "a + 0", 0, "held_out_parameters"),
    row("second", "a + 1", 1, "held_out_family"),
    row("third", "a + 2", 2, "train"),
    row("fourth", "a + 1", 1, "held_out_family"),
]


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(workers=1, run_timeout=1.0) as verifier:
        yield verifier


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    return path


def shares(suite, write, verifier, folder):
    run = run_without_model(None, folder, verifier)
    return {name: interval.value for name, interval in planted(suite, write).run(run).metrics.items()}


def test_solutions_score_one_and_other_answers_what_they_earn_in_their_tier(file, verifier, tmp_path):
    suite = Tasks.load(EvaluationSettings(problems={"tasks": file}))
    suite.check_gold(verifier)
    assert suite.names == ["first", "second", "fourth"]
    assert all(problem.prompt.endswith("{") for problem in suite.problems)
    solutions = {each["id"]: "\n" + each["solution"] for each in ROWS}
    found = shares(suite, lambda prompt: solutions[prompt.name], verifier, tmp_path)
    splits = ("pass@1, held_out_family", "pass@1, held_out_parameters")
    assert found == dict.fromkeys(("pass@1", "compiles@1", "pass@1, tier 0", "pass@1, tier 1", *splits), 1.0)
    found = shares(suite, lambda _: "\n    a + 1\n}\n", verifier, tmp_path)
    shown = {"pass@1": 2 / 3, "compiles@1": 1.0, "pass@1, tier 0": 0.0, "pass@1, tier 1": 1.0}
    assert found == shown | dict(zip(splits, (1.0, 0.0), strict=True))
    found = shares(suite, lambda _: "\n    todo!()\n}\n", verifier, tmp_path)
    assert found["pass@1"] == found["compiles@1"] == 0.0


def test_a_chat_model_is_asked_for_the_same_functions(file, verifier, tmp_path):
    suite = Tasks.load(EvaluationSettings(problems={"tasks": file}, chat=CHAT))
    (problem,) = suite.problems[:1]
    answer = f"So:\n```rust\n{problem.prompt}{problem.solution}```\n"
    verdicts = suite.verify([[answer]] + [["nothing"]] * 2, verifier)
    assert [verdict.ok for (verdict,) in verdicts] == [True, False, False]


def test_own_rows_need_neither_tier_nor_split_nor_solution_nor_id(tmp_path, verifier):
    path = tmp_path / "own.jsonl"
    left_out = dict.fromkeys(("tier", "split", "solution", "id"))
    path.write_text("".join(json.dumps(each | left_out) + "\n" for each in ROWS[:3]))
    suite = Tasks.read(path)
    assert len(set(suite.names)) == 3
    suite.check_gold(verifier)


def test_the_rows_that_the_documentation_shows_are_problems_by_their_kind(tmp_path, verifier):
    # One row of each kind of tests, of prompts and of messages: docs/tasks.md.
    texts = [each for each in EXAMPLES if "prompt" in each and "crate" not in each]
    assert {type(TaskProblem.of(each).tests) for each in texts} == {HiddenTests, StdinTests}
    suite = Tasks([TaskProblem.of(each) for each in texts])
    suite.check_gold(verifier)
    solved = [each for each in texts if "solution" in each]
    verdicts = Tasks([TaskProblem.of(each) for each in solved]).verify(
        [[each["solution"]] for each in solved], verifier
    )
    assert all(verdict.ok for (verdict,) in verdicts)
    (hole,) = (each for each in EXAMPLES if "crate" in each)
    with pytest.raises(ValueError, match="the suite crate-holes takes rows of"):
        TaskProblem.of(hole)


def test_a_chat_model_may_answer_a_program_that_reads_its_input_with_a_whole_program_or_its_body(verifier):
    row = next(each for each in EXAMPLES if "prompt" in each and "stdin_tests" in each)
    suite = Tasks([TaskProblem.of(row)], chat=CHAT)
    answers = [row["prompt"] + row["solution"], row["solution"], "fn main() {}"]
    (verdicts,) = suite.verify([[f"```rust\n{answer}\n```" for answer in answers]], verifier)
    assert [verdict.ok for verdict in verdicts] == [True, True, False]


@pytest.mark.parametrize(
    ("checker", "said"),
    [
        ('check!(first(1) == "x");', r"tests do not compile .*broken \(checker must compile"),
        ("check!(first(1) == first(1)); check!(true);", r"known faulty solutions pass .*broken"),
    ],
)
def test_tests_that_cannot_judge_are_named_before_anything_is_sampled(verifier, checker, said):
    row = {"id": "broken", "prompt": "fn first(a: u32) -> () {", "signature": "fn first(a: u32);", "checker": checker}
    suite = Tasks([TaskProblem.of(ROWS[0]), TaskProblem.of(row)])
    with pytest.raises(GoldFailed, match=said):
        suite.check_gold(verifier)


def test_a_message_is_asked_as_it_is_and_answered_by_a_whole_program(tmp_path, verifier):
    (row,) = (each for each in EXAMPLES if "messages" in each)
    path = tmp_path / "messages.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="are messages, which need --chat"):
        Tasks.load(EvaluationSettings(problems={"tasks": path}))
    suite = Tasks.load(EvaluationSettings(problems={"tasks": path}, chat=CHAT))
    suite.check_gold(verifier)
    (prompt,) = suite.prompts()
    assert suite.chat is not None
    assert suite.chat.question(prompt.text) == row["messages"][0]["content"].strip("\n")
    answers = [f"```rust\n{row['solution']}```", "```rust\nfn main() {}\n```", "nothing"]
    (verdicts,) = suite.verify([answers], verifier)
    assert [verdict.ok for verdict in verdicts] == [True, False, False]
    path.write_text(json.dumps(row) + "\n" + json.dumps(ROWS[0]) + "\n")
    with pytest.raises(ValueError, match="only prompts or only messages, got both"):
        Tasks.read(path)


def test_tasks_that_a_run_trained_on_are_no_problems(tmp_path):
    path = tmp_path / "own_tasks.jsonl"
    tasks = [OwnTask.of_row(ROWS[0] | {"id": str(number)}) for number in range(40)]
    write_own_tasks(tasks, path)
    held_out = {task.id for task in split_own_tasks(tasks)[1]}
    assert 0 < len(held_out) < 40
    assert set(Tasks.read(path).names) == held_out


def test_a_bad_row_is_named_by_its_id_and_can_be_left_out(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (ROWS[0], ROWS[1] | {"tier": 9})))
    with pytest.raises(ValueError, match=r"row 2 \(second\): tier must be"):
        Tasks.read(path)
    suite = Tasks.read(path, skip_bad_rows=True)
    assert suite.names == ["first"] and suite.left_out[0].startswith("row 2 (second): tier")


def test_a_solution_that_fails_is_named_before_anything_is_scored(file, verifier):
    bad = ROWS[0] | {"id": "wrong", "solution": "    a - 1\n}\n"}
    file.write_text(file.read_text() + json.dumps(bad) + "\n")
    with pytest.raises(GoldFailed, match="wrong"):
        Tasks.read(file).check_gold(verifier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "fn f();"}, "prompt must end within a function"),
        ({"checker": 1}, "checker must be a text, got int"),
        ({"signature": "fn f("}, "signature must"),
        ({"tier": "easy"}, "tier must be a whole number"),
        ({"split": 3}, "split must be a text, got 3"),
        ({"split": "train"}, "must hold tasks whose split is not train, got 1"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(ROWS[0] | change) + "\n")
    with pytest.raises(ValueError, match=message):
        Tasks.read(path)


def test_without_a_file_the_commands_that_make_one_are_named():
    with pytest.raises(ProblemsMissing, match="data synth --tasks"):
        Tasks.read()
