"""The compile rate: no prompt is complete or impossible, and nothing empty counts."""

import pytest

from evaluation.rust import RustVerifier
from evaluation.rust.syntax.completion import completed_function
from evaluation.suites.compile_rate import CompileRate

SUITE = CompileRate.read()
PROBLEMS = SUITE.problems


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


def test_there_are_a_hundred_problems_of_different_names_and_each_asks_for_one_open_function():
    assert len(PROBLEMS) >= 100 and len(set(SUITE.names)) == len(PROBLEMS)
    for problem in PROBLEMS:
        assert "///" in problem.prompt and f"fn {problem.name}" in problem.prompt
        assert completed_function(problem.prompt, problem.reference + "\nfn more() {}") == problem.reference
        assert completed_function(problem.prompt, problem.reference[:-1]) is None


def test_no_prompt_is_impossible(verifier):
    SUITE.check_gold(verifier)


@pytest.mark.parametrize(
    "body", ["", "}", "todo!() }", "unimplemented!() }", "panic!() }", "loop {} }", "std::process::exit(0) }"]
)
def test_no_prompt_is_already_complete_and_no_empty_body_counts(verifier, body):
    verdicts = SUITE.verify([[body]] * len(PROBLEMS), verifier)
    assert [name for name, (verdict,) in zip(SUITE.names, verdicts, strict=True) if verdict.ok] == []


def test_another_function_than_the_required_one_does_not_count(verifier):
    """It closes the function early with what compiles elsewhere, and leaves out nothing else."""
    problem = next(each for each in PROBLEMS if each.name == "is_prime")
    suite = CompileRate([problem])
    others = ["    number > 1\n}", "    number > 1\n}\nfn is_prime(number: u64) -> bool { true }", "    1\n}"]
    ((one, two, three),) = suite.verify([others], verifier)
    assert one.ok and not two.ok and not three.ok
