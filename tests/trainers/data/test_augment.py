"""Variants: they compile and pass the tests of their originals, and nothing else is written."""

import json
import os
import random
import re
from itertools import islice

import pytest

from evaluation.rust import RustVerifier
from evaluation.suites.humaneval_rust import HumanEvalRust
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.prepare import make_rows
from trainers.data import augment
from trainers.data.__main__ import main
from trainers.data.augment import KINDS, Augmentation, Original, augment_documents, make_variants
from trainers.data.kept import read_kept
from trainers.data.sources import Document, read_builtin
from trainers.data.synthetic.stream import choose_families, draw_samples

# What each kind must apply to at least, of functions with tests.
LEAST_APPLIED = {"alpha": 0.9, "reorder": 0.2, "forms": 0.2, "annotations": 0.5}


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


@pytest.fixture(scope="module")
def verifier():
    with RustVerifier(run_timeout=1.0) as made:
        yield made


def check_shares(originals, verifier):
    variants = make_variants([(each, kind) for each in originals for kind in KINDS], Augmentation(), verifier)
    for kind in KINDS:
        mine = [variant for variant in variants if variant.kind == kind]
        applied = [variant for variant in mine if variant.code is not None]
        assert len(applied) >= LEAST_APPLIED[kind] * len(originals), kind
        assert sum(variant.kept for variant in applied) >= 0.95 * len(applied), kind


@pytest.mark.slow
def test_each_kind_applies_to_its_share_of_synthetic_functions(verifier):
    families = [family for family in choose_families() if family.tier]
    samples = list(islice(draw_samples(families, seed=1, tasks=True), 60))
    check_shares([Original(str(index), each.code, each.tests) for index, each in enumerate(samples)], verifier)


@pytest.mark.slow
@pytest.mark.skipif("NANOCHAT_DATA" not in os.environ, reason="NANOCHAT_DATA is not set: the benchmark is there")
def test_each_kind_applies_to_its_share_of_human_eval(verifier):
    problems = HumanEvalRust.read().problems
    check_shares([Original(each.name, each.program(each.solution), each.tests) for each in problems], verifier)


def test_a_variant_that_fails_is_never_kept(verifier, monkeypatch):
    code = "pub fn f(x: i32) -> i32 {\n    x + 1\n}\n"
    original = Original("a", code, "#[test] fn one() { assert_eq!(f(1), 2); }")
    for wrong in (code.replace("1", "2"), code.replace("x + 1", "y + 1"), "pub fn f("):
        monkeypatch.setitem(augment._VARY, "forms", lambda code, pick, wrong=wrong: wrong)
        (variant,) = make_variants([(original, "forms")], Augmentation(), verifier)
        assert variant.code == wrong and not variant.kept


def test_what_does_not_pass_itself_is_not_varied(verifier):
    originals = [
        Original("a", "fn f(x: u8) -> u8 { x + y }"),
        Original("b", "fn f(x: u8) -> u8 { x }", "#[test] fn one() { assert_eq!(f(1), 2); }"),
    ]
    variants = make_variants([(each, kind) for each in originals for kind in KINDS], Augmentation(), verifier)
    assert [variant.code for variant in variants] == [None] * 8


def test_tests_are_taken_out_and_come_back_as_they_were():
    for row in read_builtin():
        original = Original.of(row.code)
        assert "#[test]" not in original.code and "#[test]" in original.tests
        start = row.code.index("#[cfg(test)]")
        assert original.with_tests(original.code).endswith(row.code[start:])
    made = "fn f() {}\nmacro_rules! m { ($n:ident) => { #[test] fn $n() {} } }\n#[cfg(test)]\nmod tests { m!(a); }\n"
    assert Original.of(made).tests is None and Original.of(made).code == made


def test_each_seed_and_each_original_has_variants_of_its_own():
    first, second = Augmentation(seed=1), Augmentation(seed=2)
    assert first.pick("a", "alpha").random() == Augmentation(seed=1).pick("a", "alpha").random()
    assert len({each.pick(key, "alpha").random() for each in (first, second) for key in "ab"}) == 4
    half = Augmentation({"alpha": 0.5})
    taken = sum(half.takes(str(key), "alpha") for key in range(1000))
    assert 440 < taken < 560 and not any(half.takes(str(key), "forms") for key in range(1000))


def some_rows(path, count=4):
    rows = [{"id": row.id, "code": row.code, "license": row.license, "source": "builtin"} for row in read_builtin()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:count]))
    return rows[:count]


@pytest.mark.slow
def test_a_file_is_varied_and_continues_to_the_same_file_after_an_interruption(tmp_path, verifier, capsys):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows = some_rows(source)
    command = ["augment", str(source), "--seed", "3", "--output", str(out)]
    assert main(command) == 0
    assert "alpha" in capsys.readouterr().out
    content = out.read_bytes()
    variants = read_kept(out)
    assert len(variants) >= 2 * len(rows) and {variant["variant"] for variant in variants} == set(KINDS)
    assert {variant["code"] for variant in variants}.isdisjoint(row["code"] for row in rows)
    assert all(variant["status"] == "valid" and variant["verdict"]["tests_passed"] > 0 for variant in variants)
    for end in (10, len(content) // 2):
        out.write_bytes(content[:end])
        assert main(command) == 0
        assert out.read_bytes() == content
    assert main(["augment", str(source), "--seed", "4", "--output", str(out)]) == 2
    assert "holds rows of other settings" in capsys.readouterr().err
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ('{"code": "fn f( {"}', [], "line 2: code must be Rust that parses"),
        ('{"text": "fn f() {}"}', [], "line 2 has none"),
        ("no JSON", [], "line 2 has none"),
        ('{"code": "fn f() {}"}', ["--kinds", "beta"], "must be one of alpha, .* got 'beta'"),
        ('{"code": "fn f() {}"}', ["--kinds", "alpha=2"], "share of alpha must be from 0 to 1, got 2.0"),
        ('{"code": "fn f() {}"}', ["--kinds", "alpha=x"], "--kinds must be names or NAME=SHARE, got 'alpha=x'"),
    ],
)
def test_bad_input_is_refused_before_any_work(line, options, message, tmp_path, capsys):
    path, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"code": "fn g(x: u8) -> u8 { x }"}\n' + line + "\n")
    assert main(["augment", str(path), "--output", str(out), *options]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not out.exists()


@pytest.mark.slow
def test_tasks_are_varied_with_their_hidden_cases(tmp_path, verifier):
    path, out = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    assert main(["synth", "--tasks", "--num-samples", "3", "--tier", "2", "--output", str(path)]) == 0
    assert main(["augment", str(path), "--kinds", "alpha", "--output", str(out)]) == 0
    assert len(read_kept(out)) == 3 and all(row["verdict"]["tests_total"] > 1 for row in read_kept(out))


def test_rows_that_do_not_parse_or_are_too_large_are_left_alone(verifier):
    good = Document.of("s", "p", "file", "MIT", "pub fn f(value: u8) -> u8 {\n    value\n}\n")
    bad = Document.of("s", "p", "file", "MIT", "fn f( {")
    varied = augment_documents([good, bad], Augmentation({"alpha": 1.0}), verifier)
    assert [row.source for row in varied] == ["augmented"] and varied[0].license == "MIT"
    assert augment_documents([good], Augmentation(), verifier, largest=10) == []


@pytest.mark.slow
def test_a_recipe_makes_samples_and_variants_to_train_on(tmp_path):
    training = list(read_builtin())[:4]
    made = make_rows(DataSettings(synthetic_samples=20, variants=0.5), training, tmp_path / "synthetic.jsonl")
    sources = [row.source for row in made]
    assert sources.count("synthetic") == 20 and sources.count("augmented") > 10
    assert len({row.id for row in [*made, *training]}) == len(made) + len(training)
    assert (
        make_rows(DataSettings(), training, tmp_path / "none.jsonl") == [] and not (tmp_path / "none.jsonl").exists()
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_variants_of_variants_still_pass(seed, verifier):
    """Four rounds, each of a random kind, on the built-in files."""
    originals = [Original.of(row.code) for row in read_builtin()]
    for step in range(4):
        pick = random.Random(f"{seed} {step}")
        wanted = [(each, pick.choice(KINDS)) for each in originals]
        variants = make_variants(wanted, Augmentation(seed=seed), verifier)
        assert sum(variant.kept for variant in variants) >= 0.9 * sum(variant.code is not None for variant in variants)
        originals = [
            Original(each.original.key, each.code, each.original.tests) if each.kept else each.original
            for each in variants
        ]
