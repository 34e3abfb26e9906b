"""MultiPL-E's form: its own stop rule, its edition, its 156 problems, and other files of the form."""

import json
import re
from dataclasses import replace

import pytest

from evaluation.__main__ import main
from evaluation.results import Results
from evaluation.rust import RustVerifier
from evaluation.scoring import GoldFailed
from evaluation.suites.multipl_e_rust import MultiplEProblem, MultiplERust, before_closing_brace
from tests.helpers.stored import needs_data, rows

PROMPT = "/// The length.\nfn length(text: String) -> isize {\n"
ROW = {
    "name": "HumanEval_23_length",
    "prompt": PROMPT,
    "tests": '}\n\nfn main() {\n    assert_eq!(length(String::from("abc")), 3);\n}\n',
    "stop_tokens": ["\n}"],
    "gpt4_reference": PROMPT + "    text.chars().count() as isize\n}",
}


@pytest.fixture(scope="module", autouse=True)
def consent():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        patch.delenv("NANOCHAT_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier("2015") as verifier:
        yield verifier


@pytest.mark.parametrize(
    "completion, expected",
    [
        ("\n    1\n}\nfn more() {}", "\n    1"),
        ("\n    if x {\n        1\n    }\n}", "\n    if x {\n        1\n    }"),
        ("\n    1 }", None),
        ("\n}", ""),
    ],
)
def test_a_completion_ends_before_a_brace_at_the_start_of_a_line(completion, expected):
    assert before_closing_brace("fn f() {", completion) == expected


def test_what_passes_passes_and_what_is_unwritten_does_not(verifier):
    suite = MultiplERust([MultiplEProblem.of(ROW)])
    suite.check_gold(verifier)
    bodies = ["\n    text.len() as isize", "\n    0", "\n    text.len()", "\n    let f = async { 1 }; 3"]
    ((right, wrong, mistyped, later_edition),) = suite.verify([bodies], verifier)
    assert right.ok and wrong.status == "tests_failed" and mistyped.status == "semantic_error"
    assert not later_edition.ok
    (problem,) = suite.problems
    with pytest.raises(GoldFailed, match="known solutions fail"):
        MultiplERust([replace(problem, reference=PROMPT + "    0\n}")]).check_gold(verifier)
    unknown_type = replace(problem, prompt="fn length(text: Nothing) -> isize {", reference=None)
    with pytest.raises(GoldFailed, match="these do not compile on this machine: HumanEval_23_length"):
        MultiplERust([unknown_type]).check_gold(verifier)


def test_it_runs_from_the_command_line_in_its_own_edition(tmp_path, model, tokenizer, capsys):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    arguments = ["run", "--suite", "multipl-e-rust", "--model", str(tmp_path / "model"), "--max-new-tokens", "6"]
    assert main([*arguments, "--problems", str(tmp_path / "rows.jsonl"), "--output-dir", str(tmp_path / "out")]) == 0
    results = Results.read(tmp_path / "out" / "humaneval_rust_multiple.json")
    assert results.settings["edition"] == "2015" and results.num_problems == 1
    header = json.loads((tmp_path / "out" / "humaneval_rust_multiple.samples.jsonl").read_text().splitlines()[0])
    assert header["stop"] == "before_closing_brace"
    (tmp_path / "other.jsonl").write_text(json.dumps(ROW | {"tests": "fn main() {}"}) + "\n")
    assert main([*arguments, "--multipl-e", str(tmp_path / "other.jsonl"), "--output-dir", str(tmp_path / "no")]) == 2
    error = capsys.readouterr().err
    assert "row 1 (HumanEval_23_length): it has another form than MultiPL-E's Rust" in error
    assert "--skip-bad-rows leaves such rows out" in error


TESTS = ROW["tests"]
BAD = {
    "a column is missing": (
        {"name": "mbpp_1_a", "prompt": PROMPT, "stop_tokens": ["\n}"]},
        "tests must be a text, got no",
    ),
    "another type": (ROW | {"name": "mbpp_1_a", "prompt": 3}, "the column prompt must be a text, got int"),
    "no name": (ROW | {"name": None}, "the column name must be a text, got NoneType"),
    "other stop tokens": (ROW | {"name": "mbpp_1_a", "stop_tokens": ["\nfn"]}, "stop_tokens must be"),
    "stop tokens of another type": (ROW | {"name": "mbpp_1_a", "stop_tokens": None}, "stop_tokens must be"),
    "no closing brace": (ROW | {"name": "mbpp_1_a", "tests": TESTS[1:]}, "tests must begin with the function's brace"),
    "no main": (ROW | {"name": "mbpp_1_a", "tests": "}\nfn check() {}"}, "tests must have a main with assertions"),
    "nothing asserted": (ROW | {"name": "mbpp_1_a", "tests": "}\nfn main() {}"}, "tests must have a main with"),
    "tests that do not parse": (ROW | {"name": "mbpp_1_a", "tests": TESTS[:-4]}, "tests must have a main with"),
    "a prompt that is closed": (
        ROW | {"name": "mbpp_1_a", "prompt": "fn f() {}"},
        "prompt must end with the open brace",
    ),
    "the name of another": (ROW | {"name": "mbpp_2_length"}, "an earlier row has this name"),
    "no object": ([1], "it must be a JSON object, got list"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_row_is_named_and_may_be_left_out(tmp_path, fault):
    row, reason = BAD[fault]
    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (ROW | {"name": "mbpp_2_length"}, row)))
    with pytest.raises(ValueError, match=r"row 2 \(.*" + reason + r".*; --skip-bad-rows leaves such rows out"):
        MultiplERust.read(path)
    suite = MultiplERust.read(path, skip_bad_rows=True)
    (bad,) = suite.left_out
    assert suite.names == ["mbpp_2_length"] and bad.startswith("row 2 (") and re.search(reason, bad)
    path.write_text(json.dumps(row) + "\nnot JSON\n")
    if fault != "the name of another":
        with pytest.raises(ValueError, match="no row is left"):
            MultiplERust.read(path, skip_bad_rows=True)


def test_another_file_is_a_benchmark_of_its_own_without_its_bad_rows(tmp_path, model, tokenizer, capsys):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    unsound = ROW | {"name": "mbpp_3_wrong", "gpt4_reference": PROMPT + "    0\n}"}
    unknown = ROW | {"name": "mbpp_4_unknown", "prompt": "fn length(text: Nothing) -> isize {", "gpt4_reference": None}
    written = [ROW | {"name": "mbpp_2_length"}, BAD["no main"][0], unsound, unknown]
    (tmp_path / "mbpp.jsonl").write_text("".join(json.dumps(each) + "\n" for each in written))
    arguments = ["run", "--suite", "multipl-e-rust", "--model", tmp_path / "model", "--max-new-tokens", "6"]
    arguments += [
        "--problems",
        f"multipl-e-rust={tmp_path / 'mbpp.jsonl'}",
        "--output-dir",
        tmp_path / "out",
        "--skip-bad-rows",
    ]
    assert main([str(argument) for argument in arguments]) == 0
    results = Results.read(tmp_path / "out" / "mbpp_rust_multiple.json")
    assert results.benchmark == "mbpp_rust_multiple" and results.num_problems == 1
    assert results.details["rows_left_out"] == 3 and results.settings["problems"] == str(tmp_path / "mbpp.jsonl")
    shown = " ".join(capsys.readouterr().out.split())
    for words in (
        "row 2 (mbpp_1_a): it has",
        "mbpp_3_wrong: known solutions fail: tests_failed",
        "mbpp_4_unknown: these do",
    ):
        assert words in shown and any(words in each for each in results.details["left_out"])


@needs_data
@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_156_problems_are_sound(step, tmp_path, verifier):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows("humaneval_rust_multiple")))
    problems = MultiplERust.read(path).problems
    assert len(problems) == 156 and sum(problem.reference is not None for problem in problems) == 132
    MultiplERust(problems[::step]).check_gold(verifier)
