"""Held-out tasks: solutions score one and stubs zero, in all and in each tier, and no trained task is among them."""

import json

import pytest

from evaluation.rust import RustVerifier
from evaluation.scoring import GoldFailed
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import ProblemsMissing
from evaluation.suites.tasks import Tasks
from tests.helpers.planted import CHAT, planted, run_without_model


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


def test_own_rows_need_neither_tier_nor_split(tmp_path):
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(each | {"tier": None, "split": None}) + "\n" for each in ROWS))
    assert len(Tasks.read(path).problems) == 4


def test_a_solution_that_fails_is_named_before_anything_is_scored(file, verifier):
    bad = ROWS[0] | {"id": "wrong", "solution": "    a - 1\n}\n"}
    file.write_text(file.read_text() + json.dumps(bad) + "\n")
    with pytest.raises(GoldFailed, match="wrong"):
        Tasks.read(file).check_gold(verifier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "fn f();"}, "prompt must end with the open brace"),
        ({"checker": 1}, "the column checker must be a text"),
        ({"signature": "fn f("}, "signature must"),
        ({"tier": "easy"}, "tier must be a whole number"),
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
