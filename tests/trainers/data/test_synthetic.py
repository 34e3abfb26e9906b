"""Synthetic Rust: every family gives distinct samples that compile, and Python and Rust agree on what they compute."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.rust import CodeExecutionNotAllowed, HiddenTests, RustVerifier
from trainers.data.__main__ import main
from trainers.data.kept import keep_verified, read_kept
from trainers.data.synthetic import sample as sample_module
from trainers.data.synthetic.family import Draw, FunctionSpec, Undefined
from trainers.data.synthetic.literals import Err, Ok, OutOfRange, literal
from trainers.data.synthetic.pieces import char_predicate, integer_mapping, integer_predicate, quotient, remainder
from trainers.data.synthetic.report import measure
from trainers.data.synthetic.sample import make_sample
from trainers.data.synthetic.stream import all_families, choose_families, draw_samples

FAMILIES = all_families()


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def synth(*arguments):
    return main(["synth", *map(str, arguments)])


def test_there_are_many_families_of_every_tier_in_several_groups():
    assert len(FAMILIES) >= 60
    assert {family.tier for family in FAMILIES.values()} == set(range(5))
    assert len({family.group for family in FAMILIES.values()}) >= 15


def test_samples_of_all_families_compile_and_pass_their_tests():
    samples = list(islice(draw_samples(choose_families(), seed=7), len(FAMILIES)))
    assert {sample.family for sample in samples} == set(FAMILIES)
    with RustVerifier() as verifier:
        verdicts = verifier.verify(
            [sample.code for sample in samples], [sample.tests for sample in samples], trusted=True
        )
    failed = [
        f"{sample.code}\n{sample.tests}\n{verdict.diagnostics}"
        for sample, verdict in zip(samples, verdicts, strict=True)
        if not verdict.ok
    ]
    assert not failed, "\n".join(failed)


@pytest.mark.slow
def test_no_two_samples_have_the_same_tokens_and_no_two_tasks_the_same_meaning():
    samples = list(islice(draw_samples(choose_families(), seed=3), 500))
    assert len({sample.canonical_tokens for sample in samples}) == 500
    tasks = list(islice(draw_samples(choose_families(), seed=3, tasks=True), 500))
    assert len({sample.meaning for sample in tasks}) == len({sample.canonical_tokens for sample in tasks}) == 500


@pytest.mark.slow
def test_samples_differ_in_names_words_and_shape():
    """A family that always writes the same would give itself away."""
    for family in FAMILIES.values():
        samples = [sample for seed in range(8) if (sample := drawn(family, str(seed))) is not None]
        assert len({sample.code for sample in samples}) > 0.8 * len(samples), family.name
        words = [re.sub(r"\d+", "0", "".join(re.findall(r"///.*", sample.code))) for sample in samples]
        assert len(set(words)) > 2, family.name


def drawn(family, seed):
    try:
        return make_sample(family, seed)
    except Undefined:
        return None


@pytest.mark.slow
def test_equal_seeds_give_equal_samples_in_every_process():
    program = (
        "import hashlib\nfrom itertools import count, islice\n"
        "from trainers.data.synthetic.stream import choose_families, draw_samples\n"
        "samples = islice(draw_samples(choose_families(), 5), 230)\n"
        "print(hashlib.sha256(repr([(s.code, s.tests, s.meaning) for s in samples]).encode()).hexdigest())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != ""


def test_conditions_and_computations_are_the_same_in_python_and_rust():
    pick = random.Random(0)
    numbers = [*range(-12, 31), -30, 45, 60]
    lines = []

    def compare(values, kind, computed, result):
        expected = literal([computed(value) for value in values], f"&[{result}]")
        # A function that takes any closure: 300 loops of their own would take the compiler seconds.
        lines.append(f'agree("{computed.slug}", {values_of[kind]}, {expected}, &|x: {kind}| {computed.on("x")});')

    values_of = {"i32": "SIGNED", "u64": "UNSIGNED", "char": "CHARACTERS"}
    unsigned, characters = [number for number in numbers if number >= 0], list("aAbeEiouxyzZ09 _-!\t")
    for kind, values in (("i32", numbers), ("u64", unsigned)):
        for _ in range(80):
            compare(values, kind, integer_predicate(pick, kind), "bool")
            compare(values, kind, integer_mapping(pick, kind), kind)
    for _ in range(60):
        compare(characters, "char", char_predicate(pick), "bool")
    test = f"""
const SIGNED: &[i32] = {literal(numbers, "&[i32]")};
const UNSIGNED: &[u64] = {literal(unsigned, "&[u64]")};
const CHARACTERS: &[char] = {literal(characters, "&[char]")};
fn agree<X: Copy + std::fmt::Debug, Y: PartialEq + std::fmt::Debug>(
    slug: &str, values: &[X], expected: &[Y], computed: &dyn Fn(X) -> Y,
) {{
    for (x, y) in values.iter().zip(expected) {{
        assert_eq!(&computed(*x), y, "{{x:?}} {{slug}}");
    }}
}}
#[test] fn all_agree() {{
"""
    test += "\n".join(lines) + "\n}"
    with RustVerifier() as verifier:
        (verdict,) = verifier.verify([""], [test])
    assert verdict.ok, [diagnostic.rendered or diagnostic.message for diagnostic in verdict.diagnostics]


@given(a=st.integers(-1000, 1000), b=st.integers(-50, 50).filter(bool))
def test_division_cuts_towards_zero(a, b):
    assert quotient(a, b) * b + remainder(a, b) == a
    assert abs(remainder(a, b)) < abs(b) and remainder(a, b) * a >= 0


@pytest.mark.parametrize(
    ("value", "kind", "rust"),
    [
        ([1, 2], "&[i32]", "&[1, 2]"),
        ([], "Vec<u8>", "Vec::<u8>::new()"),
        ([[1], []], "&[Vec<i32>]", "&[vec![1], Vec::<i32>::new()]"),
        ([1], "Option<&[i32]>", "Some(&[1][..])"),
        (None, "Option<String>", "None"),
        ('a"\n', "&'a str", '"a\\"\\n"'),
        ("'", "char", "'\\''"),
        (("a", 1), "(String, usize)", '("a".to_string(), 1)'),
        (Ok([True]), "Result<Vec<bool>, String>", "Ok(vec![true])"),
        (Err("no"), "Result<u8, String>", 'Err("no".to_string())'),
        ({"b": 1}, "BTreeMap<char, i64>", "std::collections::BTreeMap::from([('b', 1)])"),
        ({3, 1}, "BTreeSet<u8>", "std::collections::BTreeSet::from([1, 3])"),
        (2.0, "f64", "2.0"),
    ],
)
def test_values_are_written_as_their_type_wants_it(value, kind, rust):
    assert literal(value, kind) == rust


def test_a_number_that_its_type_cannot_hold_is_no_case():
    for value, kind in ((256, "u8"), (-1, "usize"), (2**31, "i32")):
        with pytest.raises(OutOfRange, match=f"{value} is no {kind}"):
            literal(value, kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-samples", "0"], "num_samples must be at least 1, got 0"),
        (["--num-samples", "5", "--families", "unknown"], "families must be some of .*; got unknown"),
        (["--num-samples", "5", "--tier", "5"], "tier must be from 0 to 4, got 5"),
        (
            ["--num-samples", "5", "--tier", "0", "--families", "primes"],
            "families must have some of tier 0, got primes",
        ),
        (
            ["--num-samples", "4000", "--families", "pick_of_three", "--tasks"],
            r"num_samples must be at most the \d+ distinct tasks",
        ),
        (["--num-samples", "5", "--tasks", "--families", "struct_macro"], "at most the 0 distinct tasks"),
    ],
)
def test_bad_input_is_refused_before_any_work(arguments, message, tmp_path, capsys):
    assert synth(*arguments, "--output", tmp_path / "out.jsonl") == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
    assert not (tmp_path / "out.jsonl").exists()


def test_our_own_programs_run_without_consent_and_no_others_do(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL")
    assert synth("--num-samples", 1, "--output", tmp_path / "out.jsonl") == 0
    with RustVerifier() as verifier, pytest.raises(CodeExecutionNotAllowed, match="HF_ALLOW_CODE_EVAL=1"):
        verifier.verify(["fn f() {}"], "#[test] fn t() { super::f() }")


@pytest.mark.slow
def test_a_file_that_was_cut_anywhere_continues_to_the_same_file(tmp_path):
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert synth("--num-samples", 20, "--seed", 2, "--output", whole) == 0
    content = whole.read_bytes()
    for end in (1, len(content) // 3, len(content) - 1):
        cut.write_bytes(content[:end])
        assert synth("--num-samples", 20, "--seed", 2, "--output", cut) == 0
        assert cut.read_bytes() == content
    row = read_kept(whole)[0]
    columns = (
        "id source path kind license prompt code status verdict complexity has_unsafe lifetime_complexity".split()
    )
    assert set(columns) | {"trait_bounds", "difficulty", "level", "mix", "family", "tier"} == set(row)
    assert row["status"] == "valid" and row["verdict"]["tests_passed"] == row["verdict"]["tests_total"] > 0


def test_a_file_of_other_settings_is_refused_and_kept(tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    assert synth("--num-samples", 5, "--seed", 2, "--output", path) == 0
    content = path.read_bytes()
    assert synth("--num-samples", 5, "--seed", 3, "--output", path) == 2
    assert synth("--num-samples", 4, "--seed", 2, "--output", path) == 2
    errors = capsys.readouterr().err
    assert "holds rows of other settings" in errors and "holds 5 rows, more than the 4 wanted" in errors
    path.write_text("no row\n")
    assert synth("--num-samples", 5, "--output", path) == 2
    assert "line 1 has none" in capsys.readouterr().err
    assert path.read_text() == "no row\n" and content


def test_candidates_that_fail_are_skipped_again_after_an_interruption(tmp_path):
    def candidates():
        return iter(range(100))

    def verify(batch):
        return [{"id": str(each)} if each % 3 else None for each in batch]

    for whole in (tmp_path / "a", tmp_path / "b"):
        for count in (3, 20) if whole.name == "b" else (20,):
            assert keep_verified(whole, candidates(), str, verify, count, batch=4) == count
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_more_is_drawn_than_is_verified_and_progress_is_told_at_once(tmp_path):
    drawn, told = [], []

    def candidates():
        for each in range(100):
            drawn.append(each)
            yield each

    def verify(batch):
        assert len(drawn) - len(told) <= 4, "drawn ahead of what is verified"
        told.extend(batch)
        return [{"id": str(each)} for each in batch]

    assert keep_verified(tmp_path / "rows", candidates(), str, verify, 10, batch=4) == 10
    assert len(drawn) == 10


def test_more_rows_than_the_disk_can_hold_are_refused_at_once(tmp_path, capsys):
    assert synth("--num-samples", 10**12, "--output", tmp_path / "rows.jsonl") == 2
    assert "num_samples must be at most" in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["a note without an end", '{"weights": 1}', '{"id": "a"}\nthe end'])
def test_a_file_that_holds_something_else_is_never_cut(tmp_path, content):
    path = tmp_path / "notes"
    path.write_text(content)
    with pytest.raises(ValueError, match="must hold rows with an id"):
        keep_verified(path, iter("abc"), str, lambda batch: [{"id": each} for each in batch])
    assert path.read_text() == content


def test_a_full_disk_is_told_with_the_file_and_the_work_goes_on_later(tmp_path):
    path, limits = tmp_path / "rows", resource.getrlimit(resource.RLIMIT_FSIZE)

    def keep():
        return keep_verified(path, iter("abcdef"), str, lambda batch: [{"id": each} for each in batch], batch=2)

    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large: .*rows"):
            keep()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert keep() == 6 and [row["id"] for row in read_kept(path)] == list("abcdef")


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_every_form_of_every_family_gives_what_its_oracle_says(seed, monkeypatch):
    """With all arguments there are, not only those that tests and checkers take."""
    monkeypatch.setattr(sample_module, "MOST_CASES", sample_module.ARGUMENTS)
    codes, tests, names = [], [], []
    for family in FAMILIES.values():
        drawn = family.draw(Draw(seed))
        count = max(len(each.forms) for each in (drawn, *drawn.parts)) if isinstance(drawn, FunctionSpec) else 0
        for form in range(count):
            draw = Draw(seed)
            functions = family.draw(draw)
            functions = replace(one_form(functions, form), parts=[one_form(part, form) for part in functions.parts])
            try:
                code, _, task = sample_module._write_function(functions, draw)
            except Undefined:
                continue
            codes.append(code)
            tests.append(HiddenTests(task.signature, task.checker))
            names.append(f"{family.name} {form}")
    assert len(codes) > 300
    with RustVerifier() as verifier:
        verdicts = verifier.verify(codes, tests)
    assert [name for name, verdict in zip(names, verdicts, strict=True) if not verdict.ok] == []


def one_form(function, form):
    return replace(function, forms=[function.forms[form % len(function.forms)]])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [[], ["--tasks"]])
def test_a_killed_process_continues_to_the_same_file(tmp_path, kind):
    count = "600" if kind else "1500"
    command = [
        sys.executable,
        "-m",
        "trainers.data",
        "synth",
        "--num-samples",
        count,
        "--seed",
        "4",
        *kind,
        "--output",
    ]
    subprocess.run([*command, tmp_path / "whole.jsonl"], check=True, capture_output=True)
    path = tmp_path / "killed.jsonl"
    for seconds in (9, 14):
        running = subprocess.Popen([*command, path], start_new_session=True, stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    subprocess.run([*command, path], check=True, capture_output=True)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_report_compares_files(tmp_path, capsys):
    path = tmp_path / "some.jsonl"
    assert synth("--num-samples", 30, "--output", path) == 0
    assert main(["report", str(path)]) == 0
    assert "literals masked" in capsys.readouterr().out
    path.write_text('{"id": "a"}\n')
    assert main(["report", str(path)]) == 2
    assert "must hold rows with a column code; line 1 has none" in capsys.readouterr().err


def test_figures_count_what_they_say():
    figures = measure(
        ["fn f(a: u8) -> u8 { a + 1 }", "fn g(b: u8) -> u8 { b + 2 }", "fn h() { Vec::new().len(); }", "fn ("]
    )
    assert (figures.texts, figures.unparsed, figures.distinct, figures.distinct_masked) == (4, 1, 3, 2)
    assert (figures.methods, figures.paths, figures.complexity) == (1, 1, {"at most 1": 3})


def test_former_options_are_still_accepted(tmp_path):
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    families = ("pick_of_three", "primes")
    assert synth("--num-samples", 2, "--output", new, "--families", *families, "--num-workers", 1) == 0
    repeated = [word for family in families for word in ("--family", family)]
    assert synth("--n", 2, "--out", old, *repeated, "--workers", 1) == 0
    assert new.read_bytes() == old.read_bytes()
