"""Exercism: example solutions pass all tests, also the ignored ones, and stubs fail."""

import json
from dataclasses import replace

import pytest

from evaluation.rust import RustVerifier
from evaluation.scoring import GoldFailed
from evaluation.settings import EvaluationSettings
from evaluation.suites.exercism import Exercism
from evaluation.suites.problem_files import ProblemsMissing
from evaluation.suites.whole_programs import completed_file_with_helpers, shown_program
from tests.helpers.planted import CHAT, planted, run_without_model
from tests.helpers.stored import DATA, needs_data

SOLUTION = """mod parts {
    pub fn half(value: i32) -> i32 {
        value / 2
    }
}

pub fn half(value: i32) -> Option<i32> {
    (value % 2 == 0).then(|| crate::parts::half(value))
}
"""
STUB = "pub fn half(value: i32) -> Option<i32> {\n    todo!()\n}\n"
ROW = {
    "slug": "half",
    "name": "half_of",
    "instructions": "# Instructions\n\nReturn half of a number, e.g.\n\n```rust\nhalf(4)\n```\n",
    "stub": {"src/lib.rs": STUB},
    "tests": {
        "tests/half.rs": "use half_of::half;\n\n#[test]\nfn even() {\n    assert_eq!(half(4), Some(2));\n}\n\n"
        "#[test]\n#[ignore]\nfn odd() {\n    assert_eq!(half(3), None);\n}\n"
    },
    "example": {".meta/example.rs": SOLUTION},
    "verified": "pass",
}
NEEDS_CRATE = ROW | {"slug": "dated", "verified": "example does not compile: unresolved import `time`"}
HALF_RIGHT = "pub fn half(value: i32) -> Option<i32> {\n    Some(value / 2)\n}"


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier("2024") as verifier:
        yield verifier


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROW, NEEDS_CRATE)))
    return Exercism.read(path)


def test_solutions_score_one_stubs_zero_and_a_part_of_the_tests_counts(suite, verifier, tmp_path, tokenizer):
    suite.check_gold(verifier)
    chat = replace(suite, chat=CHAT)
    cases = [(suite, SOLUTION, 1, 1), (suite, HALF_RIGHT, 0, 0.5), (suite, STUB, 0, 0), (suite, "", 0, 0)]
    cases += [(chat, f"Here:\n```rust\n{SOLUTION}```\n", 1, 1), (chat, "I do not know.", 0, 0)]
    for mode, text, solved, passed in cases:
        run = run_without_model(tokenizer, tmp_path, verifier, EvaluationSettings(chat=mode.chat))
        results = planted(mode, lambda prompt, text=text: text).run(run)
        found = {name: interval.value for name, interval in results.metrics.items()}
        assert found == {"solved@1": solved, "test_pass_rate": passed}
    assert results.details["not_std_only"] == ["dated: example does not compile: unresolved import `time`"]


def test_a_base_model_sees_instructions_and_stub_and_writes_the_file(suite):
    (prompt,) = suite.prompts()
    assert "//! Return half of a number" in prompt.text and prompt.text.endswith("//! ```\n\n")
    assert shown_program(prompt.text) == STUB
    assert completed_file_with_helpers(prompt.text, HALF_RIGHT + "\n\n#[cfg(test)]\nmod tests {}") == HALF_RIGHT


def test_nothing_is_scored_where_a_solution_fails(tmp_path, verifier):
    wrong = ROW | {"example": {".meta/example.rs": HALF_RIGHT}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(wrong) + "\n")
    with pytest.raises(GoldFailed, match=r"known solutions fail on this machine: half \(tests_failed\)"):
        Exercism.read(tmp_path / "rows.jsonl").check_gold(verifier)


def test_bad_files_are_named(tmp_path, monkeypatch):
    monkeypatch.delenv("NANOCHAT_DATA", raising=False)
    with pytest.raises(ProblemsMissing, match="--problems exercism=FILE, or set NANOCHAT_DATA"):
        Exercism.read()
    with pytest.raises(ValueError, match=r"must be a .jsonl or .jsonl.gz file, got .*nothing"):
        Exercism.read(tmp_path / "nothing")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW | {"tests": {}}) + "\n")
    with pytest.raises(ValueError, match=r"row 1 \(half\): the column tests must be an object of texts by path"):
        Exercism.read(tmp_path / "rows.jsonl")


@needs_data
def test_every_published_solution_is_a_file_that_the_stop_rule_leaves_whole():
    suite = Exercism.read()
    assert len(suite.problems) == 96 and len(suite.unusable) == 14
    for problem in suite.problems:
        assert shown_program(problem.prompt).split() == problem.stub.split()
        kept = completed_file_with_helpers(problem.prompt, problem.solution)
        assert kept is None or problem.solution[len(kept) :].lstrip().startswith("#[cfg(test)]"), problem.name


@pytest.mark.slow
@needs_data
def test_all_published_solutions_pass_and_all_stubs_fail():
    assert DATA
    with RustVerifier("2024", run_timeout=Exercism.least_run_timeout) as verifier:
        Exercism.read().check_gold(verifier)
