"""The suite rustc: original programs score one, and what has lost a part of its program scores zero."""

import gzip
import json
from collections import Counter
from dataclasses import replace

import pytest

from evaluation.rust import RustVerifier
from evaluation.settings import EvaluationSettings
from evaluation.suites.problem_files import read_lines
from evaluation.suites.rustc import build
from evaluation.suites.rustc.edits import edits_of
from evaluation.suites.rustc.kept import lost
from evaluation.suites.rustc.problems import CATEGORIES, TASKS, end_of_answer
from evaluation.suites.rustc.suite import FILE, Rustc
from tests.helpers.planted import CHAT, planted, run_without_model

SUITE = Rustc.read()
FEW = replace(SUITE, problems=SUITE.problems[:16])
MOVED = """
struct Name { text: String }

fn shown(name: &Name) -> usize {
    let text = name.text.clone();
    let first = text.len();
    let second = name.text.len();
    first + second
}

fn main() {
    let name = Name { text: String::new() };
    let taken = name;
    println!("{}", shown(&name));
    drop(taken);
}
"""
REPAIRED = MOVED.replace("let taken = name;", "let taken = Name { text: name.text.clone() };")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier() as verifier:
        yield verifier


def scores(suite, verifier, folder, tokenizer, write):
    run = run_without_model(tokenizer, folder, verifier, EvaluationSettings(chat=suite.chat))
    return planted(suite, write).run(run)


def test_every_task_and_category_has_fifty_problems_with_source_and_license():
    counts = Counter((problem.task, problem.category) for problem in SUITE.problems)
    assert set(counts) == {(task, category) for task in TASKS for category in CATEGORIES}
    assert min(counts.values()) >= 50 and len(set(SUITE.names)) == len(SUITE.names)
    rows = [json.loads(line) for line in read_lines(FILE)]
    assert {row["license"] for row in rows} == {"MIT OR Apache-2.0"}
    assert {row["origin"] for row in rows} == {"rust-lang/rust 1.63.0"} and FILE.stat().st_size < 1 << 20
    # Any first problems are of all tasks and categories.
    assert {(each.task, each.category) for each in FEW.problems} == set(counts)


def test_every_completion_ends_where_its_function_or_its_file_does():
    for problem in SUITE.problems:
        ended = end_of_answer(problem.prompt, problem.solution + "\n\nfn more() {}\n")
        assert ended is not None and ended.strip() == problem.solution.strip(), problem.name
        assert problem.objection(problem.reference) is None


def test_originals_score_one_and_stubs_broken_programs_and_empty_ones_zero(verifier, tmp_path, tokenizer):
    solutions = {problem.name: problem.solution for problem in FEW.problems}
    results = scores(FEW, verifier, tmp_path, tokenizer, lambda prompt: solutions[prompt.name])
    assert {interval.value for interval in results.metrics.values()} == {1.0}
    assert len(results.metrics) == 1 + len(TASKS) * len(CATEGORIES)
    assert Rustc.index_metrics(results).keys() == {"compiles@1"}
    stubs = {name: text for name, (text,) in zip(FEW.names, FEW.stubs(), strict=True)}
    for write in (lambda prompt: stubs[prompt.name], lambda prompt: "}", lambda prompt: "fn main() {}"):
        results = scores(FEW, verifier, tmp_path, tokenizer, write)
        assert {interval.value for interval in results.metrics.values()} == {0.0}


def test_chat_answers_are_whole_programs(verifier, tmp_path, tokenizer):
    chat = replace(FEW, chat=CHAT)
    answers = {problem.name: f"Here:\n\n```rust\n{problem.reference}```\n" for problem in FEW.problems}
    results = scores(chat, verifier, tmp_path, tokenizer, lambda prompt: answers[prompt.name])
    assert results.metrics["compiles@1"].value == 1.0
    given = {problem.name: f"```rust\n{problem.given}\n```" for problem in FEW.problems}
    assert (
        scores(chat, verifier, tmp_path, tokenizer, lambda prompt: given[prompt.name]).metrics["compiles@1"].value
        == 0.0
    )
    (prompt,) = (each for each in chat.prompts() if each.name == FEW.names[0])
    assert "// complete this function\n}" in prompt.text


@pytest.mark.parametrize(
    "answer, reason",
    [
        ("fn main() {}", "lacks `struct Name`"),
        (MOVED.replace('    println!("{}", shown(&name));\n', ""), "has less in `fn main`"),
        (MOVED.replace('println!("{}", shown(&name));', "let _ = ();"), "lacks words"),
        (MOVED.replace("let taken = name;", "let taken: Name = todo!();"), "has a placeholder"),
        (MOVED.replace("fn shown", "#[cfg(any())]\nfn shown"), "disables code"),
        (f"/*{MOVED}*/ fn main() {{}}", "lacks `struct Name`"),
        (f'const TEXT: &str = r#"{MOVED}"#;', "lacks `struct Name`"),
        (MOVED.replace("text: String }", "}"), "has less in `struct Name`"),
    ],
)
def test_a_repair_that_deletes_what_is_wrong_does_not_count(answer, reason):
    assert reason in (lost(answer, MOVED, REPAIRED) or "")


@pytest.mark.parametrize(
    "answer",
    [
        REPAIRED,
        MOVED.replace("let taken = name;", "let taken = &name;"),
        MOVED.replace("struct Name", "#[derive(Clone)]\nstruct Name").replace("= name;", "= name.clone();"),
        "use std::fmt::Debug;\n" + MOVED.replace("let taken = name;", "let taken = Name { ..name };") + "fn more() {}",
    ],
)
def test_other_repairs_than_the_original_may_count(answer):
    assert lost(answer, MOVED, REPAIRED) is None


def test_an_edit_changes_one_place():
    edits = edits_of("fn main() { let mut a = vec![1]; a.push(2); let b = &a; let c = a.clone(); }\n")
    operators = {edit.operator for edit in edits}
    assert {"remove `mut`", "remove a borrow", "remove a conversion", "swap two statements"} <= operators
    assert len({(edit.start, edit.end, edit.text) for edit in edits}) == len(edits)


def test_built_problems_are_verified_and_the_same_each_time(tmp_path, verifier):
    code = MOVED.replace("let taken = name;", "let taken = name.text.clone();")
    rows = [
        {"path": "tests/ui/borrowck/moved.rs", "category": "borrow_check", "code": code, "rustc_195": "pass"},
        {"path": "tests/ui/borrowck/other.rs", "category": "borrow_check", "code": MOVED, "rustc_195": "fail"},
    ]
    with gzip.open(tmp_path / "tests.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    first, second = (build.build(tmp_path / "tests.jsonl.gz", verifier) for _ in range(2))
    assert first == second and {row["task"] for row in first} == set(TASKS)
    build.write(first, tmp_path / "problems.jsonl.gz")
    suite = Rustc.read(tmp_path / "problems.jsonl.gz")
    suite.check_gold(verifier)
    for row in first:
        if row["task"] == "repair":
            assert "error" in row["message"] and "main.rs" in row["message"]
    assert "borrow_check" in {row["category"] for row in first if row["task"] == "repair"}


def test_a_bad_row_is_named(tmp_path):
    row = json.loads(read_lines(FILE)[0]) | {"rest": "elsewhere"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match="row 1 .*reference must begin with prompt, end with rest"):
        Rustc.read(tmp_path / "rows.jsonl")


@pytest.mark.slow
def test_all_originals_pass_and_all_stubs_fail(verifier):
    SUITE.check_gold(verifier)
