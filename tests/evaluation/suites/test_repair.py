"""Repair: a failed attempt is asked again once, with the compiler's message, and both turns can be resumed."""

import json
from dataclasses import replace

import pytest

from evaluation.generation_settings import GenerationSettings
from evaluation.rust import RustVerifier
from evaluation.rust.syntax.completion import completed_function
from evaluation.settings import EvaluationSettings
from evaluation.suites.compile_rate import CompileRate, CompileRateProblem
from evaluation.suites.humaneval_rust import HumanEvalRust
from evaluation.suites.repair import Repair, SecondTurn
from evaluation.suites.repair_format import message_of
from tests.helpers.humaneval_rows import PROBLEMS
from tests.helpers.planted import CHAT, planted, run_without_model

RATE = replace(CompileRate.read(), problems=CompileRate.read().problems[:3])
SOLUTIONS = {problem.name: problem.reference for problem in RATE.problems if isinstance(problem, CompileRateProblem)}
WRONG = {name: f"    let wrong: bool = 1;\n{solution}" for name, solution in SOLUTIONS.items()}


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


class Writer:
    """A model that repairs what it is shown, except for the last problem, and keeps what it was asked."""

    def __init__(self, knows=()):
        self.knows, self.asked = knows, []

    def __call__(self, prompt):
        name, again, _ = prompt.name.partition("#")
        self.asked.append(prompt)
        right = name in self.knows or (again and name != RATE.names[-1])
        return (SOLUTIONS if right else WRONG)[name]


def run(suite, verifier, folder, tokenizer, **settings):
    folder.mkdir(exist_ok=True)
    given = EvaluationSettings(chat=suite.chat, **settings)
    return Repair(suite).run(run_without_model(tokenizer, folder, verifier, given))


def values(results):
    return {name: round(interval.value, 3) for name, interval in results.metrics.items()}


def test_the_second_turn_mends_what_the_first_failed(verifier, tmp_path, tokenizer):
    writer = Writer(knows=RATE.names[:1])
    results = run(planted(RATE, writer), verifier, tmp_path, tokenizer)
    assert values(results) == {"compiles@1, first turn": 0.333, "compiles@1, two turns": 0.667, "mended": 0.5}
    assert results.benchmark == "repair_compilation_success_rate" and Repair.wrote(results.benchmark)
    assert (results.details["failures"], results.details["asked_again"], results.details["mended"]) == (2, 2, 1)
    assert results.verdicts == {"valid": 2, "semantic_error": 1}
    prompt = writer.asked[-1]
    assert "//     let wrong: bool = 1;" in prompt.text and "expected `bool`, found integer" in prompt.text
    # What the model continues is still the open function.
    assert prompt.text.endswith(RATE.problems[-1].prompt)
    assert completed_function(prompt.text, WRONG[RATE.names[-1]] + "fn more() {}") == WRONG[RATE.names[-1]].rstrip()


def test_perfect_and_hopeless_models_score_one_and_zero_in_both_turns(verifier, tmp_path, tokenizer):
    perfect = run(planted(RATE, Writer(knows=RATE.names)), verifier, tmp_path / "a", tokenizer)
    assert values(perfect) == {"compiles@1, first turn": 1, "compiles@1, two turns": 1}
    assert perfect.details["asked_again"] == 0
    stub = run(planted(RATE, lambda prompt: "    todo!()\n}\n"), verifier, tmp_path / "b", tokenizer)
    assert values(stub) == {"compiles@1, first turn": 0, "compiles@1, two turns": 0, "mended": 0}


def test_several_samples_are_asked_again_one_by_one(verifier, tmp_path, tokenizer):
    writer, generation = Writer(knows=RATE.names[:1]), GenerationSettings(num_samples=2, temperature=0.5)
    results = run(planted(RATE, writer), verifier, tmp_path, tokenizer, generation=generation)
    assert results.details["failures"] == 4 and results.details["mended"] == 2
    assert [each.name for each in writer.asked[-4:]] == [
        f"{name}#{index}" for name in RATE.names[1:] for index in (0, 1)
    ]


def test_a_chat_model_sees_its_own_answer_in_the_second_turn(verifier, tmp_path, tokenizer):
    asked = []

    def write(prompt):
        asked.append(prompt)
        name, again, _ = prompt.name.partition("#")
        return f"Sure:\n```rust\n{(SOLUTIONS if again else WRONG)[name]}```\n"

    results = run(replace(planted(RATE, write), chat=CHAT), verifier, tmp_path, tokenizer)
    assert values(results) == {"compiles@1, first turn": 0, "compiles@1, two turns": 1, "mended": 1}
    rendered = SecondTurn(CHAT.instruction, CHAT.template).render(tokenizer, asked[-1].text)
    assert [line.partition(":")[0] for line in rendered.splitlines() if line.startswith(("user:", "assistant:"))] == [
        "user",
        "assistant",
        "user",
    ]
    assert "Sure:" in rendered and "expected `bool`, found integer" in rendered


def test_a_killed_run_goes_on_with_the_same_questions(verifier, tmp_path, tokenizer):
    first = Writer()
    run(planted(RATE, first), verifier, tmp_path, tokenizer)
    (path,) = tmp_path.glob("*.second_turn.prompts.jsonl")
    lines = path.read_text().splitlines()
    changed = json.loads(lines[1]) | {"text": "as it was asked before the kill"}
    path.write_text("\n".join([lines[0], json.dumps(changed), *lines[2:]]) + "\n")
    second = Writer()
    run(planted(RATE, second), verifier, tmp_path, tokenizer)
    assert second.asked[3].text == "as it was asked before the kill" and second.asked[4:] == first.asked[4:]
    # Other first attempts are other questions.
    third = Writer(knows=RATE.names[:1])
    run(planted(RATE, third), verifier, tmp_path, tokenizer)
    assert third.asked[3:] == first.asked[4:]


def test_messages_say_the_same_each_time():
    suite = HumanEvalRust(PROBLEMS[:1])
    texts = [PROBLEMS[0].faulty, "    loop {}\n}\n", "    x +\n}\n"]
    with RustVerifier(run_timeout=0.2) as verifier:
        ((failed, slow, broken),) = suite.verify([texts], verifier)
    assert message_of(failed) == "It compiles, but does not pass its tests."
    assert message_of(slow) == "It runs too long." and message_of(broken).startswith("error: expected expression")


def test_which_problems_are_asked_is_checked():
    settings = EvaluationSettings(repair_of="compile-rate", limit=2)
    assert Repair.load(settings).inner.names == CompileRate.read().names[:2]
    with pytest.raises(ValueError, match="repair_of must be one of humaneval-rust, compile-rate, got 'performance'"):
        Repair.load(replace(settings, repair_of="performance"))
