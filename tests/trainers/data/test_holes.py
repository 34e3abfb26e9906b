"""Hole tasks: only functions whose tests notice wrong bodies, with prompts that show no test."""

import json

import pytest

from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.judging import LocalJudge
from tests.helpers.hole_crates import write_crate, write_crates
from trainers.data.tasks.hole_files import write_holes
from trainers.data.tasks.hole_prompts import hole_prompt
from trainers.data.tasks.holes import make_holes, read_holes, split_of
from trainers.data.tasks.prompts import hole_task_prompts
from trainers.data.tasks.wrong_bodies import mutated_bodies, stubs
from trainers.reinforcement.rewards import RustReward


@pytest.fixture(scope="module")
def crates(tmp_path_factory):
    return write_crates(tmp_path_factory.mktemp("crates"))


@pytest.fixture(scope="module")
def verifier(crates):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HF_ALLOW_CODE_EVAL", "1")
        with HoleVerifier(crates, workers=2, run_timeout=1.0) as verifier:
            yield verifier


@pytest.fixture(scope="module")
def made(verifier):
    return make_holes(verifier.crates.packages["shapes-1.0.0"], verifier, 10)


def test_a_function_whose_tests_accept_a_stub_is_no_task(made):
    # The test that calls `untested` ignores its result.
    assert made.outcomes["a stub passes its tests"] == 1
    assert [task.function for task in made.tasks] == [
        "area::Rectangle::area",
        "area::Rectangle::scaled",
        "clamp",
        "perimeter",
    ]


def test_the_tests_of_a_short_body_reject_all_its_mutants(made):
    short = [task for task in made.tasks if task.mutants_rejected < 3]
    assert [(task.mutants, task.mutants_rejected) for task in short] == [(2, 2)]


def test_a_task_says_where_it_is_from_and_what_was_tried(made):
    task = next(task for task in made.tasks if task.function == "clamp")
    assert (task.crate, task.version, task.license, task.path) == ("shapes", "1.0.0", "MIT", "src/lib.rs")
    assert (task.edition, task.features, task.tests) == ("2021", ("fast",), ("tests::clamps",))
    assert task.mutants >= task.mutants_rejected >= 3
    assert task.split == split_of("shapes")


def test_prompts_end_with_the_function_and_show_its_type_but_no_test(made):
    for task in made.tasks:
        assert task.prompt.endswith("{")
        assert "assert" not in task.prompt
        assert "#[test]" not in task.prompt
    prompt = next(task for task in made.tasks if task.function == "area::Rectangle::area").prompt
    assert prompt.startswith("// shapes 1.0.0, src/area.rs\n")
    assert "pub struct Rectangle {" in prompt
    assert prompt.endswith("impl Rectangle {\n    /// The area.\n    pub fn area(&self) -> u32 {")


def test_a_prompt_keeps_its_limit_and_leaves_out_the_farthest_items(verifier):
    crate = verifier.open(verifier.crates.packages["shapes-1.0.0"])
    function = crate.functions["area::Rectangle::scaled"]
    source = crate.sources[function.path]
    whole = hole_prompt(source, function, "title")
    assert whole is not None and "pub fn area" in whole
    shorter = hole_prompt(source, function, "title", len(whole) - 40)
    assert shorter is not None and len(shorter) <= len(whole) - 40
    assert "pub fn area" not in shorter
    assert shorter.endswith("Option<&mut Self> {")
    assert hole_prompt(source, function, "title", 50) is None


def test_all_versions_of_a_crate_are_in_one_split_and_a_tenth_is_held_out():
    held_out = [name for name in map(str, range(2000)) if split_of(name) == "held_out"]
    assert 150 < len(held_out) < 250


def test_stubs_and_mutants_are_no_copies_of_the_body():
    head, body = "fn f(a: bool, n: u8) -> u8 ", "{ let mut m = n; if a { m += 1; } m }"
    wrong = [*stubs(head), *mutated_bodies(head, body)]
    assert {"{ ::core::todo!() }", "{ ::core::default::Default::default() }", "{ 0 }", "{ 1 }"} <= {
        each.body for each in wrong if each.kind == "stub"
    }
    assert "{ let mut m = n; if true { m += 1; } m }" in [each.body for each in wrong]
    assert body not in [each.body for each in wrong]


def test_the_reward_judges_completions_of_hole_tasks_by_the_crates_tests(made, verifier, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    task = next(task for task in made.tasks if task.function == "clamp")
    row = hole_task_prompts([task])[0]
    completions = [
        task.solution,
        "\n    value.max(low).min(high)\n}\n\npub fn other() {",
        "\n    value\n}\n",
        "\n    todo!()\n}\n",
        "\n    process::exit(0)\n}\n",
        "\n    if value < low {",
    ]
    reward = RustReward(workers=1, crates=verifier.crates.folder)
    assert isinstance(reward.judge, LocalJudge)
    reward.judge.hole_verifier = verifier
    prompts, tests = [row["prompt"]] * len(completions), [row["tests"]] * len(completions)
    reward.check_rows(prompts, {"tests": tests})
    found = reward(prompts=prompts, completions=completions, tests=tests)
    assert found == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_reward_says_that_hole_tests_need_the_folder_of_crates(made, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    row = hole_task_prompts(made.tasks[:1])[0]
    reward = RustReward(workers=1)
    with pytest.raises(ValueError, match="crates must be a folder"):
        reward.check_rows([row["prompt"]], {"tests": [row["tests"]]})
    reward.close()


@pytest.mark.slow
def test_files_are_continued_crate_by_crate_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    crates = write_crates(tmp_path / "crates")
    tmp_path.chmod(0o755)
    # A crate that nothing builds is one of the reasons in the table.
    write_crate(crates / "broken-1.0.0", {"Cargo.toml": BROKEN, "src/lib.rs": "fn f( {"})
    output = tmp_path / "holes.jsonl"
    write_holes(crates, output, ["twice"])
    part = next((tmp_path / "holes.jsonl.crates").glob("twice*"))
    first = part.stat().st_mtime_ns
    (tmp_path / "holes.jsonl.crates" / "shapes-half.partial").write_text("{")
    made = write_holes(crates, output, ["twice", "broken"])
    assert part.stat().st_mtime_ns == first
    assert (made.tasks, made.crates) == (2, 1)
    assert len(made.problems) == 1
    assert [task.function for task in read_holes(output)] == ["twice", "own::thrice"]
    continued = output.read_bytes()
    fresh = tmp_path / "fresh.jsonl"
    write_holes(crates, fresh, ["broken", "twice"], num_workers=2)
    assert fresh.read_bytes() == continued


BROKEN = '[package]\nname = "broken"\nversion = "1.0.0"\nedition = "2021"\n'


def test_a_line_that_is_no_task_is_an_error_that_names_it(tmp_path, made):
    path = tmp_path / "holes.jsonl"
    rows = [made.tasks[0].as_row(), {**made.tasks[1].as_row(), "split": "test"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(ValueError, match="line 2 does not: .*split must be one of"):
        read_holes(path)
