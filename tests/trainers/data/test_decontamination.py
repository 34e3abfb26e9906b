"""Benchmark problems in training data: what is found, what is not, and that no suite is forgotten."""

import gzip
import json
import pickle
import time

import pytest

from evaluation.suites.registry import SUITES
from tests.helpers.humaneval_rows import ROWS
from tests.helpers.stored import needs_data
from trainers.data.benchmark_problems import (
    SUITE_PROBLEMS,
    WITHOUT_PROBLEMS,
    Benchmark,
    ProblemText,
    load_benchmarks,
)
from trainers.data.code_tokens import without_tests
from trainers.data.decontamination import Contamination, ContaminationReport, controls
from trainers.data.function_signatures import function_signatures, is_specific
from trainers.data.sources import read_builtin

SOLUTION = """
/// Return the longest run of equal neighbors in the list, and where it begins.
fn longest_equal_run(values: &[i64], start: usize) -> (usize, usize) {
    let (mut best, mut best_start, mut current) = (0, start, start);
    for index in start..values.len() { // every position
        if values[index] != values[current] { current = index; }
        if index + 1 - current > best { best = index + 1 - current; best_start = current; }
    }
    (best, best_start)
}
"""
ASKED = SOLUTION.partition("{")[0] + "{"
OTHER = "fn area(width: u32, height: u32) -> u32 {\n    width * height\n}\n"


def contamination(*texts: str, asked: str = "", scored: bool = True) -> Contamination:
    problem = ProblemText("run", texts or (SOLUTION,), asked)
    return Contamination([Benchmark("runs", (problem,), scored)])


def test_every_suite_has_its_problems_checked_or_says_why_not():
    assert SUITE_PROBLEMS.keys() | WITHOUT_PROBLEMS.keys() == SUITES.keys()
    assert not SUITE_PROBLEMS.keys() & WITHOUT_PROBLEMS.keys()


@pytest.mark.parametrize(
    "planted",
    [
        SOLUTION,
        SOLUTION.replace("    ", "\t").replace("\n", "\r\n"),
        SOLUTION.replace("{ current", "{\n/* here */ current"),
        "\n".join(line.partition("//")[0] for line in SOLUTION.splitlines()),
        "/// Return the longest run of equal neighbors in the list, and where it begins.",
        'const TEXT: &str = "Return the longest run of equal neighbors in the list and where it";',
    ],
)
def test_a_problem_inside_a_longer_file_is_found(planted):
    match = contamination().check(OTHER + planted + OTHER)
    assert match is not None
    assert (match.benchmark, match.problem, match.rule) == ("runs", "run", "words")
    assert len(match.words.split()) == 13


def test_twelve_words_are_no_match():
    words = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu".split()
    found = contamination(" ".join(words))
    assert found.check(f"// {' '.join(words)}") is not None
    assert found.check(f"// {' '.join(words[1:])} xi") is None


def test_tables_of_numbers_and_letters_are_no_match():
    table = "const T: [u8; 20] = [1, 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67];"
    letters = "['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o']"
    assert contamination(table, letters).check(f"{OTHER}{table}\nlet x = {letters};") is None


def test_a_signature_is_found_with_another_body_other_names_and_similar_types():
    found = contamination("", asked=ASKED)
    match = found.check("pub fn longest_equal_run(v: Vec<i32>, from: u32) -> (u64, u64) { todo!() }")
    assert match is not None and match.rule == "signature"
    assert found.check("fn longest_equal_run(v: Vec<i32>) -> (u64, u64) {}") is None
    assert found.check("fn longest_equal_run(&self, from: u32) -> (u64, u64) {}") is None


@pytest.mark.parametrize(
    "signature",
    ["fn new() -> Self {", "fn main() {", "fn add(a: i32, b: i32) -> i32 {", "fn is_prime(n: u32) -> bool {"],
)
def test_signatures_that_many_choose_are_no_match(signature):
    assert contamination("", asked=signature).check(f"{signature} body() }}") is None


def test_signatures_are_read_from_unusual_code():
    code = """pub async fn a_b<'a, F: Fn(u8) -> u8>(x: &'a mut [u8], f: std::vec::Vec<String,>, (p, q): (i32, f64))
        -> Result<Option<&'a str>, my::Error> where F: Copy {} fn cut_off_here(x: [u8; 4], y: & fn (z) fn <"""
    assert list(function_signatures(code)) == [
        "a_b(slice<int>,slice<str>,(int,float))->Result<Option<str>,Error>",
        "cut_off_here(slice<int>,fn(z)fn<)->",
    ]
    assert is_specific("a_b(int,int)->int") and is_specific("a_b_c(int)->int")
    assert not is_specific("a_b((int,int))->int")


def test_test_modules_and_functions_are_left_out():
    tests = """
#[cfg(test)]
mod tests {
    const BRACE: &str = "}"; // }
    fn helper() {}
}
    #[test]
    #[should_panic(expected = ";")]
    fn fails() -> [u8; 3] { [1; 3] }
#[tokio::test(flavor = "x")]
async fn waits() {}
#[cfg(test)] mod more;
"""
    kept = "#[cfg(not(test))]\nfn kept() {}\n"
    assert without_tests(f"{OTHER}{tests}{kept}").split() == (OTHER + kept).split()
    assert contamination().check(f"{OTHER}#[cfg(test)]\nmod tests {{ {SOLUTION} }}") is None
    assert contamination().check(f"{OTHER}#[cfg(test)]\nmod tests {{ }} {SOLUTION}") is not None


@pytest.mark.parametrize("text", ["#[test]\n", "#[cfg(test)] {", "fn a_b_c(", "fn longest_equal_run(", "/*", "a "])
def test_hostile_code_takes_linear_time(text):
    found = contamination(asked=ASKED)
    started = time.perf_counter()
    found.check(text * 4_000)
    assert time.perf_counter() - started < 2


def test_a_benchmark_without_scores_is_counted_and_not_dropped():
    both = Contamination([Benchmark("free", (ProblemText("a", (SOLUTION,)),), scored=False)])
    report = ContaminationReport()
    for code in (SOLUTION, OTHER):
        report.add(both.check(code))
    assert (report.documents, report.matches["free", "words"], report.dropped) == (2, 1, 0)


def test_benchmarks_with_scores_come_first():
    free = Benchmark("free", (ProblemText("a", (SOLUTION,)),), scored=False)
    scored = Benchmark("scored", (ProblemText("b", (SOLUTION,)),))
    match = Contamination([free, scored]).check(SOLUTION)
    assert match is not None and match.benchmark == "scored"


def test_a_copy_in_another_process_finds_the_same():
    found = contamination(asked=ASKED)
    assert pickle.loads(pickle.dumps(found)).check(SOLUTION) == found.check(SOLUTION)


def test_without_benchmarks_nothing_is_found():
    assert Contamination([]).check(SOLUTION) is None


@pytest.fixture
def only_rows(tmp_path, monkeypatch):
    """A folder with two problems of HumanEval-Rust, and no Hub."""

    def offline(*args, **kwargs):
        raise OSError("offline")

    with gzip.open(tmp_path / "humaneval_rust.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    monkeypatch.setenv("NANOCHAT_DATA", str(tmp_path))
    monkeypatch.setattr("evaluation.suites.problem_files.HubDataset.rows", offline)


def test_missing_benchmarks_are_named(only_rows):
    loaded = load_benchmarks()
    assert [each.name for each in loaded.benchmarks] == ["humaneval-rust", "compile-rate", "semantic", "rustc"]
    assert set(loaded.missing) == {"multipl-e-rust", "exercism", "rust_tests_ui", "rustc_ui"}
    assert "multipl-e-rust: NOT CHECKED" in loaded.coverage()


def test_problem_files_of_other_suites_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="problems must be for humaneval-rust, .*, got perplexity"):
        load_benchmarks({"perplexity": tmp_path})


def test_planted_problems_are_found_and_ordinary_code_is_not(only_rows):
    loaded = load_benchmarks()
    result = controls(Contamination(loaded.scored))
    assert result.planted["compile-rate"] == 208
    # Without comments these have less than 13 words, and their names are one word.
    assert set(result.missed["compile-rate"]) == {"adder", "exchanged"}
    assert result.false == () and result.ordinary == 14


def test_the_built_in_files_hold_no_problem(only_rows):
    found = Contamination(load_benchmarks().scored)
    assert {document.path for document in read_builtin() if found.check(document.code) is not None} == set()


@needs_data
def test_every_published_problem_is_found():
    result = controls(Contamination(load_benchmarks().scored))
    assert (result.planted["humaneval-rust"], result.missed["humaneval-rust"]) == (656, ())
    assert result.planted["multipl-e-rust"] == 420 and len(result.missed["multipl-e-rust"]) <= 8
