"""Crate holes: original bodies score one and stubs zero, and no crate counts more in the mean over crates."""

import json
from dataclasses import replace

import pytest

from evaluation.settings import EvaluationSettings
from evaluation.suites.crate_holes import CrateHoles
from evaluation.suites.problem_files import ProblemsMissing
from tests.helpers.planted import CHAT, planted, run_without_model

MANIFEST = '[package]\nname = "{name}"\nversion = "1.0.0"\nlicense = "MIT"\n'
FILES = {
    "sides": """
pub struct Square { pub side: u32 }

impl Square {
    /// The area.
    pub fn area(&self) -> u32 {
        let side = self.side;
        side.wrapping_mul(side)
    }

    /// The length of all sides.
    pub fn perimeter(&self) -> u32 {
        let count = 4;
        self.side.wrapping_mul(count)
    }
}

#[test]
fn measures() {
    assert_eq!((Square { side: 3 }).area(), 9);
    assert_eq!((Square { side: 3 }).perimeter(), 12);
}
""",
    "signs": """
pub fn opposite(value: i32) -> i32 {
    let zero: i32 = 0;
    zero.wrapping_sub(value)
}

#[test]
fn negates() {
    assert_eq!(opposite(3), -3);
}
""",
}
HOLES = [
    ("sides", "Square::area", "measures", "train"),
    ("sides", "Square::perimeter", "measures", "train"),
    ("signs", "opposite", "negates", "held_out"),
]


def task(crate, function, test, split):
    code = FILES[crate]
    start = code.index("{", code.index(f"fn {function.rpartition('::')[2]}")) + 1
    row = {"id": function, "crate": crate, "version": "1.0.0", "function": function, "tests": [test], "split": split}
    return row | {"prompt": code[:start], "solution": code[start : code.index("}", start) + 1]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holes")
    for name, code in FILES.items():
        (folder / "crates" / name / "src").mkdir(parents=True)
        (folder / "crates" / name / "Cargo.toml").write_text(MANIFEST.format(name=name))
        (folder / "crates" / name / "src" / "lib.rs").write_text(code)
    (folder / "holes.jsonl").write_text("".join(json.dumps(task(*hole)) + "\n" for hole in HOLES))
    return folder


def settings(folder, **changes):
    given = EvaluationSettings(problems={"crate-holes": folder / "holes.jsonl"}, crates=folder / "crates")
    return replace(given, **changes)


@pytest.fixture(scope="module")
def suite(folder):
    return CrateHoles.load(settings(folder))


def test_originals_score_one_stubs_zero_and_crates_count_equally(folder, suite, tokenizer, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    solutions = {problem.name: problem.solution for problem in suite.problems}
    run = run_without_model(tokenizer, folder, settings=settings(folder))
    logged = []
    assert planted(suite, lambda prompt: "").checked(run, logged.append).names == suite.names and len(logged) == 1
    results = planted(suite, lambda prompt: solutions[prompt.name]).run(run)
    assert {interval.value for interval in results.metrics.values()} == {1.0} and results.versions["rustc"]
    stub = planted(suite, lambda prompt: " todo!() }").run(run)
    assert {interval.value for interval in stub.metrics.values()} == {0.0}
    half = planted(suite, lambda prompt: solutions[prompt.name] if "signs" in prompt.name else " 0 }").run(run)
    assert {name: round(interval.value, 3) for name, interval in half.metrics.items()} == {
        "pass@1": 0.333,
        "pass@1, mean of crates": 0.5,
        "pass@1, held_out": 1.0,
        "pass@1, train": 0.0,
    }
    assert half.per_problem["pass@1, mean of crates"] == {"sides-1.0.0": 0.0, "signs-1.0.0": 1.0}
    assert half.details["crates"] == {"sides-1.0.0": 2, "signs-1.0.0": 1}
    assert "functions of 2 crates" in CrateHoles.how_measured(replace(half, model={"num_loops": 1}))


def test_crates_take_turns(folder, suite):
    assert suite.names == ["sides-1.0.0: Square::area", "signs-1.0.0: opposite", "sides-1.0.0: Square::perimeter"]
    assert CrateHoles.load(settings(folder, limit=2)).names == suite.names[:2]


@pytest.mark.parametrize(
    "answer, body",
    [
        ("```rust\npub fn area(&self) -> u32 {\n    9\n}\n```", "{\n    9\n}"),
        ("```rust\nimpl Square {\n    pub fn area(&self) -> u32 { 9 }\n}\n```", "{ 9 }"),
        ("```rust\n{ 9 }\n```", "{ 9 }\n"),
        ("```rust\n9\n```", "{9\n\n}"),
        ("```rust\n9", ""),
    ],
)
def test_a_chat_model_may_answer_with_the_function_or_its_body(suite, answer, body):
    assert suite.problems[0].program_of_answer(answer) == body


def test_what_is_missing_is_said_before_any_work(folder, tmp_path):
    with pytest.raises(ProblemsMissing, match="write them with nanochat-ternary data holes"):
        CrateHoles.load(EvaluationSettings())
    with pytest.raises(ValueError, match="crate-holes needs the folder of the crates' sources: give it with --crates"):
        CrateHoles.load(settings(folder, crates=None))
    with pytest.raises(ValueError, match="crates must be the folder of the crates' sources, got .*nothing"):
        CrateHoles.load(settings(folder, crates=tmp_path / "nothing"))
    (tmp_path / "rows.jsonl").write_text(json.dumps(task(*HOLES[0]) | {"tests": []}) + "\n")
    with pytest.raises(ValueError, match="row 1 .*tests of hole tests must be different names of tests"):
        CrateHoles.load(settings(folder, problems={"crate-holes": tmp_path / "rows.jsonl"}))


def test_a_chat_asks_for_one_function(folder):
    chat = CrateHoles.load(settings(folder, chat=CHAT)).chat
    assert chat is not None and "Answer with this function alone" in chat.instruction
