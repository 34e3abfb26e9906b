"""The metric as `evaluate` loads it: the real programs, consent first, and nothing scored that was not run."""

import evaluate
import pytest

from evaluation.rust import CodeExecutionNotAllowed, RustVerifier, Verdict
from evaluation.scoring import ScoringUnavailable, verify_samples
from tests.helpers.paths import ROOT
from tests.helpers.stored import needs_data, rows

METRIC = ROOT / "evaluation" / "metrics" / "rust_pass_at_k"
TEST = "#[test] fn doubles() { assert_eq!(double(4), 8); }"
RIGHT, WRONG, SLOW, BROKEN = (
    f"fn double(x: i32) -> i32 {{ {body} }}" for body in ("2 * x", "x", "loop {}", '"two times x"')
)


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def metric(tmp_path_factory):
    return evaluate.load(str(METRIC), cache_dir=str(tmp_path_factory.mktemp("metrics")))


def test_each_program_counts_for_its_problem_with_its_reason(metric):
    predictions = [[RIGHT, WRONG, SLOW], [BROKEN, BROKEN, WRONG]]
    scores, results = metric.compute(predictions=predictions, references=[TEST, TEST], k=[1, 3], timeout=0.5)
    assert scores == {"pass@1": pytest.approx(1 / 6), "pass@3": 0.5}
    statuses = [[each["status"] for each in problem] for problem in results]
    assert statuses == [["valid", "tests_failed", "timeout"], ["semantic_error", "semantic_error", "tests_failed"]]


def test_answers_of_a_chat_model_are_programs_in_markdown(metric):
    answers = [
        f"So:\n```rust\n{RIGHT}\n```\n",
        "```\n2 * x\n```",
        f"```rust\n{RIGHT}",
        f"```rust\n{WRONG}```",
        "Sorry.",
    ]
    settings = {"references": [TEST], "mode": "chat", "prompts": ["fn double(x: i32) -> i32 {"]}
    _, (found,) = metric.compute(predictions=[answers], **settings)
    assert [each["passed"] for each in found] == [True, True, False, False, False]
    with pytest.raises(ValueError, match="prompts must be one for each of the 1 problems, in mode chat"):
        metric.compute(predictions=[answers], **settings | {"mode": "base"})


@pytest.mark.parametrize("sizes, k", [([3, 1], [2]), ([1], [1, 10]), ([2], [0])])
def test_more_than_there_are_samples_is_refused(metric, sizes, k):
    with pytest.raises(ValueError, match="k must be from 1 to the number of programs of every problem"):
        metric.compute(predictions=[[RIGHT] * size for size in sizes], references=[TEST] * len(sizes), k=k)


def test_nothing_runs_without_consent(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    metric = evaluate.load(str(METRIC), cache_dir=str(tmp_path))
    with pytest.raises(CodeExecutionNotAllowed, match="HF_ALLOW_CODE_EVAL=1"):
        metric.compute(predictions=[[RIGHT]], references=[TEST])


def test_a_failing_tool_scores_nothing(monkeypatch):
    with RustVerifier() as verifier:
        unavailable = Verdict("unavailable", {"types": "ok", "ownership": "ok", "lifetimes": "ok"})
        monkeypatch.setattr(verifier, "verify", lambda codes, *_, **__: [unavailable] * len(codes))
        with pytest.raises(ScoringUnavailable, match="nothing was scored: the verifier failed for 2 programs"):
            verify_samples(verifier, [[RIGHT, RIGHT]], [TEST])


@needs_data
def test_humanevals_solutions_score_one_and_its_faulty_ones_zero(metric):
    # Every ninth: test_humaneval.py takes all.
    problems = rows("humaneval_rust")[::9]
    references = [row["support"] + row["test"] for row in problems]
    for solution, expected in (("canonical_solution", 1.0), ("buggy_solution", 0.0)):
        programs = [[row["declaration"] + row[solution]] for row in problems]
        scores, results = metric.compute(predictions=programs, references=references, timeout=10.0)
        assert scores == {"pass@1": expected} and len(results) == 19
