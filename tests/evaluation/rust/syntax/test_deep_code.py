"""Code that nests deeply in any form of the grammar gets an answer from everything that looks at code."""

import json
import random
import sys
import time
from functools import partial

import pytest
from tree_sitter import Parser

from evaluation.rust import HiddenTests, RustVerifier
from evaluation.rust.judge.appended import AppendedTests
from evaluation.rust.judge.harness import publish
from evaluation.rust.judge.published_tests import as_hidden_tests
from evaluation.rust.judge.refusals import refusals
from evaluation.rust.rustc.routing import MAX_BYTES, must_compile_alone
from evaluation.rust.syntax.analysis import RUST, analyze
from evaluation.rust.syntax.completion import completed_function
from evaluation.rust.syntax.declarations import read_declarations
from evaluation.rust.verdict import STATUSES
from tests.helpers.deep_rust import NESTING, deepest, nested
from trainers.data.__main__ import main
from trainers.data.augment import Original
from trainers.data.kept import read_kept
from trainers.data.rewriting.annotations import probe_types
from trainers.data.rewriting.forms import alternative_forms
from trainers.data.rewriting.renaming import canonical, plausible_names, rename
from trainers.data.rewriting.reordering import reorder
from trainers.data.synthetic.report import measure
from trainers.data.tasks.mutants import constant, mutants
from trainers.data.tasks.task import first_cases
from trainers.reinforcement.rewards import RustReward

TESTS = HiddenTests("fn f(a: u8) -> u8;", "check!(f(1) == 1);")
LOOKS = {
    "analyze": analyze,
    "routing": lambda code: must_compile_alone(code.encode(), analyze(code), "2021", "lib"),
    "refusals": lambda code: refusals(code.encode(), TESTS),
    "refusals of a library": lambda code: refusals(code.encode()),
    "completed_function": partial(completed_function, "fn g() {\n"),
    "publish": lambda code: publish(code.encode(), TESTS),
    "hidden tests": HiddenTests.parse,
    "hidden checker": lambda code: HiddenTests("fn f(a: u8) -> u8;", f"{code}\ncheck!(true);"),
    "hidden signature": lambda code: read_declarations(f"{code[: code.rindex('{')].strip()};"),
    "appended tests": lambda code: AppendedTests.read(f"{code}\n#[test] fn t() {{}}"),
    "as_hidden_tests": lambda code: as_hidden_tests("fn f(a: u8);", f"{code}\n#[test] fn t() {{ assert!(true); }}"),
    "original": Original.of,
    "alpha": lambda code: rename(code, plausible_names(random.Random(0))),
    "reorder": lambda code: reorder(code, random.Random(0)),
    "forms": lambda code: alternative_forms(code, random.Random(0)),
    "annotations": probe_types,
    "canonical": canonical,
    "report": lambda code: measure([code]),
    "mutants": partial(mutants, ""),
    "constant": lambda code: constant("", code, "check!(f(1) == 1);"),
    "first_cases": lambda code: first_cases(f"{code}\ncheck!(true);", 1),
}
SLOWEST = {"refusals of a library", "report", "canonical"}  # they share their walks with the others


def look(name, code):
    """What is bad input may be refused, with a reason."""
    try:
        LOOKS[name](code)
    except ValueError as error:
        assert str(error)


@pytest.fixture
def little_stack():
    """Hardly more of Python's stack than is in use."""
    used, frame = 0, sys._getframe()
    while frame is not None:
        used, frame = used + 1, frame.f_back
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(used + 120)
    yield
    sys.setrecursionlimit(usual)


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def test_every_form_is_rust_and_nests():
    for form in NESTING:
        root = Parser(RUST).parse(nested(form, 3).encode()).root_node
        assert not root.has_error, form
        assert len(nested(form, 4)) > len(nested(form, 3))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOWEST else name for name in LOOKS]
)
def test_depth_costs_no_stack(name, little_stack):
    look(name, nested("block", 1))
    for form in NESTING:
        look(name, nested(form, 150))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOKS)
def test_code_of_the_largest_size_is_looked_at_in_time(name):
    """What nests brackets deeper than 200 the verifier refuses: of these forms there are 10 000 bytes."""
    for form in NESTING:
        brackets = nested(form, 1).count("{") + nested(form, 1).count("(") + nested(form, 1).count("[")
        outside = nested(form, 0).count("{") + nested(form, 0).count("(") + nested(form, 0).count("[")
        depth = deepest(form, MAX_BYTES) if brackets == outside else min(deepest(form, 10_000), 1_500)
        begun = time.perf_counter()
        look(name, nested(form, depth))
        seconds = time.perf_counter() - begun
        if seconds > 1:
            print(f"{name} of {form}, {depth} deep: {seconds:.1f} s")
        assert seconds < 60, form


CHAINS = {
    "else if": nested("else if", 248),
    "standard path": nested("standard path", 997),
    "method": nested("method", 250),
    "or": "fn f(a: u8) -> u8 { let a = a > 1; (a" + " || a" * 500 + ") as u8 }",
}


def test_long_chains_get_a_verdict_under_the_rules_for_rewards():
    codes = list(CHAINS.values())
    with RustVerifier() as verifier:
        found = [verdict.status for verdict in verifier.verify(codes, TESTS, rules="reward")]
    assert found == ["valid", "compilation_failed", "valid", "tests_failed"]


def test_long_chains_are_rewarded_as_short_ones_are():
    prompt = "fn f(a: u8) -> u8 {"
    completions = [code.removeprefix(prompt) for code in CHAINS.values()]
    columns = {"signature": [TESTS.signature] * len(CHAINS), "checker": [TESTS.checker] * len(CHAINS)}
    reward = RustReward()
    assert reward([prompt] * len(CHAINS), completions, **columns) == [1.0, 0.0, 1.0, 0.0]
    reward.close()


def test_a_deep_row_ends_no_augmentation(tmp_path):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    codes = [*CHAINS.values(), "pub fn g(value: u8) -> u8 { value }"]
    path.write_text("".join(json.dumps({"code": code}) + "\n" for code in codes))
    assert main(["augment", str(path), "--kinds", "alpha", "reorder", "forms", "annotations", "--out", str(out)]) == 0
    assert {"else if", "method", "or"} <= {
        name for name in CHAINS for row in read_kept(out) if len(row["code"]) > 0.8 * len(CHAINS[name])
    }


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["data", "reward"])
def test_every_form_gets_a_verdict(rules):
    codes = [nested(form, depth) for form in NESTING for depth in (150, 1_500)]
    with RustVerifier() as verifier:
        verdicts = verifier.verify(codes, TESTS if rules == "reward" else None, rules=rules)
    assert {verdict.status for verdict in verdicts} <= set(STATUSES) - {"unavailable"}
