"""The file of evaluations in the middle of training: each step once, with a time that goes on after a kill."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from evaluation.evaluation_record import FILE_NAME, EvaluationFile, EvaluationRecord

MEASURED = {
    "eval_perplexity": 3.5,
    "eval_compiles": 0.25,
    "eval_compiles_of": 8,
    "eval_semantic_correctness": 0.5,
    "eval_semantic_correctness_of": 16,
    "eval_humaneval_pass": 0.0,
    "eval_humaneval_pass_of": 2,
}


def test_a_record_has_the_numbers_and_its_time():
    started = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    record = EvaluationRecord.of(40, MEASURED, started, started + timedelta(seconds=90.5))
    assert asdict(record) == {
        "step": 40,
        "compile_rate": 0.25,
        "compile_rate_of": 8,
        "semantic_score": 0.5,
        "semantic_score_of": 16,
        "humaneval_score": 0.0,
        "humaneval_score_of": 2,
        "perplexity": 3.5,
        "timestamp": "2025-01-02T03:05:35.500+00:00",
        "seconds": 90.5,
    }
    assert EvaluationRecord.of(40, {"eval_perplexity": 3.5}, started, started).humaneval_score is None


def test_a_killed_training_keeps_its_complete_evaluations_and_its_start(tmp_path):
    first = EvaluationFile.continued(tmp_path, (), True)
    records = [first.append(step, MEASURED) for step in (2, 4, 6)]
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text() + '{"step": 8, "comp')
    other_process = EvaluationFile.continued(tmp_path, {2, 4}, False)
    assert path.read_text().endswith('"comp')
    again = EvaluationFile.continued(tmp_path, {2, 4}, True)
    assert abs(again.started - first.started) < timedelta(seconds=0.01) and again.started == other_process.started
    latest = again.append(6, MEASURED)
    assert [json.loads(line) for line in path.open()] == [asdict(each) for each in (*records[:2], latest)]
    assert latest.seconds >= records[-1].seconds
    EvaluationFile.continued(tmp_path, (), True)
    assert path.read_text() == ""
