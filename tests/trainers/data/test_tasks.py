"""Tasks: their cases tell a right solution from wrong ones, and a set of others is refused."""

import json
from dataclasses import asdict, replace
from itertools import islice

import pytest

from evaluation.rust import HiddenTests, RustVerifier
from tests.helpers.tasks import PROMPT, SOLUTION, TASK
from trainers.data.synthetic.stream import choose_families, draw_samples, split_of
from trainers.data.synthetic.verified import task_of
from trainers.data.tasks import load_tasks
from trainers.data.tasks.mutants import constant, mutants
from trainers.data.tasks.task import find_faults, first_cases
from trainers.reinforcement.reward_rows import with_empty_body


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(run_timeout=1.0) as made:
        yield made


@pytest.fixture(scope="module")
def drawn():
    """Two tasks of each family that has tasks."""
    samples = list(draw_samples_of_all(2))
    return samples, [task_of(sample) for sample in samples]


def draw_samples_of_all(each):
    for family in choose_families():
        yield from islice(draw_samples([family], seed=1, tasks=True), each)


def test_every_kind_of_wrong_variant_is_made():
    found = mutants(PROMPT, SOLUTION)
    assert {mutant.kind for mutant in found} >= {"branch", "operator", "constant", "off_by_one", "statement", "result"}
    assert len({mutant.code for mutant in found} | {PROMPT + SOLUTION}) == len(found) + 1
    assert all(mutant.code.startswith(PROMPT.rstrip("{\n")) for mutant in found)
    by_kind = {mutant.kind: mutant.code for mutant in found}
    assert "if !(value > 3)" in by_kind["branch"] and "value >= 3" in by_kind["off_by_one"]
    assert "sum -= value" in by_kind["operator"] and "sum += value" not in by_kind["statement"]


def test_fields_parameters_and_variants_are_exchanged_for_others_of_their_type():
    types = "enum Way { Up, Down, To(u8) }\nstruct Step { size: u8, count: u8, way: Way }\n"
    prompt = f"{types}fn f(a: &Step, b: &Step, n: u8) -> Way {{\n"
    found = [
        each.code
        for each in mutants(prompt, "    if a.size < n { Way::Up } else { a.way }\n}\n")
        if each.kind == "name"
    ]
    assert {code.rpartition("{\n")[2].strip() for code in found} == {
        "if b.size < n { Way::Up } else { a.way }\n}",
        "if a.count < n { Way::Up } else { a.way }\n}",
        "if a.size < n { Way::Down } else { a.way }\n}",
        "if a.size < n { Way::Up } else { b.way }\n}",
    }


def test_changes_that_may_never_end_come_last():
    loop = "fn f(n: u32) -> u32 {\n    let mut m = n + 7;\n    while m > 9 {\n        m -= 2;\n    }\n    m * 3\n}\n"
    prompt, solution = loop.split("\n", 1)
    kinds = ["m -= 2" in mutant.code and "while m > 9" in mutant.code for mutant in mutants(prompt + "\n", solution)]
    assert all(kinds[:4]) and not all(kinds)


def test_the_constant_function_returns_what_most_cases_expect():
    cases = ('f("a)\\"", (1, 2)) == Some("x == y")', 'f("b", (0, 0)) == None', 'f("c", (0, 0)) == None')
    checker = "\n".join(f"check!({case});" for case in cases)
    code = constant("fn f(a: &str, b: (u8, u8)) -> Option<&str> {\n", "    None.or(Some(a))\n}\n", checker)
    assert code.endswith("-> Option<&str> { None }\n")
    assert '{ Some("x == y") }' in constant("fn f() -> Option<&str> {\n", "    None\n}\n", checker.split("\n")[0])
    assert "-> Vec<u8> { vec![1] }" in constant("fn f() -> Vec<u8> {\n", "    vec![]\n}\n", "check!(f() == [1]);")


@pytest.mark.slow
def test_tasks_of_all_families_tell_right_from_wrong(drawn, verifier):
    samples, tasks = drawn
    assert len({task.family for task in tasks}) > 100
    chosen = tasks[::8]
    assert [fault for fault in find_faults(chosen, verifier) if fault] == []


def test_the_judge_passes_every_solution(drawn, verifier):
    tasks = drawn[1][::2]
    assert len({task.family for task in tasks}) > 100
    verdicts = verifier.verify([task.code for task in tasks], [task.tests for task in tasks], rules="reward")
    assert [task.code for task, verdict in zip(tasks, verdicts, strict=True) if not verdict.ok] == []


def test_a_body_alone_can_pass_every_task_also_where_the_function_has_helpers(drawn):
    faults = {task.family: with_empty_body(task.prompt, task.tests)[1] for task in drawn[1]}
    assert {family: fault for family, fault in faults.items() if fault} == {}
    with_helpers = [task for task in drawn[1] if "fn operate(" in task.prompt or "fn combine(" in task.prompt]
    assert with_helpers and all(task.solution.count("fn ") == 0 for task in with_helpers)


def test_no_case_of_the_checker_stands_in_the_prompt(drawn):
    for task in drawn[1]:
        body = task.checker.replace("check!(", "\n").split("\n")
        calls = [line.rpartition(" == ")[0] for line in body if " == " in line]
        shown = " ".join(task.prompt.replace("///", "").split())
        assert not [call for call in calls if len(call) > 8 and f"`{call}`" in shown], task.prompt


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"solution": SOLUTION.replace("> 3", "> 4")}, "its solution does not pass: tests_failed"),
        ({"solution": "    unsafe { 1 }\n}\n"}, "its solution does not pass: refused"),
        ({"checker": "check!(total(&[]) == 0);\ncheck!(total(&[1]) == 0);"}, "always returns the same value passes"),
        (
            {
                "prompt": "fn same(x: i32) -> i32 {\n",
                "solution": "    x\n}\n",
                "signature": "fn same(x: i32) -> i32;",
                # Three times x passes as well.
                "checker": "check!(same(0) == 0);\ncheck!(same(1) != 0);",
            },
            "only 2 of 3 mutants are rejected, at least 3 must be",
        ),
    ],
)
def test_a_task_that_rewards_the_wrong_is_found_and_its_set_refused(change, fault, verifier, tmp_path):
    bad = replace(TASK, **change)
    (found,) = find_faults([bad], verifier)
    assert fault in found
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(asdict(task)) + "\n" for task in (TASK, bad)))
    with pytest.raises(ValueError, match="reject wrong solutions; 1 of 2 do not: a .made.: "):
        load_tasks(path, verifier)


def test_a_good_set_is_loaded_by_split(verifier, tmp_path):
    path = tmp_path / "tasks.jsonl"
    held = replace(TASK, id="b", split="held_out_family")
    path.write_text("".join(json.dumps(asdict(task)) + "\n" for task in (TASK, held)))
    assert load_tasks(path, verifier) == [TASK, held]
    assert load_tasks(path, verifier, split="held_out_family") == [held]
    with pytest.raises(ValueError, match="must hold tasks of split held_out_parameters, got none"):
        load_tasks(path, verifier, split="held_out_parameters")
    with pytest.raises(ValueError, match="split must be None or one of train, .* got 'test'"):
        load_tasks(path, verifier, split="test")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 does not"),
        ("[]", "line 1 does not"),
        (json.dumps({"id": "a"}), "line 1 does not: it lacks 'prompt'"),
        (json.dumps(asdict(TASK) | {"tier": "1"}), "a task's tier must be int, got '1'"),
        (json.dumps(asdict(TASK) | {"prompt": "fn f()"}), "must end with a function's opening brace"),
        (json.dumps(asdict(TASK) | {"split": "all"}), "split must be one of train"),
        (json.dumps(asdict(TASK) | {"checker": "assert!(true);"}), "checker must have a case"),
        (json.dumps(asdict(TASK) | {"signature": "total"}), "signature must have"),
        ("", "must hold tasks, got none"),
    ],
)
def test_a_line_that_is_no_task_is_named(line, message, verifier, tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.write_text(line + "\n" if line else "")
    with pytest.raises(ValueError, match=message):
        load_tasks(path, verifier)


@pytest.mark.slow
def test_families_and_meanings_are_on_one_side_of_the_split_whatever_the_seed():
    sides: dict[str, set[str]] = {}
    meanings: dict[tuple[str, ...], set[str]] = {}
    for seed in (1, 2):
        for sample in islice(draw_samples(choose_families(), seed, tasks=True), 600):
            split = split_of(sample)
            sides.setdefault(sample.family, set()).add(split == "held_out_family")
            meanings.setdefault(sample.meaning, set()).add(split)
    assert all(len(side) == 1 for side in sides.values()) and all(len(side) == 1 for side in meanings.values())
    shares = [side for sides_of in meanings.values() for side in sides_of]
    assert 0.02 < shares.count("held_out_parameters") / len(shares) < 0.1
    assert 0.03 < shares.count("held_out_family") / len(shares) < 0.25


def test_fewer_cases_keep_what_prepares_them():
    lines = ["let v = vec![1];", "check!(f(&v) == 1);", "{ let mut w = v.clone(); check!(g(&mut w) == 2); }"]
    checker = "\n".join([*lines, "check!(f(&v) == 3);"])
    assert first_cases(checker, 2) == "\n".join(lines)
    assert first_cases(checker, 9) == checker


def test_a_solution_that_passes_only_sometimes_is_refused_as_flaky(verifier):
    # Every set has another order. One code passes thrice or fails at once by chance (17/27), all sixty never.
    code = "fn first() -> u32 { *(0..3).collect::<std::collections::HashSet<u32>>().iter().next().unwrap() }"
    published = [f"#[test] fn t() {{ assert!(first() != {n % 3}); assert!(first() < {n + 3}); }}" for n in range(60)]
    hidden = [
        HiddenTests("fn first() -> u32;", f"check!(first() != {n % 3}); check!(first() < {n + 3});") for n in range(40)
    ]
    for tests, trusted in ((published, True), (hidden, False)):
        verdicts = verifier.verify([code] * len(tests), tests, trusted=trusted, runs=3)
        messages = [verdict.diagnostics[0].message for verdict in verdicts if not verdict.ok]
        assert any(message.startswith("flaky: passed ") for message in messages)
