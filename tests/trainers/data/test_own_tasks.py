"""The user's own tasks: faults are found with their line and rule, and only tasks whose tests can judge are used."""

import json
import re

import pytest
from rich.text import Text

from evaluation.own_task import OwnTask
from evaluation.rust import RustVerifier, StdinTests
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.tables import plain_console, print_table
from tests.helpers.hole_crates import write_crates
from tests.helpers.paths import ROOT
from trainers.data.__main__ import main
from trainers.data.benchmark_problems import Benchmark, ProblemText
from trainers.data.decontamination import Contamination
from trainers.data.tasks.own_checks import CheckedTasks, TaskChecker
from trainers.data.tasks.own_files import FaultyRow, read_own_tasks, read_rows, write_own_tasks
from trainers.reinforcement.rewards import RustReward

EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", (ROOT / "docs/tasks.md").read_text(), re.S)]
CASES = [{"stdin": "1 2", "expected": "3"}, {"stdin": "5 5", "expected": "10"}]
STDIN = {"prompt": "fn main() {", "stdin_tests": CASES}
ADD = 'let text = std::io::read_to_string(std::io::stdin()).unwrap();\nlet mut sum = 0;\n{loop}\nprint!("{sum}"); }'
LOOP = "for word in text.split_whitespace() { sum += word.parse::<i64>().unwrap(); }"


@pytest.fixture(scope="module")
def verifier():
    with pytest.MonkeyPatch.context() as patch, RustVerifier(run_timeout=1) as verifier:
        patch.setenv("HF_ALLOW_CODE_EVAL", "1")
        yield verifier


@pytest.fixture
def file(tmp_path):
    def write(*rows):
        path = tmp_path / "tasks.jsonl"
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "fn main() {"}, "exactly one of signature, tests, stdin_tests, got none"),
        (STDIN | {"tests": "fn f();"}, "exactly one of signature, tests, stdin_tests, got tests, stdin_tests"),
        (
            STDIN | {"messages": [{"role": "user", "content": "?"}]},
            "exactly one of prompt, messages, got prompt, mess",
        ),
        ({"stdin_tests": CASES}, "exactly one of prompt, messages, got none"),
        (STDIN | {"prompt": "fn solve() {"}, "must have or begin the `fn main` that stdin tests run"),
        (STDIN | {"prompt": "fn main() {}"}, "prompt must end within a function"),
        (STDIN | {"stdin_tests": [{"stdin": "1"}]}, "case 1 must be an object with stdin and expected, got ['stdin']"),
        (STDIN | {"comparison": "fuzzy"}, "comparison must be one of exact, tokens, got 'fuzzy'"),
        (STDIN | {"solution": 3}, "solution must be a text, got int"),
        (STDIN | {"tier": 7}, "tier must be a whole number from 0 to 4, got 7"),
        ({"prompt": "fn g() {", "tests": "fn f();\ncheck!(true);"}, "no completion can add fn f"),
        ({"prompt": "fn f() {", "signature": "fn f();"}, "there must be a case, `check!(...)`"),
        ({"prompt": "fn f() {", "tests": "{not json"}, "tests must be Rust or JSON"),
        ({"prompt": "fn f() {", "tests": ["a"]}, "must stand beside crate, version and function, got no crate"),
        (
            {"messages": [{"role": "assistant", "content": "?"}], "stdin_tests": CASES},
            "last message must be of the user",
        ),
        ({"messages": "?", "stdin_tests": CASES}, "messages must be a list of objects"),
    ],
)
def test_a_faulty_row_is_named_with_its_line_and_rule(file, row, said):
    with pytest.raises(ValueError) as raised:
        read_own_tasks(file(STDIN, "", row))
    assert re.search(
        r"tasks.jsonl must hold a task in each row, 1 rows do not:\n.*tasks.jsonl, line 3: ", str(raised.value)
    )
    assert said in str(raised.value)


def test_two_tasks_with_one_id_and_files_without_tasks_are_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r"line 2: id must be unique, 'a' is also that of .*line 1"):
        read_own_tasks(file(STDIN | {"id": "a"}, STDIN | {"id": "a"}))
    with pytest.raises(ValueError, match="must hold a JSON object in each line; line 1 is none"):
        read_own_tasks(file("[]"))
    with pytest.raises(ValueError, match="must hold tasks, got none"):
        read_own_tasks(file(""))
    with pytest.raises(ValueError, match=r"must be a file of JSON lines, or hub:NAME, got .*missing"):
        read_own_tasks(str(tmp_path / "missing"))


def test_every_kind_of_row_in_the_documentation_is_a_task_and_survives_being_kept(tmp_path, file):
    tasks = list(read_own_tasks(file(*EXAMPLES)).values())
    assert {type(task.tests).__name__ for task in tasks} == {"HiddenTests", "HoleTests", "StdinTests"}
    assert any(task.is_chat for task in tasks)
    write_own_tasks(tasks, tmp_path / "kept.jsonl")
    assert list(read_own_tasks(str(tmp_path / "kept.jsonl")).values()) == tasks


def test_columns_of_a_data_set_are_mapped_by_what_they_hold(file, tmp_path):
    named = {"question": STDIN["prompt"], "judge": StdinTests.of(CASES).to_text(), "prompt": "another column"}
    place = f"hub:json,data_files={file(named)},prompt=question,tests=judge"
    (task,) = read_own_tasks(place).values()
    assert (task.prompt, task.tests) == (STDIN["prompt"], StdinTests.of(CASES))
    with pytest.raises(ValueError, match="must have the column 'answer', it has question, judge, prompt"):
        read_own_tasks(f"{place},solution=answer")
    with pytest.raises(ValueError, match="got 'color'"):
        read_own_tasks(f"{place},color=red")


def test_tasks_whose_tests_cannot_judge_are_refused_each_with_its_reason(verifier, file):
    good = ADD.replace("{loop}", LOOP)
    chance = good.replace(
        "print!", "if std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0) % 20 > 0 { return }\nprint!"
    )
    value = {"prompt": "fn half(a: u8) -> u8 {", "solution": " if a > 4 { a / 2 } else { a } }"}
    rows = {
        "accepted": STDIN | {"solution": good},
        "accepted, without a solution": STDIN,
        "all cases expect the same output": STDIN | {"stdin_tests": [CASES[0], {"stdin": "3", "expected": "3"}]},
        "its solution does not pass": STDIN | {"solution": chance},
        "mutants of the solution": value | {"tests": "fn half(a: u8) -> u8;\ncheck!(half(1) < 200);"},
        "an empty answer passes": {"prompt": "fn skip() {", "tests": "fn skip();\ncheck!({ skip(); true });"},
        "checker must compile": value | {"tests": 'fn half(a: u8) -> u8;\ncheck!(half(1) == "a");'},
        "a row must have exactly one of": {"prompt": "fn main() {"},
    }
    found = read_rows(file(*(row | {"id": name} for name, row in rows.items())))
    checked = TaskChecker(verifier).check(found.tasks, found.faulty)
    assert [task.id for task in checked.accepted.values()] == ["accepted", "accepted, without a solution"]
    told = {int(each.where.rpartition(" ")[2]): each.reason for each in checked.refused}
    expected = dict(enumerate(rows, 1))
    assert {number: reason for number, reason in told.items() if expected[number] not in reason} == {}
    assert sorted(told) == [3, 4, 5, 6, 7, 8]
    assert "2 tasks accepted (2 with stdin tests), 6 refused; 1 have no solution" in checked.summary()


def test_brackets_of_a_reason_are_shown_as_they_are(capsys):
    reason = "the checker does not compile for fn total(values: &[i32]): #[allow(dead_code)] fn"
    print_table(plain_console(), CheckedTasks({}, [FaultyRow("line 1", reason)]).table())
    assert reason in capsys.readouterr().out


def test_refused_rows_are_shown_with_their_ids(file):
    rows = read_rows(file(STDIN | {"id": "one", "tier": 7}, STDIN | {"id": 2, "solution": 3}))
    assert [row.id for row in rows.faulty] == ["one", "2"]
    assert list(CheckedTasks({}, rows.faulty).table().columns[1].cells) == [Text("one"), Text("2")]


def test_a_task_with_the_text_of_a_benchmark_is_refused_before_anything_runs(verifier):
    text = "fn has_close_elements(numbers: &[f64], threshold: f64) -> bool {"
    task = OwnTask.of_row({"prompt": text, "tests": f"{text[:-2]};\ncheck!(has_close_elements(&[], 1.0));"})
    contamination = Contamination([Benchmark("own", (ProblemText("close", (text,), text),))])
    checked = TaskChecker(verifier, contamination=contamination).check({"line 1": task})
    assert [str(each) for each in checked.refused] == ["line 1: it contains the problem close of the benchmark own"]


def test_hole_tasks_need_the_crates(verifier):
    task = next(task for row in EXAMPLES if isinstance((task := OwnTask.of_row(row)).tests, HoleTests))
    with pytest.raises(ValueError, match="crates must be a folder of crate sources"):
        TaskChecker(verifier).check({"line 1": task})


def test_the_command_fails_if_no_task_is_usable(file, capsys):
    assert main(["check-tasks", file({"prompt": "fn main() {"}, STDIN | {"tier": -1})]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "0 tasks accepted (none), 2 refused" in told and "line 2" in told


def test_a_reward_judges_texts_and_conversations_by_standard_input(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    honest, same = ADD.replace("{loop}", LOOP), ' print!("3"); }'
    text = OwnTask.of_row(STDIN).columns()
    chat = OwnTask.of_row({"messages": [{"role": "user", "content": "Add."}], "stdin_tests": CASES}).columns()
    answers = [[{"role": "assistant", "content": f"```rust\nfn main() {{{body}\n```"}] for body in (honest, same)]
    rows = [(text, honest), (text, same), (text, honest[:-1]), (chat, answers[0]), (chat, answers[1])]
    reward = RustReward()
    columns = {name: [row[name] for row, _ in rows] for name in ("signature", "checker", "tests")}
    found = reward([row["prompt"] for row, _ in rows], [completion for _, completion in rows], **columns)
    reward.close()
    assert found == [1.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.slow
def test_every_example_of_the_documentation_is_accepted_and_a_wrong_hole_solution_is_not(verifier, file, tmp_path):
    wrong = next(row for row in EXAMPLES if "crate" in row) | {"id": "wrong", "solution": " low }"}
    absent = wrong | {"id": "absent", "function": "absent"}
    checker = TaskChecker(verifier, write_crates(tmp_path / "crates"))
    checked = checker.check(read_own_tasks(file(*EXAMPLES, wrong, absent)))
    assert len(checked.accepted) == len(EXAMPLES) and checked.without_solution == 1
    assert ["its solution does not pass" in each.reason for each in checked.refused] == [True, False]
